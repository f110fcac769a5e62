# mmcv's operators are called through a compiled module, past torch's dispatcher. The
# functions of that module are wrapped while a model is traced, so that a call is seen
# with all its tensors whatever layer makes it.
"""See the calls of mmcv's compiled operators."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import _disable_current_modes

_EXTENSION = "mmcv._ext"

Listener = Callable[[str, tuple, dict, Any], None]


@contextmanager
def extension_calls(listener: Listener) -> Iterator[None]:
    """Tell a listener of every call of mmcv's compiled functions.

    The functions write into tensors that they are given, so a call's tensors hold its
    inputs and its outputs. Without mmcv's operators nothing happens.

    Args:
        listener: Called with ``mmcv::<function>``, arguments and result.
    """
    extension = sys.modules.get(_EXTENSION)
    if extension is None:
        yield
        return
    originals = {
        name: function
        for name, function in vars(extension).items()
        if callable(function) and not name.startswith("_")
    }

    def wrapped(name: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            with _disable_current_modes():  # what it computes with is its own business
                result = function(*args, **kwargs)
                listener(f"mmcv::{name}", args, kwargs, result)
            return result

        return call

    try:
        for name, function in originals.items():
            setattr(extension, name, wrapped(name, function))
        yield
    finally:
        for name, function in originals.items():
            setattr(extension, name, function)
