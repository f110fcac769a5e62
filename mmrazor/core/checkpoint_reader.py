# Checkpoints are data: they are read with ``weights_only=True``, with only those types
# allowed that are data themselves and that checkpoints of OpenMMLab and of the projects
# which it converts from hold. Nothing falls back to unrestricted unpickling unless the
# user asks for it. compat.py sends the loaders of mmengine and of torch.hub here too.
"""Read a checkpoint without running any code that is in it."""

from __future__ import annotations

import argparse
import datetime
import logging
import os
import pathlib
import pickle
import re
import struct
import tarfile
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, print_log
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from torch.torch_version import TorchVersion

Source = str | os.PathLike[str] | IO[bytes]

_ANNEALING = ("_annealing_cos", "_annealing_linear")
# What torch.load was seen to raise on files cut short or of another kind.
_DAMAGED = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
_NAMED = re.compile(r"(?:GLOBAL |<class '|<(?:built-in )?function |function )([\w.]+)")
_trusted = False


class CheckpointError(ValueError):
    """A checkpoint that cannot be read: damaged, no checkpoint at all, or refused."""


class RefusedCheckpointError(CheckpointError):
    """A checkpoint with objects that could run code when they are loaded."""


def trust_checkpoints(trusted: bool = True) -> None:
    """Say whether checkpoints of this process may run code when they are loaded.

    Args:
        trusted: What ``--trust-checkpoint`` says; no process begins with it.
    """
    global _trusted
    _trusted = trusted


@contextmanager
def trusting() -> Iterator[None]:
    """Load checkpoints inside the ``with`` block whatever objects they hold.

    That runs the code in them: only for files of people whom you trust.
    """
    before = _trusted
    trust_checkpoints()
    try:
        yield
    finally:
        trust_checkpoints(before)


def read_checkpoint(
    source: Source, map_location: Any = "cpu", weights_only: bool = True
) -> dict[str, Any]:
    """Read a checkpoint without running any code from it.

    Args:
        source: As for :func:`load`.
        map_location: As for :func:`load`.
        weights_only: As for :func:`load`.

    Raises:
        CheckpointError: If the file is damaged, holds objects that are not data, or no
            dict of tensors.
    """
    content = load(source, map_location, weights_only)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"Checkpoint '{source}' holds a {type(content).__name__}, not a dict of "
            "tensors. Save model.state_dict()."
        )
    return content


def load(
    source: Source, map_location: Any = "cpu", weights_only: bool = True, **kwargs: Any
) -> Any:
    """Do what ``torch.load`` does, without running any code from the file.

    Args:
        source: A file name, or a file that is open for reading.
        map_location: As for ``torch.load``.
        weights_only: Accepted from callers of ``torch.load`` and taken as True; who
            trusts a file says so by :func:`trust_checkpoints`.
        **kwargs: As for ``torch.load``.

    Raises:
        RefusedCheckpointError: If the file holds objects that are not data, unless
            checkpoints are trusted.
        CheckpointError: If it is damaged or no checkpoint.
        FileNotFoundError: If there is no such file.
    """
    kwargs = {**kwargs, "map_location": map_location}
    start = None if isinstance(source, (str, os.PathLike)) else source.tell()
    name = "An open file" if start is not None else f"'{source}'"
    try:
        with _known_types_alone():
            return torch.load(source, weights_only=True, **kwargs)
    except (FileNotFoundError, PermissionError):
        raise
    except (pickle.UnpicklingError, *_DAMAGED) as err:
        refused = _refused_object(source, err)
        if refused is None:
            raise CheckpointError(
                f"{name} is no readable checkpoint; it is damaged, cut short or of "
                f"another format ({type(err).__name__}: {_first_line(err)}). Copy or "
                "train it again."
            ) from err
        if not _trusted:
            raise RefusedCheckpointError(
                f"Checkpoint {name} holds {refused}, which could run code when loaded; "
                "it is refused. If you trust whoever made the file, pass "
                "--trust-checkpoint (in Python: with mmrazor.core.checkpoint_reader."
                "trusting(): ...), which loads it with weights_only=False and runs "
                "the code in it."
            ) from err
    print_log(
        f"Checkpoint {name} holds {refused}; it is trusted, and its code is run.",
        logger="current",
        level=logging.WARNING,
    )
    if not isinstance(source, (str, os.PathLike)):
        source.seek(start or 0)
    return torch.load(source, weights_only=False, **kwargs)


