# A sensitivity analysis runs the same images through many models, so that reading and
# resizing them would take most of the time: they are kept as the loader made them, if
# they fit. A model gets copies, because models write into what they are given.
"""The validation set of a config, for one model after another."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterator, Sized
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from ..core.loops.kept_batches import num_bytes
from ..core.values import check_number
from .bare_config import bare_config
from .run_config import RunConfigError, run_config
from .runner import build_runner, check_datasets, explained_types
from .stage import quiet

_GIB = 2**30
_SHARE_OF_FREE = 0.25
_KEYS = ("default_scope", "model", "custom_imports", "env_cfg", "randomness")
_HOOKS = (
    *("runtime_info", "timer", "sampler_seed", "logger"),
    *("param_scheduler", "checkpoint"),
)


class Validation:
    """Runs models through a config's own validation loop, or else its test loop.

    Nothing but the loop and its evaluator is left of the config: no hooks, no
    visualizer, no log files.

    Args:
        cfg: Of an Algorithm, or of a plain host model.
        folder: For what a Runner writes, and nobody needs; it may be removed later.
        max_batches: Batches to stop after; default is all.
        keep_gib: Batches are kept in memory if they take no more than this; default is
            a quarter of what is free. With 0 they are decoded each time.

    Attributes:
        settings: All of the config that decides the scores, without the model.
        num_batches: Batches that one call takes.

    Raises:
        RunConfigError: If the config has no validation and no test set, or it is empty.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        cfg: Config,
        folder: Path,
        max_batches: int | None = None,
        keep_gib: float | None = None,
    ) -> None:
        if max_batches is not None and max_batches < 1:
            raise ValueError(f"max_batches={max_batches} must be at least 1.")
        if keep_gib is not None and keep_gib < 0:
            raise ValueError(f"keep_gib={keep_gib} must be at least 0.")
        bare = bare_config(run_config(cfg))
        self.stage = "val" if bare.get("val_dataloader") else "test"
        if not bare.get(f"{self.stage}_dataloader"):
            raise RunConfigError(
                f"Config '{cfg.filename}' has no val_dataloader and no "
                "test_dataloader, so that nothing can be scored. Add val_dataloader, "
                "val_cfg and val_evaluator."
            )
        names = [f"{self.stage}_{part}" for part in ("dataloader", "evaluator", "cfg")]
        self.settings = {name: bare[name] for name in names}
        spec = {k: bare[k] for k in (*_KEYS, *names) if bare.get(k) is not None}
        spec["default_hooks"] = dict.fromkeys(_HOOKS)
        spec["log_level"] = "WARNING"
        spec["launcher"] = "none"
        spec["work_dir"] = str(folder)
        # Otherwise it is the time of day, which two of one second share.
        spec["experiment_name"] = folder.name.lstrip(".")
        self._runner = build_runner(Config(spec))
        check_datasets(self._runner, self.stage)
        self._loop = getattr(self._runner, f"{self.stage}_loop")
        if keep_gib is None:
            keep_gib = _SHARE_OF_FREE * free_memory() / _GIB
        check_number("keep_gib", keep_gib, least=0)
        self._batches = Batches(
            self._loop.dataloader, max_batches, int(keep_gib * _GIB)
        )
        self.num_batches = len(self._batches)
        self._loop.dataloader = self._batches

    def __call__(
        self, model: nn.Module, advance: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """Return the metrics of a model that are numbers.

        Args:
            model: On the device to run on.
            advance: Called after each batch.
        """
        self._runner.model = model
        self._batches.advance = advance
        with quiet(), explained_types():
            found = self._loop.run()
        return {
            name: float(value)
            for name, value in found.items()
            if isinstance(value, Real)
            or (isinstance(value, Tensor) and not value.dim())
        }


class Batches:
    """The first batches of a loader, read from it once if they fit in memory.

    They are counted while the first pass reads them; when they are too many, those kept
    so far are let go, and every pass reads from the loader.

    Args:
        loader: Gives the same batches each time.
        most: Batches to stop after; ``None`` for all.
        limit: Bytes that they may take.

    Attributes:
        dataset: The loader's, which loops ask for its length.
        advance: Called after each batch was used.
    """

    def __init__(self, loader: Any, most: int | None, limit: int) -> None:
        self.dataset = loader.dataset
        self.advance: Callable[[], None] = lambda: None
        self._loader, self._limit = loader, limit
        self._length = len(loader) if isinstance(loader, Sized) else most or 0
        if most is not None:
            self._length = min(self._length, most)
        self._kept: list[Any] | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        source = self._read() if self._kept is None else self._kept
        for batch in source:
            yield copy.deepcopy(batch) if self._kept is not None else batch
            self.advance()

    def _read(self) -> Iterator[Any]:
        kept: list[Any] = []
        total = 0
        for batch in islice(self._loader, self._length):
            if self._limit:
                total += num_bytes(batch)
                if total > self._limit:
                    kept, text = [], _too_large(self._limit, len(kept), self._length)
                    self._limit = 0
                    print_log(text, logger="current", level=logging.WARNING)
                else:
                    kept.append(copy.deepcopy(batch))
            yield batch
        if self._limit:
            self._kept, self._loader = kept, None  # its workers may go


def free_memory() -> int:
    """Return the bytes of memory that are free, to the machine and to a container.

    Where nothing tells, it is taken to be 4 GiB.
    """
    found = []
    meminfo = _text("/proc/meminfo")
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    most, used = (
        _text(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current")
    )
    if most.isdigit() and used.isdigit():
        found.append(max(0, int(most) - int(used)))
    if not found and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=4 * _GIB)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


def _too_large(limit: int, fitting: int, total: int) -> str:
    return (
        f"{fitting} of {total} validation batches fit in the {limit / _GIB:.1f} GiB of "
        "memory that they may take, so they are decoded for every evaluation. Fewer "
        "batches (max_batches) or more memory (keep_gib) save that time."
    )
