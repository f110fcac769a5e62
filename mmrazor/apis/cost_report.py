"""Count what the Architecture of a config costs, module by module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Group
from rich.text import Text

from ..core.cost import Cost, count_cost
from ..core.files import write_json
from ..core.plain_table import PlainTable
from .prune_source import PruneSource
from .run_config import load_config


@dataclass(frozen=True)
class CostReport:
    """The cost of a model for one image.

    Args:
        model: Its type.
        cost: MACs and parameters.
        image_size: Height and width of the image.
    """

    model: str
    cost: Cost
    image_size: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        modules = {name: asdict(c) for name, c in self.cost.by_module().items()}
        return {
            "model": self.model,
            "image_size": list(self.image_size),
            "macs": self.cost.macs,
            "params": self.cost.params,
            "uncounted": dict(self.cost.uncounted),
            "modules": modules,
        }

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`to_dict` to a JSON file."""
        return write_json(Path(path), self.to_dict())

    def tables(self, depth: int = 2) -> Group:
        """Return modules down to a depth, and what was not counted.

        Args:
            depth: Dots in a module's name, plus one.
        """
        height, width = self.image_size
        table = PlainTable(title=f"{self.model}, one image of {height} x {width}")
        table.add_column("module", overflow="fold")
        for name in ("MACs", "share", "parameters", "share"):
            table.add_column(name, justify="right")
        for name, part in self.cost.by_module().items():
            levels = name.count(".") + 1 if name else 0
            if levels > depth or not (part.macs or part.params):
                continue
            table.add_row(
                name or "(all)",
                f"{part.macs:,}",
                f"{part.macs / max(self.cost.macs, 1):.1%}",
                f"{part.params:,}",
                f"{part.params / max(self.cost.params, 1):.1%}",
            )
        lines = ["A MAC is one multiply-accumulate, half of what others call a FLOP."]
        if self.cost.uncounted:
            found = ", ".join(f"{k} ({n}x)" for k, n in self.cost.uncounted.items())
            lines.append(f"Not counted, because they have no formula: {found}")
        return Group(table, *map(Text, lines))


def cost_report(
    config: str | os.PathLike[str] | Config,
    *,
    image_size: Sequence[int] | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> CostReport:
    """Count the Architecture of a config.

    Args:
        config: Of an Algorithm, or of a plain host model.
        image_size: Height and width; default is what the test pipeline makes.
        cfg_options: Changes to the config, with dotted keys.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If the model refuses the inputs.
    """
    cfg = load_config(config, cfg_options)
    source = PruneSource.of(cfg)
    inputs, size = source.example(image_size)
    cost = count_cost(source.model, inputs)
    return CostReport(type(source.model).__name__, cost, size)
