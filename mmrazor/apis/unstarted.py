# mmengine makes the work dir, a folder for logs and a copy of the config before it
# looks at most of the config.
"""Take back what mmengine writes for a run that ends before its first step."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner
from mmengine.utils import ManagerMixin

from .error_line import is_debugged

_LOG_FOLDER = re.compile(r"\d{8}_\d{6}")


class Unstarted:
    """A run that has not done a step.

    Args:
        runner: What runs it, once it is built.
    """

    def __init__(self, runner: Runner | None = None) -> None:
        self.runner = runner

    def has_started(self) -> bool:
        """Tell whether a training step was done; of a test, never."""
        loop = None if self.runner is None else self.runner._train_loop
        return isinstance(loop, BaseLoop) and bool(getattr(loop, "iter", 0))


@contextmanager
def unstarted(cfg: Config) -> Iterator[Unstarted]:
    """Leave the work dir as it was if a run ends by an error before its first step.

    Only what this process wrote is taken away: its log folder, the copy of the config,
    and folders that are empty then. What was there before stays, or is put back. With
    ``MMRAZOR_DEBUG=1`` all stays.

    Args:
        cfg: A complete config.

    Yields:
        What is told of the Runner.
    """
    work_dir = Path(cfg.work_dir).absolute()
    missing = [one for one in (work_dir, *work_dir.parents) if not one.exists()]
    before = set(os.listdir(work_dir)) if work_dir.is_dir() else set()
    copy = work_dir / Path(cfg.filename).name if cfg.filename else None
    text = copy.read_bytes() if copy is not None and copy.is_file() else None
    instances = _instances()
    run = Unstarted()
    try:
        yield run
    except BaseException:
        if is_main_process() and not (run.has_started() or is_debugged()):
            _take_back_logs(work_dir, before)
            if copy is not None:
                _put_back(copy, text)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()  # only if nobody put something there
            _forget(instances)
        raise


def _instances() -> dict[type, set[str]]:
    """Return the names of mmengine's loggers, visualizers and their kind, by class."""
    found: dict[type, set[str]] = {}
    classes: list[type] = [ManagerMixin]
    while classes:
        one = classes.pop()
        found[one] = set(one._instance_dict)  # type: ignore[attr-defined]
        classes += one.__subclasses__()
    return found


def _forget(before: dict[type, set[str]]) -> None:
    """Drop what was made since: it would write into folders that are gone.

    A run that begins in the same second has the same name and would be given it.
    """
    for one, names in _instances().items():
        for name in names - before.get(one, set()):
            one._instance_dict.pop(name)  # type: ignore[attr-defined]


def _take_back_logs(work_dir: Path, before: set[str]) -> None:
    for folder in _log_folders():
        if folder.parent == work_dir and folder.name not in before:
            shutil.rmtree(folder, ignore_errors=True)
    names = os.listdir(work_dir) if work_dir.is_dir() else []
    for name in set(filter(_LOG_FOLDER.fullmatch, names)) - before:
        with suppress(OSError):
            (work_dir / name).rmdir()  # the log itself was not begun


def _put_back(copy: Path, text: bytes | None) -> None:
    with suppress(OSError):
        if text is None:
            copy.unlink(missing_ok=True)
        elif copy.read_bytes() != text:
            copy.write_bytes(text)


def _log_folders() -> set[Path]:
    """Close the log files of the run and return their folders."""
    folders = set()
    logger = MMLogger.get_current_instance()
    for handler in list(logger.handlers):
        if isinstance(handler, logging.FileHandler):
            folders.add(Path(handler.baseFilename).parent)
            logger.removeHandler(handler)
            handler.close()
    return folders