def _refused_object(source: Source, err: Exception) -> str | None:
    """Name what a file was refused for; None if it is no checkpoint at all."""
    text = str(err)
    if isinstance(err, RuntimeError) and ".tar" in text:
        # torch has no limits for these
        return "pickles of torch 0.1 in a tar archive" if _is_tar(source) else None
    if not isinstance(err, pickle.UnpicklingError):
        return None
    if "Unsupported operand" in text and zipfile.is_zipfile(source):
        return "a pickle of a newer protocol than torch writes"
    found = _NAMED.search(text)
    return None if found is None else f"the Python object '{found[1]}'"


def _is_tar(source: Source) -> bool:
    """Tell whether an archive is one of torch's, not merely a file of zeros."""
    try:
        if isinstance(source, (str, os.PathLike)):
            with tarfile.open(source) as archive:
                return "pickle" in archive.getnames()
        source.seek(0)
        with tarfile.open(fileobj=source) as archive:
            return "pickle" in archive.getnames()
    except tarfile.TarError:
        return False


def _first_line(err: Exception) -> str:
    text = str(err).rpartition("WeightsUnpickler error: ")[2]
    return (text.splitlines() or [""])[0][:80]


@contextmanager
def _known_types_alone() -> Iterator[None]:
    """Allow the known types in pickles, and of those that others allow no rivals.

    mmengine allows ``getattr`` itself, by which a pickle reaches everything.
    """
    before = torch.serialization.get_safe_globals()
    known = _known_globals()
    names = {_global_name(one) for one in known}
    others = [one for one in before if _global_name(one) not in names]
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([*others, *known])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _global_name(one: Any) -> str:
    return one[1] if isinstance(one, tuple) else f"{one.__module__}.{one.__qualname__}"


class _PlainMapping:
    """Stands in for mappings of other packages: an ``OrderedDict`` is made instead."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict(*args)


def _plain_defaultdict(factory: Any = None, *items: Any) -> dict:
    """Stand in for ``defaultdict``, whose factory is not wanted."""
    return dict(*items)


def _known_method(owner: type, name: str) -> Callable[..., Any]:
    """Stand in for ``getattr``, by which pickles name methods; knows harmless ones."""
    public = owner is HistoryBuffer and not name.startswith("_")
    if public or (owner is OneCycleParamScheduler and name in _ANNEALING):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"refused: function builtins.getattr of '{owner}'")


@cache
def _known_globals() -> tuple[Any, ...]:
    """List the classes and functions that checkpoints may refer to."""
    known: list[Any] = [
        # of mmengine's own checkpoints
        HistoryBuffer,
        ConfigDict,  # in dataset_meta, if the config names classes
        OneCycleParamScheduler,  # its state names the function that it anneals by
        (_known_method, "builtins.getattr"),
        # of those of mmcv 1 and of the projects that weights were converted from
        argparse.Namespace,
        types.SimpleNamespace,
        TorchVersion,
        (_plain_defaultdict, "collections.defaultdict"),
    ]
    for mapping in (
        "addict.addict.Dict",
        "mmcv.utils.config.ConfigDict",
        "yacs.config.CfgNode",
    ):
        known.append((_PlainMapping, mapping))
    for module in ("pathlib", "pathlib._local"):
        for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath):
            name = kind.__name__
            known += [(kind, f"{module}.{name}"), (kind, f"{module}.{name[4:]}")]
    for time in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta):
        known.append((time, f"datetime.{time.__name__}"))
    known.append((datetime.timezone, "datetime.timezone"))
    for plain in (bool, int, float, str, list, tuple, dict, frozenset, slice):
        known.append((plain, f"builtins.{plain.__name__}"))
    return (*known, *_known_of_numpy())


def _known_of_numpy() -> list[Any]:
    array, scalar = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    known: list[Any] = [np.ndarray, np.dtype]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        known += [(array, f"{module}._reconstruct"), (scalar, f"{module}.scalar")]
    codes = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?SU"
    for dtype in map(np.dtype, codes):
        known += [type(dtype), dtype.type]
    return known
