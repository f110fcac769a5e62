# SPOS (Guo et al., 2020, arXiv:1904.00420), section 3.4, recomputes the batch norm
# statistics of every candidate. Here they are pooled, as in "Rethinking 'Batch' in
# BatchNorm" (Wu and Johnson, 2021, arXiv:2105.07576), not a moving average.
"""Batch norm statistics of a Subnet: the mean and variance over all that was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

Forward: TypeAlias = "Callable[[Tensor], Tensor]"


class PooledStatistics:
    """Mean and variance by channel over all batches, in float64.

    Batches are merged as in Chan et al., 1979, "Updating formulae and a pairwise
    algorithm for computing sample variances": no squares of large numbers are summed.

    Example:
        >>> pooled = PooledStatistics()
        >>> for batch in ([[1.0], [2.0]], [[6.0]]):
        ...     pooled.add_(torch.tensor(batch))
        >>> pooled.mean.item(), pooled.variance().item()
        (3.0, 7.0)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add_(self, batch: Tensor) -> None:
        """Take a batch in, shape ``(N, C, ...)``."""
        rows = batch.detach().transpose(0, 1).flatten(1).double()
        count, mean = rows.shape[1], rows.mean(1)
        squares = (rows - mean[:, None]).square().sum(1)
        total = self.count + count
        shift = mean - self.mean.to(mean)
        spread = shift.square() * (self.count * count / total)
        self._squares = self._squares.to(mean) + squares + spread
        self.mean = self.mean.to(mean) + shift * (count / total)
        self.count = total

    def variance(self) -> Tensor:
        """Return the unbiased variance, shape ``(C,)``."""
        return self._squares / max(self.count - 1, 1)


@contextmanager
def calibrated_bn(model: nn.Module, show: Callable[[], Any]) -> Iterator[None]:
    """Give batch norms the statistics of the data that ``show`` runs the model on.

    While it is shown, each batch norm normalises with the statistics of the batch, as
    in training, and takes part in no synchronisation between ranks. The rest of the
    model is in eval mode. Batch norms that do not run keep what they had. On exit all
    have their old statistics again.

    Args:
        model: In any mode; it is in eval mode afterwards.
        show: Runs the model on all the data.
    """
    layers: list[Any] = [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    model.eval()
    pooled = [PooledStatistics() for _ in layers]
    for layer, statistics in zip(layers, pooled, strict=True):
        layer.forward = _pooling_forward(layer, statistics)
    try:
        with torch.no_grad():
            show()
    finally:
        for layer in layers:
            del layer.forward
    old = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]
    for layer, statistics in zip(layers, pooled, strict=True):
        if statistics.count:
            _set_(layer, statistics.mean, statistics.variance())
    try:
        yield
    finally:
        for layer, (mean, variance) in zip(layers, old, strict=True):
            _set_(layer, mean, variance)


def _pooling_forward(layer: _BatchNorm, statistics: PooledStatistics) -> Forward:
    def forward(batch: Tensor) -> Tensor:
        statistics.add_(batch)
        return F.batch_norm(
            batch, None, None, layer.weight, layer.bias, training=True, eps=layer.eps
        )

    return forward


def _set_(layer: Any, mean: Tensor, variance: Tensor) -> None:
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
