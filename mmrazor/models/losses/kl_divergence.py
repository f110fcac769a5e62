"""Knowledge distillation by the divergence of softened predictions.

Distilling the Knowledge in a Neural Network (Hinton, Vinyals, Dean, 2015,
arXiv:1503.02531), section 2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from .base import DistillLoss, check_same_shape, check_temperature, resized_like


def kl_divergence(student_BK: Tensor, teacher_BK: Tensor, tau: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of softened class distributions, times tau squared.

    Used by KD (Hinton et al., 2015, arXiv:1503.02531). The factor keeps the size of the
    gradient when the temperature changes.

    Args:
        student_BK: Logits, shape ``(B, K)`` or ``(B, K, H, W)``, classes on axis 1.
        teacher_BK: Logits of the same shape.
        tau: Temperature, above 0.

    Returns:
        Scalar: the sum over classes and positions, divided by ``B``.

    Raises:
        LossInputError: If the shapes differ.

    Example:
        >>> import torch
        >>> float(kl_divergence(torch.zeros(1, 2), torch.zeros(1, 2)))
        0.0
    """
    check_same_shape(student_BK, teacher_BK)
    student_log = F.log_softmax(student_BK / tau, dim=1)
    teacher_log = F.log_softmax(teacher_BK / tau, dim=1)
    divergence = F.kl_div(
        student_log, teacher_log, reduction="batchmean", log_target=True
    )
    return tau**2 * divergence


@MODELS.register_module()
class KLDivergence(DistillLoss):
    """KD, see :func:`kl_divergence`.

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
        """Return :func:`kl_divergence`; a teacher's map is resized to the student's."""
        return kl_divergence(student, resized_like(teacher, student), self.tau)
