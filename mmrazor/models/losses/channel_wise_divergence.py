"""Channel-wise knowledge distillation for dense prediction.

Channel-wise Knowledge Distillation for Dense Prediction (Shu et al., ICCV 2021,
arXiv:2011.13256), equations 2 and 3: each channel's map becomes a distribution over
positions, and the student's is drawn to the teacher's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from .base import (
    DistillLoss,
    LossInputError,
    check_same_shape,
    check_temperature,
    resized_like,
)


def channel_wise_divergence(
    student_BCHW: Tensor, teacher_BCHW: Tensor, tau: float = 1.0
) -> Tensor:
    """Divergence of the spatial distributions of channels, mean over channels.

    Args:
        student_BCHW: Maps, shape ``(B, C, H, W)``.
        teacher_BCHW: Maps of the same shape.
        tau: Temperature, above 0.

    Returns:
        Scalar: ``tau^2 / C`` times the sum over channels, mean over the batch.

    Raises:
        LossInputError: If the values are no maps or their shapes differ.
    """
    if student_BCHW.dim() != 4:
        raise LossInputError(
            f"student has shape {tuple(student_BCHW.shape)}; channel-wise divergence "
            "compares maps (B, C, H, W). Name a source before the pooling."
        )
    check_same_shape(student_BCHW, teacher_BCHW)
    B, C = student_BCHW.shape[:2]
    student_log = F.log_softmax(student_BCHW.flatten(2) / tau, dim=2)
    teacher_log = F.log_softmax(teacher_BCHW.flatten(2) / tau, dim=2)
    divergence = F.kl_div(student_log, teacher_log, reduction="sum", log_target=True)
    return tau**2 * divergence / (B * C)


@MODELS.register_module()
class ChannelWiseDivergence(DistillLoss):
    """CWD, see :func:`channel_wise_divergence`.

    A teacher's map of another spatial size is resized to the student's.

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
        """Return :func:`channel_wise_divergence`."""
        return channel_wise_divergence(
            student, resized_like(teacher, student), self.tau
        )
