"""Weights of a bare model as a file that any reader can load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.files import write_tensors
from ..models.architectures.checkpoint import read_checkpoint


def write_weights(
    path: Path, model: nn.Module, dataset_meta: Mapping[str, Any]
) -> Path:
    """Write a checkpoint with the model's own keys; it loads with ``weights_only``.

    Args:
        path: The file, written whole or not at all.
        model: Its ``state_dict`` is stored, on the CPU.
        dataset_meta: Class names and palette.
    """
    content = {
        "meta": {"dataset_meta": plain_meta(dataset_meta)},
        "state_dict": plain_state(model),
    }
    return write_tensors(path, content)


def stored_meta(checkpoint: Path) -> dict[str, Any]:
    """Return class names and palette as a checkpoint has them; empty for none."""
    meta = read_checkpoint(checkpoint).get("meta") or {}
    return dict(meta.get("dataset_meta") or {})


def plain_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of the weights on the CPU; each tensor owns its memory."""
    return {
        key: value.detach().cpu().clone() for key, value in model.state_dict().items()
    }


def plain_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return class names and palette as plain data, with keys in lower case.

    Example:
        >>> plain_meta({'CLASSES': ('a', 'b'), 'palette': np.zeros((1, 3), int)})
        {'classes': ('a', 'b'), 'palette': [[0, 0, 0]]}
    """
    return {str(key).lower(): _plain(value) for key, value in meta.items()}


def num_bytes(model: nn.Module) -> int:
    """Return the size of a model's weights as a file, without writing one."""
    counter: Any = _Counter()
    torch.save({"meta": {}, "state_dict": plain_state(model)}, counter)
    return counter.total


def size_text(num: int) -> str:
    """Return a number of bytes as people read it.

    Example:
        >>> size_text(3 * 2**20), size_text(700)
        ('3.00 MiB', '0.7 KiB')
    """
    return f"{num / 2**20:.2f} MiB" if num >= 2**20 else f"{num / 2**10:.1f} KiB"


class _Counter:
    """A file that keeps nothing but its length."""

    def __init__(self) -> None:
        self.total = 0

    def write(self, data: Any) -> int:
        length = len(data)
        self.total += length
        return length

    def flush(self) -> None:
        """Do nothing."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str, torch.Tensor)):
        return value
    return str(value)
