"""Distillers: which values of student and teacher meet in which loss."""

from .connectors import ConvModuleConnector, LinearConnector, NormConnector
from .distiller import Distiller, DistillError
from .teacher import Teacher
from .teacher_cache import TeacherCache, TeacherCacheError

__all__ = [
    "ConvModuleConnector",
    "DistillError",
    "Distiller",
    "LinearConnector",
    "NormConnector",
    "Teacher",
    "TeacherCache",
    "TeacherCacheError",
]
