# N:M sparsity: in every m consecutive inputs of an output at most n weights are not
# zero. Accelerating Sparse Deep Neural Networks (Mishra et al., 2021,
# arXiv:2104.08378). Sparse tensor cores run 2:4; they group the inputs of a convolution
# along its channels, which is the layout ``channels_last`` here.
"""N:M masks as functions of scores.

Shapes: ``O`` outputs, ``I`` input channels of one convolution group, ``K`` inputs of an
output: ``I`` times the kernel's positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LAYOUTS = ("flat", "channels_last")


@dataclass(frozen=True)
class Pattern:
    """Which weights of a layer compete: ``n`` of ``m`` neighbours are kept.

    Args:
        n: Weights kept, in ``[1, m]``.
        m: Neighbours along the input axis.
        layout: Order of the inputs of a convolution. ``flat`` is torch's
            ``weight.flatten(1)``, with the kernel's positions innermost;
            ``channels_last`` puts the channels innermost, as sparse tensor cores want
            them. Linear layers and 1x1 convolutions are the same in both.

    Raises:
        ValueError: If ``n`` and ``m`` are no pattern, or the layout is unknown.

    Example:
        >>> Pattern(2, 4).misfit((8, 3, 7, 7))
        '147 inputs (3x7x7) are not divisible by 4'
        >>> Pattern(2, 4).misfit((8, 16))
        ''
    """

    n: int = 2
    m: int = 4
    layout: str = "flat"

    def __post_init__(self) -> None:
        whole = all(isinstance(v, int) and v is not True for v in (self.n, self.m))
        if not whole or not 0 < self.n <= self.m:
            raise ValueError(
                f"n={self.n!r}, m={self.m!r} is no pattern: n of m weights are kept, "
                "whole numbers with 0 < n <= m, such as n=2, m=4."
            )
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout={self.layout!r} is none of {LAYOUTS}.")

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"

    def misfit(self, shape: Sequence[int]) -> str:
        """Say why a weight of this shape cannot have the pattern, '' if it can."""
        channels, inputs = shape[1], math.prod(shape[1:])
        text = "x".join(map(str, shape[1:]))
        if self.layout == "channels_last" and channels % self.m:
            return f"{channels} input channels are not divisible by {self.m}"
        if inputs % self.m:
            named = f"{inputs} inputs ({text})" if len(shape) > 2 else f"{text} inputs"
            return f"{named} are not divisible by {self.m}"
        return ""

    def columns(self, shape: Sequence[int]) -> Tensor:
        """Return the places in ``weight.flatten(1)`` of the inputs in order, ``(K,)``.

        Example:
            >>> Pattern(1, 2, 'channels_last').columns((8, 2, 1, 3)).tolist()
            [0, 3, 1, 4, 2, 5]
        """
        places = torch.arange(math.prod(shape[1:])).reshape(tuple(shape[1:]))
        return (
            places.movedim(0, -1).flatten()
            if self.layout != "flat"
            else places.view(-1)
        )

    def mask(self, scores: Tensor) -> Tensor:
        """Return :func:`nm_mask` of scores that have the shape of a weight."""
        columns = self.columns(scores.shape).to(scores.device)
        flat = scores.flatten(1)
        mask = torch.empty_like(flat, dtype=torch.bool)
        mask[:, columns] = nm_mask(flat[:, columns], self.n, self.m)
        return mask.view(scores.shape)


def nm_mask(scores: Tensor, n: int, m: int, ties: Tensor | None = None) -> Tensor:
    """Keep the ``n`` highest scores of every ``m`` neighbours on the last axis.

    Args:
        scores: Shape ``(..., K)``, ``K`` divisible by ``m``.
        n: Scores kept in each group, in ``[1, m]``.
        m: Size of a group.
        ties: Decides between equal scores, the higher is kept; same shape. What is
            equal in both keeps the lower index.

    Returns:
        True where kept, exactly ``n`` in each group; same shape.

    Raises:
        ValueError: If ``K`` is not divisible by ``m``.

    Example:
        >>> nm_mask(torch.tensor([3., 1., 2., 9., 0., 0., 0., 5.]), 2, 4).int().tolist()
        [1, 0, 0, 1, 1, 0, 0, 1]
    """
    if scores.shape[-1] % m:
        raise ValueError(f"{scores.shape[-1]} scores are not divisible by m={m}.")
    groups = scores.unflatten(-1, (-1, m))
    if ties is None:
        order = groups.argsort(dim=-1, descending=True, stable=True)
    else:
        first = ties.unflatten(-1, (-1, m)).argsort(
            dim=-1, descending=True, stable=True
        )
        ranked = groups.gather(-1, first)
        order = first.gather(-1, ranked.argsort(dim=-1, descending=True, stable=True))
    mask = torch.zeros_like(groups, dtype=torch.bool)
    return mask.scatter_(-1, order[..., :n], True).flatten(-2)
