# mmcv's operators are called through a compiled module, past torch's dispatcher. The
# functions of that module are wrapped while a model is traced, so that a call is seen
# with all its tensors whatever layer makes it.
"""See the calls of mmcv's compiled operators."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from .forward import map_tensors

_EXTENSION = "mmcv._ext"

Listener = Callable[[str, tuple, dict, Any], None]


Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]


@contextmanager
def extension_calls(listener: Listener) -> Iterator[None]:
    """Tell a listener of every call of mmcv's compiled functions.

    The functions write into tensors that they are given, so a call's tensors hold its
    inputs and its outputs. Without mmcv's operators nothing happens.

    Args:
        listener: Called with ``mmcv::<function>``, arguments and result.
    """

    def heard(name: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            with _disable_current_modes():  # what it computes with is its own business
                result = function(*args, **kwargs)
                listener(f"mmcv::{name}", args, kwargs, result)
            return result

        return call

    with wrapped_extensions(heard):
        yield


@contextmanager
def extensions_in_float32() -> Iterator[None]:
    """Let mmcv's compiled functions take float64, which several refuse, as float32."""

    def single(_: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            twins: list[tuple[Tensor, Tensor]] = []

            def narrow(tensor: Tensor) -> Tensor:
                if tensor.dtype != torch.float64:
                    return tensor
                twins.append((tensor, tensor.float()))
                return twins[-1][1]

            given = map_tensors((args, kwargs), narrow)
            result = function(*given[0], **given[1])
            for tensor, twin in twins:
                if not torch.equal(tensor.float(), twin):  # it was written into
                    tensor.copy_(twin)
            return map_tensors(
                result, lambda t: t.double() if t.dtype == torch.float32 else t
            )

        return call

    with wrapped_extensions(single):
        yield


@contextmanager
def wrapped_extensions(wrap: Wrap) -> Iterator[None]:
    """Replace mmcv's compiled functions for a while.

    Args:
        wrap: From a function's name and the function to what takes its place.
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
    try:
        for name, function in originals.items():
            setattr(extension, name, wrap(name, function))
        yield
    finally:
        for name, function in originals.items():
            setattr(extension, name, function)
