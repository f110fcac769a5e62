"""N:M semi-structured pruning: n of every m neighbouring weights stay."""

from .calibration import CalibrationError, input_hessians, unfolded_inputs
from .layers import PrunableLayer, prunable_layers
from .magnitude import magnitude_mask
from .masks import Pattern, nm_mask
from .methods import METHODS
from .pruner import SemiStructuredPruner, semi_structured_
from .report import PrunedLayer, SparsityReport
from .sparse_gpt import HessianError, sparse_gpt
from .wanda import wanda_mask, wanda_scores
from .weight_masks import WeightMasks

__all__ = [
    "METHODS",
    "CalibrationError",
    "HessianError",
    "Pattern",
    "PrunableLayer",
    "PrunedLayer",
    "SemiStructuredPruner",
    "SparsityReport",
    "WeightMasks",
    "input_hessians",
    "magnitude_mask",
    "nm_mask",
    "prunable_layers",
    "semi_structured_",
    "sparse_gpt",
    "unfolded_inputs",
    "wanda_mask",
    "wanda_scores",
]
