"""Operations that Mutables and Pruners put in place of a layer's own."""

from .darts import DARTS_OPS, FactorizedReduce, Zero, darts_op, relu_conv_bn
from .drop_path import DropPath
from .filter_fusion import (
    annealed_inverse_temperature,
    fusion_log_probabilities,
    inter_filter_divergence,
    kept_slots,
)
from .fuse_conv import FuseConv2d
from .inverted_residual import MBBlock
from .shuffle import ShuffleBlock, ShuffleXception

__all__ = [
    "DARTS_OPS",
    "DropPath",
    "FactorizedReduce",
    "FuseConv2d",
    "MBBlock",
    "ShuffleBlock",
    "ShuffleXception",
    "Zero",
    "annealed_inverse_temperature",
    "darts_op",
    "fusion_log_probabilities",
    "inter_filter_divergence",
    "kept_slots",
    "relu_conv_bn",
]
