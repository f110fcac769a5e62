"""Distillation losses: two tensors in, one scalar out."""

from .base import DistillLoss, LossInputError
from .channel_wise_divergence import ChannelWiseDivergence, channel_wise_divergence
from .kd_soft_ce_loss import KDSoftCELoss, soft_cross_entropy
from .kl_divergence import KLDivergence, kl_divergence
from .l2_loss import L2Loss, half_squared_error

__all__ = [
    "ChannelWiseDivergence",
    "DistillLoss",
    "KDSoftCELoss",
    "KLDivergence",
    "L2Loss",
    "LossInputError",
    "channel_wise_divergence",
    "half_squared_error",
    "kl_divergence",
    "soft_cross_entropy",
]
