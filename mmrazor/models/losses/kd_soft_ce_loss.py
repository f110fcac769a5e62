"""Knowledge distillation by cross entropy against softened teacher predictions.

Distilling the Knowledge in a Neural Network (Hinton, Vinyals, Dean, 2015,
arXiv:1503.02531). Its gradient is that of :mod:`.kl_divergence`; its value is larger by
the entropy of the teacher's distribution.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from .base import DistillLoss, check_same_shape, check_temperature


def soft_cross_entropy(
    student_BK: Tensor, teacher_BK: Tensor, tau: float = 1.0
) -> Tensor:
    """Cross entropy with the teacher's softened distribution as target, times tau^2.

    Args:
        student_BK: Logits, shape ``(B, K)``.
        teacher_BK: Logits of the same shape.
        tau: Temperature, above 0.

    Returns:
        Scalar, mean over the batch.

    Raises:
        LossInputError: If the shapes differ.
    """
    check_same_shape(student_BK, teacher_BK)
    target_BK = F.softmax(teacher_BK / tau, dim=1)
    return tau**2 * F.cross_entropy(student_BK / tau, target_BK)


@MODELS.register_module()
class KDSoftCELoss(DistillLoss):
    """KD as cross entropy, see :func:`soft_cross_entropy`.

    Args:
        tau: Temperature, above 0.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If ``tau`` is not above 0.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_temperature(tau)
        self.tau = tau

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return :func:`soft_cross_entropy`."""
        return soft_cross_entropy(student, teacher, self.tau)
