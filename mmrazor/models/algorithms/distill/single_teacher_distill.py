"""Distillation of one student from one fixed teacher.

Distilling the Knowledge in a Neural Network (Hinton et al., 2015, arXiv:1503.02531) and
every method since that compares values of the two networks during training.
"""

from __future__ import annotations

from typing import Any

from ....registry import MODELS
from ..base import Algorithm


@MODELS.register_module()
class SingleTeacherDistill(Algorithm):
    """Train a student with the losses of its task and of a distiller.

    Args:
        architecture: The student, see :class:`~mmrazor.models.algorithms.Algorithm`.
        teacher: The teacher and its weights, see there.
        distiller: ``dict(losses=...)``, see
            :class:`~mmrazor.models.distillers.Distiller`.
        kwargs: Further arguments of :class:`~mmrazor.models.algorithms.Algorithm`.

    Raises:
        ValueError: If teacher or distiller is missing.
    """

    def __init__(
        self, architecture: Any, teacher: Any, distiller: dict, **kwargs: Any
    ) -> None:
        super().__init__(architecture, teacher=teacher, distiller=distiller, **kwargs)
