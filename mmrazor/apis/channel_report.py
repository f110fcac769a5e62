# What tools/show_channels.py shows: the channel graph of a config's model, as a table,
# as JSON and (channel_picture.py) as a picture.
"""Explain the groups of channels of a config's Architecture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Group
from rich.text import Text

from ..core.cost import Cost, count_cost
from ..core.files import write_json
from ..core.graph import ChannelGraph, channel_graph
from ..core.plain_table import PlainTable
from ..models.pruners import channels_per_unit
from .prune_report import left_alone_table
from .prune_source import PruneSource
from .run_config import load_config


@dataclass(frozen=True)
class ChannelReport:
    """The channels of a model.

    Args:
        graph: Its channel graph.
        cost: Its cost for one image.
        image_size: Height and width of that image.
    """

    graph: ChannelGraph
    cost: Cost
    image_size: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        groups = [
            {
                "name": group.name,
                "size": group.size,
                "channels": group.size * channels_per_unit(group),
                "macs": self.macs(group.name),
                "slots": [
                    {"name": slot.name, "axis": slot.axis, "role": slot.role}
                    for slot in group.slots
                ],
            }
            for group in self.graph.groups
        ]
        return {
            "model": type(self.graph.model).__name__,
            "image_size": list(self.image_size),
            "macs": self.cost.macs,
            "params": self.cost.params,
            "groups": groups,
            "unprunable": dict(self.graph.unprunable),
        }

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`to_dict` to a JSON file."""
        return write_json(Path(path), self.to_dict())

    def layers(self, name: str, role: str = "out") -> list[str]:
        """Return the modules that make, or read, the channels of a group."""
        slots = self.graph[name].slots
        found = [s.name.rpartition(".")[0] for s in slots if s.role == role]
        return list(dict.fromkeys(found))

    def macs(self, name: str) -> int:
        """Return the MACs of the layers that make the channels of a group."""
        cost = self.cost.by_module()
        return sum(cost[path].macs for path in self.layers(name) if path in cost)

    def tables(self) -> Group:
        """Return the groups, and what is left alone and why, for a rich console.

        Makers and readers are the layers that make and read the channels of a group;
        their names are in :meth:`to_dict`.
        """
        height, width = self.image_size
        title = f"Channels of {type(self.graph.model).__name__}, {height} x {width}"
        table = PlainTable(title=title)
        table.add_column("group", overflow="fold")
        for name in ("channels", "units", "MACs", "makers", "readers"):
            table.add_column(name, justify="right")
        for group in self.graph.groups:
            table.add_row(
                group.name,
                str(group.size * channels_per_unit(group)),
                str(group.size),
                f"{self.macs(group.name):,}",
                str(len(self.layers(group.name))),
                str(len(self.layers(group.name, "in"))),
            )
        parts: list[Any] = [table]
        if self.graph.unprunable:
            parts.append(left_alone_table(self.graph.unprunable))
        total = f"{len(self.graph.groups)} groups, {self.cost.macs:,} MACs"
        return Group(*parts, Text(f"{total}, {self.cost.params:,} parameters"))


def channel_report(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    image_size: Sequence[int] | None = None,
    ignore: Sequence[str] = (),
    cfg_options: Mapping[str, Any] | None = None,
) -> ChannelReport:
    """Find the groups of channels of the Architecture of a config.

    Args:
        config: Of an Algorithm, or of a plain host model.
        checkpoint: Its weights; they change nothing but what a pruned one keeps.
        image_size: Height and width; default is what the test pipeline makes.
        ignore: Modules whose parameters keep their size.
        cfg_options: Changes to the config, with dotted keys.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        ValueError: If the checkpoint does not fit or the model refuses the inputs.
    """
    cfg = load_config(config, cfg_options)
    source = PruneSource.of(cfg, checkpoint)
    inputs, size = source.example(image_size)
    graph = channel_graph(source.model, inputs, ignore=ignore)
    return ChannelReport(graph, count_cost(source.model, inputs), size)
