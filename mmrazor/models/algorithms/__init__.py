"""Algorithms: models that train an Architecture under a compression method."""

from .base import Algorithm
from .ddp import AlgorithmDDP
from .distill import SingleTeacherDistill
from .nas import DSNAS, SPOS, Darts
from .pruning import DCFF, DMCP, GroupFisher, NetworkSlimming
from .quantization import Quantize

__all__ = [
    "DCFF",
    "DMCP",
    "DSNAS",
    "SPOS",
    "Algorithm",
    "AlgorithmDDP",
    "Darts",
    "GroupFisher",
    "NetworkSlimming",
    "Quantize",
    "SingleTeacherDistill",
]
