"""Write what a run with a pruner leaves."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from rich.console import Console
from torch import nn

from ..files import file_set, write_tensors
from ..plain_table import PlainTable
from ..protocols import PRUNING_KEY


@master_only
def write_pruned(runner: Any, pruner: Any, architecture: nn.Module) -> None:
    """Write ``subnet.yaml`` and ``pruned.pth`` into the work folder and log a summary.

    Args:
        runner: The Runner, after training.
        pruner: Knows what is left.
        architecture: The pruned Architecture.
    """
    folder = Path(runner.work_dir)
    with file_set(folder) as place:
        pruner.state.subnet(_scores(runner)).dump(place / "subnet.yaml")
        meta = {PRUNING_KEY: pruner.state_dict()}
        write_weights(runner, architecture, place / "pruned.pth", meta)
    table = _text(summary_table(pruner))
    files = f"subnet: {folder / 'subnet.yaml'}\nweights: {folder / 'pruned.pth'}"
    runner.logger.info(f"{table}\n{files}")


def write_weights(
    runner: Any, model: nn.Module, path: Path, meta: Mapping[str, Any] | None = None
) -> Path:
    """Write the weights of a plain model; return the file.

    Args:
        runner: The Runner, after training.
        model: The model.
        path: The file.
        meta: What goes beside the dataset's meta information, as plain data.
    """
    metainfo = getattr(runner.train_dataloader.dataset, "metainfo", None) or {}
    content = {
        "meta": {"dataset_meta": _plain(metainfo), **(meta or {})},
        "state_dict": {
            key: value.detach().cpu().clone()
            for key, value in model.state_dict().items()
        },
    }
    return write_tensors(path, content)


def summary_table(pruner: Any) -> PlainTable:
    """Return cost and channels at the beginning and after every pruning."""
    state = pruner.state
    dense = state.dense_cost()
    by_epoch = pruner.schedule is not None and pruner.schedule.by_epoch
    table = PlainTable(title="Pruned model")
    table.add_column("epoch" if by_epoch else "iteration", justify="right")
    for name in ("MACs", "of dense", "parameters", "of dense", "channels"):
        table.add_column(name, justify="right")
    rows = [("dense", dense.macs, dense.params, sum(state.sizes.values()))]
    for step in state.steps:
        time = "start" if step["time"] is None else str(step["time"])
        rows.append((time, step["macs"], step["params"], step["units"]))
    for time, macs, params, units in rows:
        table.add_row(
            time,
            f"{macs / 1e9:.4g} G",
            f"{macs / dense.macs:.1%}",
            f"{params / 1e6:.4g} M",
            f"{params / dense.params:.1%}",
            str(units),
        )
    return table


def _text(table: PlainTable) -> str:
    stream = io.StringIO()
    Console(file=stream, width=100).print(table)
    return stream.getvalue()


def _scores(runner: Any) -> dict[str, float]:
    """Return the metrics of the last validation."""
    scores = {}
    for name, history in runner.message_hub.log_scalars.items():
        if name.startswith("val/") and not name.endswith(("/time", "/data_time")):
            scores[name.removeprefix("val/")] = float(history.current())
    return scores


def _plain(value: Any) -> Any:
    """Return plain lists and numbers, which any reader can load."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value if isinstance(value, (bool, int, float, str)) else str(value)
