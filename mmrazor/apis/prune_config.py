# "I have a config and a checkpoint, give me half." What comes out is files that need
# nothing but themselves: a Subnet, weights, and a config that trains them on.
"""Prune the Architecture of a config, and write what is needed to train it on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from rich.console import Console
from torch import nn

from ..core.cost import Budget
from ..core.files import file_set
from ..core.graph import ChannelGraph, channel_graph
from ..core.space import Subnet
from ..models.architectures.resolve import is_pruned, pruned_from
from ..models.pruners import (
    Importance,
    NothingPrunableError,
    Pruned,
    channels_per_unit,
)
from ..models.pruners.pruner import nothing_prunable
from .commands import tool_command
from .finetune_config import finetune_config, write_config
from .latency_budget import latency_on, prune_to_budget
from .latency_file import table_in
from .onnx import OnnxInfo
from .prune_report import PruneInfo
from .prune_source import (
    PruneSource,
    config_stem,
    default_folder,
    rebuilt,
    subnet_of_both,
)
from .reading_back import check_same_state, onnx_in_set, output_difference
from .ready_importance import checked_batches, ready_importance
from .run_config import load_config
from .run_folder import file_stem, run_folder
from .steps import Steps
from .training_step import training_trial
from .weights_file import num_bytes, write_weights

_HERE = "{{ fileDirname }}"


def prune_config(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    budget: Budget | Mapping[str, Any],
    importance: str | Mapping[str, Any] | Importance = "L1Importance",
    ranking: str = "global",
    divisor: int = 1,
    min_keep: int | float = 1,
    ignore: Sequence[str] = (),
    image_size: Sequence[int] | None = None,
    calib_batches: int | None = None,
    seed: int = 0,
    latency_table: str | os.PathLike[str] | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    name: str | None = None,
    onnx: bool = True,
    cfg_options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> PruneInfo:
    """Prune the Architecture of a config; write a Subnet, weights, a config and ONNX.

    Args:
        config: Of an Algorithm, or of a plain host model.
        checkpoint: Its weights; default is those that the config names for the
            architecture.
        budget: ``dict(macs=0.5)``, see :class:`~mmrazor.core.cost.Budget`.
        importance: Ranks the channels: a name, a config or an object.
        ranking: ``global`` or ``local``.
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Units that each group keeps at least, or a fraction of them.
        ignore: Modules whose parameters keep their size.
        image_size: Height and width; default is what the test pipeline makes.
        calib_batches: Training batches for an importance that reads gradients;
            default 8.
        seed: Of the choice of these batches.
        latency_table: File with the times of the model's layers, by which a latency is
            bounded; it is measured and written if it does not exist.
        work_dir: Folder for the files; default is ``pruned`` in the config's work dir.
        name: How all their names begin; default is the config's and ``_pruned``. Files
            of that name are replaced together.
        onnx: Write an ONNX file too.
        cfg_options: Changes to the config, with dotted keys.
        console: Where progress is shown.

    Returns:
        The pruned model and where the files are.

    Raises:
        BudgetError: If the budget cannot be reached.
        LatencyTableError: If the table is of another device or model.
        FileNotFoundError: If config or checkpoint does not exist.
        FileWriteError: If a file cannot be written; then none is.
        FolderInUseError: If another run writes into the folder.
        NothingPrunableError: If no group can be pruned; the text says why.
        RunConfigError: If the config or the training set is faulty.
        ValueError: If the checkpoint does not fit, the model refuses the example
            inputs, or an argument is wrong.
    """
    budget = Budget.parse(budget)
    calib_batches = checked_batches(importance, calib_batches)
    if latency_table is not None and budget.latency_ms is None:
        raise ValueError(
            "A latency table serves a budget of latency_ms, and this one has none. Add "
            "latency_ms, or leave the table out."
        )
    cfg = load_config(config, cfg_options)
    stem = file_stem(name, f"{config_stem(cfg)}_pruned")
    folder = default_folder(cfg, "pruned") if work_dir is None else Path(work_dir)
    steps = Steps(console)
    with run_folder(folder):
        with steps.step("Building the model"):
            source = PruneSource.of(cfg, checkpoint)
            source.warn_of_random_weights(
                "the channels kept are too. Costs and files are as they will be."
            )
            inputs, size = source.example(image_size)
        with steps.step("Finding groups of channels"):
            graph = channel_graph(source.model, inputs, ignore=ignore)
            if not graph.groups:
                raise NothingPrunableError(nothing_prunable(graph))
            trial, not_trained = training_trial(source.model, inputs)
        device = get_device()
        importance = ready_importance(
            importance, graph, cfg, calib_batches, seed, device, steps
        )
        table = None
        if latency_table is not None:
            table = table_in(Path(latency_table), graph, inputs, device, steps)
        with steps.step("Pruning and checking"):
            pruned = prune_to_budget(
                graph,
                inputs,
                budget,
                importance,
                device=device,
                table=table,
                ranking=ranking,
                divisor=divisor,
                min_keep=min_keep,
                trial=trial,
            )
        files = _write(source, pruned, inputs, folder, stem, onnx, steps)
    timed = "latency_ms" in pruned.subnet.cost
    return PruneInfo(
        pruned=pruned,
        subnet=files.subnet,
        checkpoint=files.checkpoint,
        config=files.config,
        onnx=files.onnx,
        onnx_refusal=files.onnx_refusal,
        layers=_layers(graph),
        channels={group.name: channels_per_unit(group) for group in graph.groups},
        image_size=size,
        dense_bytes=num_bytes(source.model),
        dense_latency_ms=latency_on(device, source.model, inputs) if timed else None,
        reload_difference=files.reload_difference,
        not_trained=not_trained,
    )


@dataclass(frozen=True)
class _Files:
    """Where the files of a pruned model are, and what reading them back gave."""

    subnet: Path
    checkpoint: Path
    config: Path
    onnx: OnnxInfo | None
    onnx_refusal: str
    reload_difference: float


def _write(
    source: PruneSource,
    pruned: Pruned,
    inputs: Any,
    folder: Path,
    stem: str,
    onnx: bool,
    steps: Steps,
) -> _Files:
    """Write all files of a pruned model, or none; they have its name."""
    subnet, resolved = pruned.subnet, source.resolved
    if is_pruned(resolved.model):  # one cut of the original in place of two
        first = Subnet.load(resolved.model["subnet"])
        subnet, resolved = subnet_of_both(first, subnet), pruned_from(resolved)
    config, weights = f"{stem}.py", f"{stem}.pth"
    subnet_name, graph = f"{stem}_subnet.yaml", f"{stem}.onnx"
    onnx_info, refusal = None, ""
    with file_set(folder, (config, weights, subnet_name, graph)) as place:
        with steps.step("Writing and reading back"):
            subnet.dump(place / subnet_name)
            write_weights(place / weights, pruned.model, source.dataset_meta())
            names = (f"{_HERE}/{subnet_name}", f"{_HERE}/{weights}")
            tuned = finetune_config(source.cfg, resolved, *names)
            write_config(place / config, tuned, _header(pruned, folder / config))
            difference = _reload_difference(place / config, pruned.model, inputs)
        if onnx:
            with steps.step("Writing ONNX and checking it"):
                onnx_info, refusal = onnx_in_set(
                    pruned.model, inputs, place / graph, folder
                )
    return _Files(
        subnet=folder / subnet_name,
        checkpoint=folder / weights,
        config=folder / config,
        onnx=onnx_info,
        onnx_refusal=refusal,
        reload_difference=difference,
    )


def _reload_difference(path: Path, model: nn.Module, inputs: Any) -> float:
    """Return how far the output of the model built from the files is from this one's.

    Raises:
        RuntimeError: If weights differ.
    """
    again = rebuilt(load_config(path))
    check_same_state(model, again, path, "pruned")
    return output_difference(model, again, inputs)


def _layers(graph: ChannelGraph) -> dict[str, list[str]]:
    """Return the modules that make the channels of each group."""
    layers = {}
    for group in graph.groups:
        makers = [s.name.rpartition(".")[0] for s in group.slots if s.role == "out"]
        layers[group.name] = list(dict.fromkeys(makers)) or group.modules()
    return layers


def _header(pruned: Pruned, path: Path) -> str:
    cost, dense = pruned.cost, pruned.dense_cost
    name = type(pruned.model).__name__
    return (
        f"{name} pruned by mmrazor to {cost.macs / dense.macs:.1%} of its MACs and "
        f"{cost.params / dense.params:.1%} of its parameters.\n"
        f"Train it: {tool_command('train', path)}"
    )
