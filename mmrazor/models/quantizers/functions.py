# torch calls one operation by many names: `x + y`, `x += y` and `torch.add` are one
# kind. Only kinds that a backend may quantize, or that are looked through, have a name
# here; everything else is left alone.
"""Kinds of torch functions, as quantization sees them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor
from torch.nn import functional

#: Kinds whose second tensor is a weight.
WEIGHTED = frozenset({"conv", "conv_transpose", "linear"})
#: What only moves elements: a scale before it is a scale behind it.
MOVES = frozenset({"move", "max_pool"})
#: What a runtime computes within the operation before it.
FUSED = frozenset({"norm", "clamp"})
#: Names of functions that read elements of a tensor and return none.
READS = frozenset(
    {"item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__array__"}
    | {"__bool__", "__int__", "__index__", "__float__", "__complex__", "__contains__"}
)

_NAMES = {
    "conv": "conv1d conv2d conv3d",
    "conv_transpose": "conv_transpose1d conv_transpose2d conv_transpose3d",
    "linear": "linear",
    "matmul": "matmul __matmul__ __rmatmul__ bmm mm",
    "attention": "scaled_dot_product_attention",
    "add": "add __add__ __radd__ __iadd__",
    "mul": "mul multiply __mul__ __rmul__ __imul__",
    "cat": "cat concat concatenate",
    "max_pool": "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d",
    "avg_pool": "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d",
    "norm": "batch_norm",
    "clamp": "relu relu6 hardtanh clamp clip clamp_min clamp_max",
    "move": "view reshape flatten permute transpose swapaxes movedim squeeze unsqueeze "
    "contiguous expand chunk split unbind narrow select __getitem__ detach clone roll "
    "dropout feature_dropout dropout2d alpha_dropout pixel_shuffle pixel_unshuffle "
    "channel_shuffle",
    "pad": "pad",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_MAX_POOLS = (
    functional.max_pool1d,
    functional.max_pool2d,
    functional.max_pool3d,
)


def kind_of(func: Any) -> str | None:
    """Return the kind of a torch function, None for one that is of no concern.

    Example:
        >>> import torch
        >>> kind_of(torch.Tensor.add_), kind_of(torch.cat), kind_of(torch.sin)
        ('add', 'cat', None)
    """
    try:
        return _CACHE[func]
    except KeyError:
        kind = _CACHE[func] = _found_kind(func)
        return kind


_CACHE: dict[Any, str | None] = {}


def _found_kind(func: Any) -> str | None:
    if func in _MAX_POOLS:
        return "max_pool"
    name = getattr(func, "__name__", "")
    if name.startswith("__"):
        return _KINDS.get(name)
    return _KINDS.get(name.removesuffix("_"))


def pads_with_zero(args: tuple, kwargs: dict) -> bool:
    """Tell whether a call of ``torch.nn.functional.pad`` adds zeros, or what is there.

    Example:
        >>> pads_with_zero((None, [1, 1]), {})
        True
        >>> pads_with_zero((None, [1, 1]), {'value': 2.0})
        False
    """
    mode = kwargs.get("mode", args[2] if len(args) > 2 else "constant")
    value = kwargs.get("value", args[3] if len(args) > 3 else None)
    return mode != "constant" or not value


def pads_images(func: Any, args: tuple, kwargs: dict) -> bool:
    """Tell whether a call adds zeros around images, as a convolution may itself.

    Example:
        >>> import torch
        >>> x = torch.zeros(1, 3, 4, 4)
        >>> pads_images(functional.pad, (x, [0, 1, 0, 1]), {})
        True
        >>> pads_images(functional.pad, (x, [0, 0, 0, 0, 0, 1]), {})  # a channel more
        False
    """
    if getattr(func, "__name__", "") != "pad":
        return False
    given = dict(zip(("input", "pad", "mode", "value"), args, strict=False)) | kwargs
    sizes = given["pad"]
    constant = given.get("mode", "constant") == "constant" and not given.get("value")
    inside = len(sizes) <= 2 * (given["input"].dim() - 2)
    return constant and inside and all(size >= 0 for size in sizes)


def num_macs(kind: str, inputs: Sequence[Tensor], output: Tensor) -> int:
    """Return the multiply-accumulates of one call, 0 for kinds that have none.

    Args:
        kind: Of the function.
        inputs: The tensors it was called with, in their order.
        output: What it returned.

    Example:
        >>> import torch
        >>> x, weight = torch.zeros(2, 4), torch.zeros(3, 4)
        >>> num_macs('linear', [x, weight], functional.linear(x, weight))
        24
    """
    if kind in ("conv", "linear"):
        return output.numel() * prod(inputs[1].shape[1:])
    if kind == "conv_transpose":
        return inputs[0].numel() * prod(inputs[1].shape[1:])
    if kind == "matmul":
        return output.numel() * inputs[0].shape[-1]
    return 0
