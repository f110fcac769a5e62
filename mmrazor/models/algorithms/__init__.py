"""Algorithms: models that train an Architecture under a compression method."""

from .base import Algorithm
from .ddp import AlgorithmDDP
from .distill import SingleTeacherDistill
from .pruning import DCFF, DMCP, GroupFisher, NetworkSlimming

__all__ = [
    "DCFF",
    "DMCP",
    "Algorithm",
    "AlgorithmDDP",
    "GroupFisher",
    "NetworkSlimming",
    "SingleTeacherDistill",
]
