"""What every distillation loss is: a weight and one function of two tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from ...core.values import check_number


class LossInputError(ValueError):
    """Student and teacher values that a loss cannot compare."""


class DistillLoss(nn.Module, ABC):
    """Distance of a student's value from a teacher's, times a weight.

    A subclass defines :meth:`distance` and nothing else.

    Args:
        loss_weight: Factor of the loss in the sum that is minimised.

    Raises:
        ValueError: If it is no finite number.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_number("loss_weight", loss_weight)
        self.loss_weight = loss_weight

    @abstractmethod
    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the distance as a scalar.

        Raises:
            LossInputError: If the two cannot be compared.
        """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the weighted distance; no gradient flows into the teacher's value."""
        return self.loss_weight * self.distance(student, teacher.detach())


def check_temperature(tau: float) -> None:
    """Refuse a temperature that softens nothing.

    Raises:
        ValueError: If it is no finite number above 0.
    """
    try:
        check_number("tau", tau, above=0)
    except ValueError as err:
        raise ValueError(
            f"tau is {tau!r}; a temperature is above 0, and finite."
        ) from err


def resized_like(teacher_BCHW: Tensor, student_BCHW: Tensor) -> Tensor:
    """Return a teacher's map in the student's spatial size (bilinear).

    Maps of one size, and values that are no maps, come back as they are.

    Args:
        teacher_BCHW: Teacher's value, shape ``(B, C, H, W)``.
        student_BCHW: Student's value, shape ``(B, D, h, w)``.

    Returns:
        Shape ``(B, C, h, w)``.
    """
    if teacher_BCHW.dim() != 4 or student_BCHW.dim() != 4:
        return teacher_BCHW
    size = student_BCHW.shape[2:]
    if teacher_BCHW.shape[2:] == size:
        return teacher_BCHW
    return F.interpolate(teacher_BCHW, size, mode="bilinear", align_corners=False)


def check_same_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse two values of different shapes.

    Raises:
        LossInputError: With what would make the shapes alike.
    """
    if student.shape == teacher.shape:
        return
    hint = "Choose sources whose values have one shape."
    if student.dim() == teacher.dim() > 1 and student.shape[1] != teacher.shape[1]:
        hint = (
            f"Map the student's {student.shape[1]} channels to the teacher's "
            f"{teacher.shape[1]}: student_connector=dict("
            f"type='mmrazor.ConvModuleConnector', in_channels={student.shape[1]}, "
            f"out_channels={teacher.shape[1]})"
            + (
                " (mmrazor.LinearConnector for values of shape (B, C))."
                if student.dim() == 2
                else "."
            )
        )
    raise LossInputError(
        f"student has shape {tuple(student.shape)}, teacher {tuple(teacher.shape)}. "
        + hint
    )
