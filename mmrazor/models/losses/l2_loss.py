"""Squared error of hints.

FitNets: Hints for Thin Deep Nets (Romero et al., 2015, arXiv:1412.6550), equation 3:
half the squared Euclidean distance between the teacher's hint and the student's guided
layer after a regressor, which here is a connector on the student's value.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from .base import DistillLoss, check_same_shape, resized_like


def half_squared_error(
    student: Tensor, teacher: Tensor, reduction: str = "mean"
) -> Tensor:
    """Half the squared error of two values of one shape.

    Args:
        student: Any shape ``(B, ...)``.
        teacher: The same shape.
        reduction: ``mean`` over all elements, or ``batchmean``: the sum divided by
            ``B``,
            which is the paper's formula averaged over the batch.

    Returns:
        Scalar.

    Raises:
        LossInputError: If the shapes differ.

    Example:
        >>> import torch
        >>> float(half_squared_error(torch.ones(1, 4), torch.zeros(1, 4), 'batchmean'))
        2.0
    """
    check_same_shape(student, teacher)
    if reduction == "batchmean":
        return F.mse_loss(student, teacher, reduction="sum") / (2 * student.shape[0])
    return F.mse_loss(student, teacher) / 2


@MODELS.register_module()
class L2Loss(DistillLoss):
    """FitNets' hint loss, see :func:`half_squared_error`.

    A teacher's map of another spatial size is resized to the student's.

    Args:
        reduction: ``mean`` or ``batchmean``.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If ``reduction`` is another word.
    """

    def __init__(self, reduction: str = "mean", loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        if reduction not in ("mean", "batchmean"):
            raise ValueError(f"reduction is {reduction!r}; use 'mean' or 'batchmean'.")
        self.reduction = reduction

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return :func:`half_squared_error`."""
        return half_squared_error(
            student, resized_like(teacher, student), self.reduction
        )
