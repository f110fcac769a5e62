# The choices of Torch-Pruning's importances under the names that its users know.
"""From scores of several slots to one score a channel, in one scale for all groups.

``S`` slots, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _safe_ratio(values: Tensor, divisor: Tensor) -> Tensor:
    """Divide; by zero (all channels alike, or all zero) gives zeros."""
    return values / divisor if float(divisor) else torch.zeros_like(values)


def _standard(scores_C: Tensor) -> Tensor:
    least = scores_C.min()
    return _safe_ratio(scores_C - least, scores_C.max() - least)


def _gaussian(scores_C: Tensor) -> Tensor:
    centred = scores_C - scores_C.mean()
    return _safe_ratio(centred, centred.square().mean().sqrt())


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda scores_SC: scores_SC.mean(0),
    "sum": lambda scores_SC: scores_SC.sum(0),
    "max": lambda scores_SC: scores_SC.amax(0),
    "prod": lambda scores_SC: scores_SC.prod(0),
    "first": lambda scores_SC: scores_SC[0],
}
NORMALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda scores_C: scores_C,
    "mean": lambda scores_C: _safe_ratio(scores_C, scores_C.mean()),
    "max": lambda scores_C: _safe_ratio(scores_C, scores_C.max()),
    "sum": lambda scores_C: _safe_ratio(scores_C, scores_C.sum()),
    "standarization": _standard,
    "gaussian": _gaussian,
}


def combined(scores_SC: Tensor, reduction: str, normalization: str) -> Tensor:
    """Reduce over slots, then bring the scores into a scale.

    Args:
        scores_SC: Scores of every slot, at least 0, shape ``(S, C)``.
        reduction: Over slots: ``mean``, ``sum``, ``max``, ``prod`` or ``first``.
        normalization: Over channels: ``none``; divided by their ``mean``, ``max`` or
            ``sum``; ``standarization``, from 0 for the lowest to 1 for the highest;
            ``gaussian``, of mean 0 and standard deviation (of the population) 1.

    Returns:
        Shape ``(C,)``.

    Example:
        >>> combined(torch.tensor([[1., 2.], [4., 8.]]), 'sum', 'max').tolist()
        [0.5, 1.0]
    """
    return NORMALIZATIONS[normalization](REDUCTIONS[reduction](scores_SC))


def check_combination(reduction: str, normalization: str) -> None:
    """Refuse unknown words.

    Raises:
        ValueError: With the known ones.
    """
    given: list[tuple[str, str, dict[str, Any]]] = [
        ("reduction", reduction, REDUCTIONS),
        ("normalization", normalization, NORMALIZATIONS),
    ]
    for name, word, known in given:
        if word not in known:
            raise ValueError(f"{name} is {word!r}; use one of {list(known)}.")
