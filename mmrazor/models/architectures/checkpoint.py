# What is in a file is read by core/checkpoint_reader.py, which runs no code from it.
"""Find a checkpoint and load it into a model, or say what does not fit."""

from __future__ import annotations

import difflib
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from ...core.checkpoint_reader import read_checkpoint
from ...core.downloads import download
from ...core.names import renamed_to_fit

_SHOWN = 5


def load_weights(model: nn.Module, source: str | os.PathLike[str]) -> None:
    """Load a checkpoint into a model; every key and shape must match.

    Takes checkpoints of mmengine (``state_dict`` inside), plain state dicts, those of a
    model in ``DataParallel``, and those of an Algorithm, from which the Architecture is
    taken.

    Args:
        model: Receives the weights, in place.
        source: A file name or an ``http(s)://`` address.

    Raises:
        FileNotFoundError: If there is no such file.
        ConnectionError: If the address cannot be reached.
        ValueError: If the file is no checkpoint, holds refused objects or does not fit.
    """
    path = checkpoint_file(source)
    state = model_state(read_checkpoint(path), str(source))
    load_state(model, renamed_to_fit(state, model.state_dict()), str(source))
    # mmengine's init_weights() would overwrite what was loaded.
    if isinstance(model, BaseModule):
        model.is_init = True


def checkpoint_file(source: str | os.PathLike[str]) -> Path:
    """Return the local file behind a file name or address, downloading it once."""
    text = os.fspath(source)
    if text.startswith(("http://", "https://")):
        return download(text)
    if "://" in text:
        raise ValueError(
            f"Checkpoint '{text}' has a scheme that is not known here. "
            "Give a file name or an http(s) address."
        )
    path = Path(text).expanduser()
    if path.is_file():
        return path
    others = [p.name for p in path.parent.glob("*.pth")]
    close = difflib.get_close_matches(path.name, others, n=_SHOWN)
    hint = f" In that folder lie: {', '.join(close or sorted(others)[:_SHOWN])}."
    raise FileNotFoundError(
        f"There is no checkpoint file '{text}'.{hint if others else ''} "
        "Train it first, or correct the path."
    )


def model_state(checkpoint: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Return the model's tensors of a checkpoint, by the names they were stored with.

    Raises:
        ValueError: If the checkpoint has no tensors.
    """
    state = checkpoint
    for key in ("state_dict", "model"):
        if isinstance(checkpoint.get(key), Mapping):
            state = checkpoint[key]
            break
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(
            f"Checkpoint '{name}' holds no model weights; its keys are "
            f"{sorted(map(str, checkpoint))[:_SHOWN]}. "
            "Expected 'state_dict' or plain tensors."
        )
    return _copy(state) if len(tensors) == len(state) else tensors


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    copied = OrderedDict(state)
    if hasattr(state, "_metadata"):
        copied._metadata = state._metadata  # type: ignore[attr-defined]
    return copied


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load tensors into a model; every key and shape must match.

    Args:
        model: Receives them, in place.
        state: The tensors.
        name: Of the checkpoint, for the error.

    Raises:
        ValueError: If they do not fit.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    error: RuntimeError | None = None
    missing: Iterable[str] = own.keys() - given.keys()
    unexpected: Iterable[str] = given.keys() - own.keys()
    try:
        # Modules rename keys of older versions while loading, so torch has the say.
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as err:
        error = err
    # Checkpoints older than torch 0.4 have no such counters; what the file has and the
    # model takes out while loading (tables that it computes anew) is not missing.
    missing = [
        key
        for key in missing
        if not key.endswith("num_batches_tracked") and key not in given
    ]
    reshaped = [
        f"{key} is {given[key]} in the checkpoint and {own[key]} in the model"
        for key in own
        if key in given and given[key] != own[key] and error is not None
    ]
    parts = [
        _listing(missing, "missing", ", "),
        _listing(unexpected, "unexpected", ", "),
        _listing(reshaped, "of another shape", "; "),
    ]
    if error is None and not missing and not list(unexpected):
        return
    raise ValueError(
        f"Checkpoint '{name}' does not fit {type(model).__name__} ({len(own)} keys): "
        f"{'; '.join(part for part in parts if part) or error}. Give the config it was "
        "made with (classes, depth), or, to load only what fits, put "
        "init_cfg=dict(type='Pretrained', checkpoint=...) into the model dict."
    ) from error


def _listing(keys: Iterable[str], what: str, separator: str) -> str:
    keys = sorted(keys)
    if not keys:
        return ""
    more = separator + "..." if len(keys) > _SHOWN else ""
    return f"{len(keys)} {what} ({separator.join(keys[:_SHOWN])}{more})"
