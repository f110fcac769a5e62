"""How good and how small a quantized tensor is."""

from __future__ import annotations

import torch
from torch import Tensor


def sqnr_db(reference: Tensor, other: Tensor) -> float:
    """Return the ratio of a signal to the error of its copy, in decibels.

    That is ``10 log10(sum(reference**2) / sum((reference - other)**2))``.

    Args:
        reference: Signal.
        other: Copy with errors, of the same shape.

    Returns:
        ``inf`` if the two are equal; ``-inf`` if only the reference is all zeros.

    Raises:
        ValueError: If the shapes differ or there are no elements.

    Example:
        >>> round(sqnr_db(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])), 4)
        20.0
    """
    if reference.shape != other.shape or not reference.numel():
        raise ValueError(
            f"A signal of shape {tuple(reference.shape)} and a copy of shape "
            f"{tuple(other.shape)}: give one shape, with at least one element."
        )
    signal = reference.detach().double()
    power = signal.square().sum()
    noise = (signal - other.detach().double()).square().sum()
    if not noise:
        return float("inf")
    return float(10 * torch.log10(power / noise))


def num_bytes(numel: int, bits: int) -> int:
    """Return the bytes of so many integers packed without gaps.

    Example:
        >>> num_bytes(3, 4)
        2
    """
    return -(-numel * bits // 8)
