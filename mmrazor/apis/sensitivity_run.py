# As in Li et al., 2017 (arXiv:1608.08710), figure 2: one layer is pruned at a time and
# nothing is trained. Here the unit is a ChannelGroup, and the model that is scored is
# the small one, cut and checked, so that residual streams, heads and norms are exact.
"""Score a model while one group of channels at a time is pruned."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from rich.console import Console

from ..core.cost import CostTable
from ..core.files import file_set, scratch_folder
from ..core.graph import ChannelGraph, channel_graph
from ..models.pruners import (
    Importance,
    NothingPrunableError,
    build_importance,
    channels_per_unit,
    cost_table,
)
from ..models.pruners.pruner import nothing_prunable
from .prune_source import PruneSource, default_folder
from .ready_importance import checked_batches, ready_importance
from .run_config import load_config
from .run_folder import run_folder
from .sensitivity_data import Validation
from .sensitivity_picture import draw_sensitivity
from .sensitivity_report import (
    GroupSensitivity,
    SensitivityReport,
    checked_shares,
    units_left,
)
from .sensitivity_scores import Scores
from .sensitivity_state import SensitivityState, flat_settings, weights_hash
from .steps import Steps

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
STATE, REPORT, PICTURE = "state.json", "sensitivity.json", "sensitivity.png"


def sensitivity(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    shares: Sequence[float] = SHARES,
    importance: str | Mapping[str, Any] | Importance = "L1Importance",
    groups: Sequence[str] = (),
    max_batches: int | None = None,
    metric: str | None = None,
    lower_is_better: bool = False,
    out: str | os.PathLike[str] | None = None,
    resume: bool = True,
    keep_gib: float | None = None,
    calib_batches: int | None = None,
    seed: int = 0,
    image_size: Sequence[int] | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> SensitivityReport:
    """Score a model on its validation set while one group at a time is pruned.

    Nothing is trained. Every score is written to ``state.json`` as soon as it is known;
    called again with more shares or groups, only what is missing is evaluated.

    Args:
        config: Of an Algorithm, or of a plain host model. Its validation set is used,
            or else its test set.
        checkpoint: Its weights; default is those that the config names.
        shares: Parts of each group's units to prune, in (0, 1).
        importance: Ranks the channels: a name, a config or an object.
        groups: Names of the groups to prune; default is all.
        max_batches: Validation batches to stop after; default is all.
        metric: What to show of the evaluator's metrics; default is the config's
            ``save_best``, or else the first.
        lower_is_better: Whether a smaller value of the metric is a better one.
        out: Folder for the files; default is ``sensitivity`` in the config's work dir.
        resume: Go on from what ``out`` holds; ``False`` begins anew.
        keep_gib: Validation batches are kept in memory if they take no more than this;
            default is a quarter of what is free. With 0 they are decoded each time.
        calib_batches: Training batches for an importance that reads gradients;
            default 8.
        seed: Of the choice of these batches.
        image_size: Height and width to trace with and count MACs for; default is what
            the test pipeline makes.
        cfg_options: Changes to the config, with dotted keys.
        console: Where progress is shown; made with ``file=``, as ``sys.stdout`` is
            silenced meanwhile.

    Returns:
        Scores and MACs; they are in ``sensitivity.json`` and ``sensitivity.png`` too.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        FileWriteError: If a file cannot be written.
        FolderInUseError: If another analysis writes into the folder.
        ModuleNotFoundError: If matplotlib is not installed; the scores are kept.
        NothingPrunableError: If no group can be pruned; the text says why.
        RunConfigError: If the config or a data set is faulty.
        ValueError: If a group or the metric is unknown, the checkpoint does not fit, or
            the folder holds scores of other settings.
    """
    shares = checked_shares(shares)
    calib_batches = checked_batches(importance, calib_batches)
    steps = Steps(console)
    cfg = load_config(config, cfg_options)
    folder = Path(out) if out is not None else default_folder(cfg, "sensitivity")
    with run_folder(folder, "--out"), scratch_folder(folder) as scratch:
        with steps.step("Building the model"):
            source = PruneSource.of(cfg, checkpoint)
            source.warn_of_random_weights(
                "the scores say nothing of a trained model, and no later call can go "
                "on from them."
            )
            inputs, size = source.example(image_size)
        with steps.step("Finding groups of channels"):
            graph = channel_graph(source.model, inputs)
            names = _chosen(graph, groups)
        with steps.step("Opening the validation set"):
            validation = Validation(cfg, scratch, max_batches, keep_gib)
            _warn_of_annotations(validation, max_batches)
        gradients = {"calib_batches": calib_batches, "seed": seed}
        settings = {
            "model": source.resolved.model,
            "weights": weights_hash(source.model),
            "importance": _described(importance),
            "max_batches": max_batches,
            **(gradients if calib_batches else {}),
            **validation.settings,
        }
        state = SensitivityState.open(folder / STATE, flat_settings(settings), resume)
        device = get_device()
        scores = Scores(graph, inputs, validation, state, device)
        table = cost_table(graph)
        kept = {
            name: [units_left(graph[name].size, s) for s in shares] for name in names
        }
        missing = scores.missing(kept)
        if missing:
            importance = ready_importance(
                importance, graph, cfg, calib_batches, seed, device, steps
            )
        total = (len(missing) + (not state.dense)) * validation.num_batches
        with steps.step("Evaluating", total) as advance:
            if not state.dense:
                scores.evaluate_whole(advance)
            metric = _metric(state, metric, cfg)
            if missing:
                scorer = build_importance(importance)
                scores.evaluate(missing, scorer, advance, steps.say)
        found = [_found(scores, table, metric, name, kept[name]) for name in names]
        report = SensitivityReport(
            model=type(source.model).__name__,
            stage=validation.stage,
            metric=metric,
            lower_is_better=lower_is_better,
            dense=state.dense[metric],
            macs=table.dense.macs,
            image_size=size,
            shares=shares,
            groups=tuple(found),
            left_alone=dict(graph.unprunable),
        )
        with file_set(folder, (REPORT, PICTURE)) as place:
            report.write(place / REPORT)
            draw_sensitivity(report, place / PICTURE)
    return report


def _found(
    scores: Scores, table: CostTable, metric: str, name: str, kept: Sequence[int]
) -> GroupSensitivity:
    group = scores.groups[name]
    metrics = [scores.metrics_of(name, count) for count in kept]
    return GroupSensitivity(
        name=name,
        units=group.size,
        channels=group.size * channels_per_unit(group),
        kept=tuple(kept),
        scores=tuple(None if m is None else m[metric] for m in metrics),
        macs=tuple(table.cost({name: count}).macs for count in kept),
    )


def _chosen(graph: ChannelGraph, wanted: Sequence[str]) -> list[str]:
    """Return the groups to prune, in the order of the network."""
    names = [group.name for group in graph.groups]
    if not names:
        raise NothingPrunableError(nothing_prunable(graph))
    for name in wanted:
        if name in graph.unprunable:
            raise ValueError(
                f"Group '{name}' cannot be pruned: it {graph.unprunable[name]}."
            )
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
            raise ValueError(
                f"There is no group '{name}'. Near names: {near or names[:3]}; "
                "tools/show_channels.py lists all."
            )
    return [name for name in names if name in wanted] if wanted else names


def _metric(state: SensitivityState, wanted: str | None, cfg: Config) -> str:
    """Return the metric to show: as asked for, as the config saves by, or the first."""
    names = list(state.dense)
    if not names:
        raise ValueError(
            "The evaluator gives no metric that is a number, so there is nothing to "
            "compare. Set another val_evaluator."
        )
    if wanted is None:
        hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
        best = hook.get("save_best")
        return best if best in names else names[0]
    if wanted not in names:
        raise ValueError(
            f"The evaluator gives no metric '{wanted}'. It gives {names}. The scores "
            "are kept: run it again with one of these."
        )
    return wanted


def _described(importance: Any) -> Any:
    if isinstance(importance, Importance):
        return {"type": type(importance).__name__, **vars(importance)}
    return importance


def _warn_of_annotations(validation: Validation, max_batches: int | None) -> None:
    """Say so if a metric may count the images left out as missed."""
    evaluator = validation.settings[f"{validation.stage}_evaluator"]
    if max_batches is not None and "'ann_file'" in repr(evaluator):
        print_log(
            f"Only {validation.num_batches} batches are evaluated, but the evaluator "
            "reads annotations of its own: it may count objects in all other images as "
            "missed. Scores then compare with each other alone.",
            logger="current",
            level=logging.WARNING,
        )
