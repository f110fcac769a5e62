"""Importances: which channels of a group matter most."""

from .base import Importance, ImportanceError, SlotImportance
from .bn_scale import BNScaleImportance
from .build import build_importance
from .fisher import FisherImportance
from .fpgm import FPGMImportance, sum_of_distances
from .lamp import LAMPImportance, lamp_scores
from .magnitude import (
    GroupNormImportance,
    L1Importance,
    L2Importance,
    channel_l1,
    channel_l2,
    channel_square_sum,
)
from .random_scores import RandomImportance
from .taylor import TaylorImportance, channel_taylor

__all__ = [
    "BNScaleImportance",
    "FPGMImportance",
    "FisherImportance",
    "GroupNormImportance",
    "Importance",
    "ImportanceError",
    "L1Importance",
    "L2Importance",
    "LAMPImportance",
    "RandomImportance",
    "SlotImportance",
    "TaylorImportance",
    "build_importance",
    "channel_l1",
    "channel_l2",
    "channel_square_sum",
    "channel_taylor",
    "lamp_scores",
    "sum_of_distances",
]
