# What a model returns may say little: a detector that finds nothing returns no number,
# and one that finds something returns the best of its anchors. What its modules return
# says more; a sample of it is enough, and takes no memory to speak of.
"""How far two runs of a model are apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from .trace import tensors_in

_SAMPLE = 4096


def relative_difference(expected: Any, actual: Any) -> float:
    """Return the largest relative difference of the floats in two nested outputs.

    Places that are nan in both count as equal.

    Example:
        >>> import torch
        >>> relative_difference([torch.tensor([2.0])], [torch.tensor([1.0])])
        0.5
    """
    first, second = list(tensors_in(expected)), list(tensors_in(actual))
    if len(first) != len(second):
        return float("inf")
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.is_floating_point() and a.numel():
            worst = max(worst, _difference(a, b))
    return worst


def _difference(a: Tensor, b: Tensor) -> float:
    same = (a == b) | (a.isnan() & b.isnan())
    if bool(same.all()):
        return 0.0
    gap = (a.double() - b.double()).abs().masked_fill(same, 0.0)
    scale = a.double().abs().masked_fill(~a.isfinite(), 0.0).max().clamp(min=1e-12)
    value = float(gap.max() / scale)
    return float("inf") if value != value else value


def finite_share(output: Any) -> float:
    """Return which part of the floats in a nested output is finite; 0 for none.

    Example:
        >>> import torch
        >>> finite_share([torch.tensor([1.0, float('nan')]), torch.tensor([3])])
        0.5
    """
    floats = [t for t in tensors_in(output) if t.is_floating_point()]
    total = sum(t.numel() for t in floats)
    return sum(int(t.isfinite().sum()) for t in floats) / total if total else 0.0


def is_zero(output: Any) -> bool:
    """Tell whether there are floats in a nested output, and all of them are 0.

    Example:
        >>> import torch
        >>> is_zero([torch.zeros(2), torch.tensor([3])]), is_zero(torch.tensor(0.5))
        (True, False)
    """
    floats = [t for t in tensors_in(output) if t.is_floating_point() and t.numel()]
    return bool(floats) and not any(bool(t.any()) for t in floats)


Samples = dict[str, list[list[tuple[tuple[int, ...], Tensor]]]]


@contextmanager
def sampled(model: nn.Module) -> Iterator[Samples]:
    """Keep a sample of what every call of every module returns while a model runs."""
    samples: Samples = {}
    handles = []

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            samples.setdefault(name, []).append(
                [
                    (tuple(tensor.shape), _sample(tensor))
                    for tensor in tensors_in(output)
                    if tensor.is_floating_point()
                ]
            )

        return hook

    for name, module in model.named_modules():
        handles.append(module.register_forward_hook(keep(name)))
    try:
        yield samples
    finally:
        for handle in handles:
            handle.remove()


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // _SAMPLE)].clone()


@dataclass(frozen=True)
class Comparison:
    """How two runs compare where modules returned tensors of the same shape.

    Args:
        worst: Largest relative difference.
        numbers: How many finite numbers were compared.
    """

    worst: float = field(default=0.0)
    numbers: int = field(default=0)


def compared(expected: Samples, actual: Samples) -> Comparison:
    """Compare the modules that were called equally often in both runs."""
    worst, numbers = 0.0, 0
    for name, calls in expected.items():
        others = actual.get(name, [])
        if len(others) != len(calls):
            continue
        for mine, theirs in zip(calls, others, strict=True):
            for (shape, a), (other, b) in zip(mine, theirs, strict=False):
                if shape == other and a.numel():
                    numbers += int(a.isfinite().sum())
                    worst = max(worst, _difference(a, b))
    return Comparison(worst, numbers)
