"""Importance by what the loss would change.

Importance Estimation for Neural Network Pruning (Molchanov et al., 2019,
arXiv:1906.10771): to first order, the loss without a weight ``w`` of
gradient ``g`` differs by ``g w``; the squared difference is the importance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....core.graph.channel_group import ChannelGroup, Slot
from ....registry import MODELS
from .base import (
    Importance,
    ImportanceError,
    Roles,
    at_least_float32,
    checked_roles,
    rows_of,
    slots_of,
)
from .combine import check_combination, combined


def channel_taylor(rows: Tensor, grads: Tensor, multivariable: bool = False) -> Tensor:
    """First-order effect of each channel on the loss.

    Args:
        rows: Weights by channel, shape ``(C, n)``.
        grads: Their gradients, of the same shape.
        multivariable: Whether the weights of a channel go together: ``(sum g w)^2``
            instead of ``sum |g w|``.

    Returns:
        Shape ``(C,)``.

    Example:
        >>> weights, grads = torch.tensor([[1., 2.]]), torch.tensor([[3., -1.]])
        >>> float(channel_taylor(weights, grads))
        5.0
        >>> float(channel_taylor(weights, grads, multivariable=True))
        1.0
    """
    effect = rows * grads
    return effect.sum(1).square() if multivariable else effect.abs().sum(1)


@MODELS.register_module()
class TaylorImportance(Importance):
    """Weights times gradients, see :func:`channel_taylor`, all slots taken together.

    The gradients are those that the parameters have now: sums over the batches since
    they were last zeroed.

    Args:
        multivariable: Whether the weights of a channel go together. A convolution with
            a batch norm in train mode behind it does not change when a filter is
            scaled, so ``sum g w`` of its ``out`` slot is 0 for every channel: read
            ``roles=('in',)`` then, whose sum is the gradient of a gate on the channel.
        roles: Slots that count: ``out`` are the filters that make the channels.
        normalization: Over channels, see :func:`~.combine.combined`.

    Raises:
        ValueError: If an argument is another word.
        ImportanceError: If a group has no slot of these roles, or no gradient.
    """

    reads_gradients = True

    def __init__(
        self,
        multivariable: bool = False,
        roles: Roles = ("out",),
        normalization: str = "none",
    ) -> None:
        self.roles = checked_roles(roles)
        check_combination("sum", normalization)
        self.multivariable, self.normalization = multivariable, normalization

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        slots = slots_of(group, self.roles, type(self).__name__)
        rows = torch.cat([rows_of(group, slot) for slot in slots], 1)
        grads = torch.cat([_gradient_rows(group, slot) for slot in slots], 1)
        scores = channel_taylor(rows, grads, self.multivariable).cpu().double()
        return combined(scores[None], "sum", self.normalization)


def _gradient_rows(group: ChannelGroup, slot: Slot) -> Tensor:
    parameter = group.tensor(slot)
    if parameter.grad is None:
        frozen = "" if parameter.requires_grad else " (requires_grad is False)"
        raise ImportanceError(
            f"Group '{group.name}': '{slot.name}' has no gradient{frozen}. "
            "TaylorImportance needs one: run loss.backward() on a few batches first."
        )
    return at_least_float32(slot.rows(parameter.grad.detach()))
