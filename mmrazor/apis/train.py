"""Train what a config describes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from rich.console import Console, Group
from rich.text import Text

from ..core.plain_table import PlainTable
from .pruning_run import PRUNING_FAULTS
from .quantizing_run import QUANTIZING_FAULTS
from .run_config import existing_checkpoint, run_config
from .run_folder import is_first_rank, run_folder
from .run_keys import RunConfigError, check_parts
from .runner import (
    build_runner,
    check_datasets,
    explained_faults,
    explained_types,
    guard_,
)
from .unstarted import unstarted


def train(config: str | Path | Config, **options: Any) -> Runner:
    """Train the model of a config and print a summary.

    Args:
        config: A file, the config of an installed library, or a Config.
        **options: As for ``run_config``.

    Returns:
        The Runner, after training.

    Raises:
        FileNotFoundError: If the config or a checkpoint does not exist.
        FileWriteError: If the work dir cannot be written.
        FolderInUseError: If another run writes into the work dir.
        RunConfigError: If the config is faulty, a dataset is empty, the model cannot be
            pruned or quantized as asked, or a checkpoint is damaged, refused or of
            another model; or if losses, gradients or weights turn NaN, which ends the
            training at once.
    """
    cfg = run_config(config, **options)
    if cfg.get("load_from"):
        existing_checkpoint(cfg.load_from)
    check_parts(cfg, "train", "val")
    held = is_first_rank(cfg.launcher)
    with run_folder(cfg.work_dir, held=held), unstarted(cfg) as run:
        run.runner = runner = build_runner(cfg)
        guard_(runner)
        check_datasets(runner, "train", "val")
        start = time.perf_counter()
        try:
            with explained_types(), explained_faults(runner):
                runner.train()
        except (*PRUNING_FAULTS, *QUANTIZING_FAULTS) as err:
            raise RunConfigError(str(err)) from err
    if is_main_process():
        Console().print(summary(runner, time.perf_counter() - start), soft_wrap=True)
    return runner


def summary(runner: Runner, seconds: float) -> Group:
    """Return what rich prints of a finished run: metrics, checkpoints and time.

    The best of a metric is its largest value, of a loss its smallest.

    Args:
        runner: A Runner that has trained.
        seconds: How long it took.
    """
    hub = runner.message_hub
    table = PlainTable()
    table.add_column("validation")
    table.add_column("last", justify="right")
    table.add_column("best", justify="right")
    for name, history in hub.log_scalars.items():
        if not name.startswith("val/") or name.endswith(("/time", "/data_time")):
            continue
        values = history.data[0].tolist()
        if values:
            best = min(values) if "loss" in name else max(values)
            row = (name.removeprefix("val/"), f"{values[-1]:.4g}", f"{best:.4g}")
            table.add_row(*row)
    minutes, rest = divmod(round(seconds), 60)
    lines = [f"{runner.model_name}: {runner.iter} steps in {minutes} min {rest} s"]
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            best_path = getattr(hook, "best_ckpt_path", None)
            if best_path:
                lines.append(f"best checkpoint: {best_path}")
            if hook.last_ckpt:
                lines.append(f"last checkpoint: {hook.last_ckpt}")
    return Group(*([table] if table.rows else []), *map(Text, lines))
