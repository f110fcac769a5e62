"""Train one of several networks: one line of progress, resumed where it was stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..core.bounded import read_json
from ..core.files import remove_leftovers, write_json
from .run_config import RunConfigError, latest_checkpoint, run_config
from .runner import (
    build_runner,
    check_datasets,
    explained_faults,
    explained_types,
    guard_,
)

METRIC = "accuracy/top1"
_RECORD = "stage.json"


@dataclass
class Stage:
    """What is known of a stage; kept in its work dir as ``stage.json``.

    Args:
        fingerprint: Hash of all that decides the result.
        curve: Validation top-1, in percent, by epoch.
        seconds: Time spent training, over all calls.
        finished: Whether the last epoch is validated.
        checkpoint: The newest checkpoint.
    """

    fingerprint: str
    curve: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False
    checkpoint: str = ""

    def write(self, work_dir: Path) -> None:
        """Write ``stage.json``."""
        write_json(work_dir / _RECORD, asdict(self))

    @classmethod
    def read(cls, work_dir: Path) -> Stage | None:
        """Return what ``stage.json`` says, or None where there is no valid one."""
        try:
            content = read_json(work_dir / _RECORD)
            stage = cls(**content)
            stage.curve = {int(key): value for key, value in stage.curve.items()}
        except (OSError, TypeError, ValueError):
            return None
        return stage


def fingerprint(cfg: Config, needs: Sequence[Stage] = ()) -> str:
    """Hash a config and the stages that it builds on.

    Args:
        cfg: Config; where it runs (``work_dir``, ``load_from``, ``resume``) is ignored.
        needs: Stages whose results it uses.

    Example:
        >>> first = fingerprint(Config(dict(a=1, work_dir='here')))
        >>> first == fingerprint(Config(dict(a=1, work_dir='there')))
        True
    """
    places = ("work_dir", "load_from", "resume")
    kept = {key: value for key, value in cfg.to_dict().items() if key not in places}
    content = [json.dumps(kept, sort_keys=True, default=str)]
    content += [stage.fingerprint for stage in needs]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def train_stage(
    cfg: Config, work_dir: Path, identity: str, title: str, console: Console
) -> Stage:
    """Train a config, unless its work dir holds the result; go on if it holds a part.

    What another fingerprint left in the work dir is removed. Logs go to files there.

    Args:
        cfg: Config with an epoch-based loop, validated by top-1 in every epoch.
        work_dir: The stage's own folder.
        identity: From :func:`fingerprint`.
        title: Shown before the progress bar.
        console: Where progress is shown; made with ``file=``, as ``sys.stdout`` is
            silenced meanwhile.

    Returns:
        The finished stage.

    Raises:
        RunConfigError: If the config or the data is faulty, the work dir holds what is
            of no stage, or training turns NaN.
    """
    remove_leftovers(work_dir)
    stage = Stage.read(work_dir)
    if stage is None or stage.fingerprint != identity:
        remove_stage(work_dir)
        stage = Stage(identity)
        stage.write(work_dir)
    if stage.finished and Path(stage.checkpoint).is_file():
        console.print(Text(f"{title}: done before, {_top1(stage)}"))
        return stage
    newest = latest_checkpoint(work_dir)
    cfg = run_config(cfg, work_dir=work_dir, resume=newest)
    if newest is not None:
        console.print(Text(f"{title}: going on from {newest}"))
    with quiet():
        runner = build_runner(cfg)
        guard_(runner)
        check_datasets(runner, "train", "val")
        with _progress(console) as progress:
            runner.register_hook(StageHook(stage, work_dir, progress, title))
            with explained_types(), explained_faults(runner):
                runner.train()
    stage.checkpoint = str(latest_checkpoint(work_dir))
    stage.finished = True
    stage.write(work_dir)
    console.print(Text(f"{title}: {_top1(stage)}, {stage.seconds:.0f} s"))
    return stage


def remove_stage(work_dir: Path) -> None:
    """Remove the folder of a stage, if there is one; its record goes last.

    Raises:
        RunConfigError: If something else lies there: nothing of it is removed.
    """
    remove_leftovers(work_dir)
    if not os.path.lexists(work_dir) or _is_empty(work_dir):
        return
    record = work_dir / _RECORD
    if work_dir.is_symlink() or not record.is_file():
        raise RunConfigError(
            f"'{work_dir}' is wanted for a training, but it holds no {_RECORD}, so it "
            "was not written by one. Move it away, or choose another folder: "
            "--work-dir FOLDER."
        )
    for path in work_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != record:
            path.unlink()
    record.unlink()


def _is_empty(folder: Path) -> bool:
    is_folder = folder.is_dir() and not folder.is_symlink()
    return is_folder and not any(folder.iterdir())


class StageHook(Hook):
    """Keep the validation curve on disk and show how far the training is.

    Args:
        stage: The record, which is filled.
        work_dir: Where it is written.
        progress: Shows the bar.
        title: Stands before it.
    """

    def __init__(
        self, stage: Stage, work_dir: Path, progress: Progress, title: str
    ) -> None:
        self.stage = stage
        self.work_dir = work_dir
        self.progress = progress
        self.title = title
        self.task = progress.add_task(title, total=None, note="")
        self.since = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Validate the epoch whose validation an interrupted run did not reach."""
        self.since = time.monotonic()
        self._show(runner, runner.iter)
        if runner.epoch and runner.epoch not in self.stage.curve:
            runner.val_loop.run()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Move the bar."""
        self._show(runner, runner.iter + 1)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Keep the epoch's top-1."""
        now = time.monotonic()
        self.stage.seconds += now - self.since
        self.since = now
        self.stage.curve[runner.epoch] = float((metrics or {})[METRIC])
        self.stage.write(self.work_dir)
        self._show(runner, runner.iter)
        if not self.progress.console.is_terminal:
            done = f"epoch {runner.epoch}/{runner.max_epochs}"
            left = (
                self.stage.seconds / runner.epoch * (runner.max_epochs - runner.epoch)
            )
            text = f"{self.title}: {done}, {_top1(self.stage)}, about {left:.0f} s left"
            self.progress.console.print(Text(text))

    def _show(self, runner: Runner, num_steps: int) -> None:
        note = f"epoch {min(runner.epoch + 1, runner.max_epochs)}/{runner.max_epochs}"
        if self.stage.curve:
            note += f", {_top1(self.stage)}"
        self.progress.update(
            self.task, completed=num_steps, total=runner.max_iters, note=note
        )


def _top1(stage: Stage) -> str:
    return f"top-1 {stage.curve[max(stage.curve)]:.2f} %"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=not console.is_terminal,
        speed_estimate_period=120,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loggers' talk off the console; the log files have it."""
    # mmengine's handlers keep the sys.stdout that they find when a Runner is built.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
