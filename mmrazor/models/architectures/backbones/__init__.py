"""Backbones whose blocks are to be chosen."""

from .darts_backbone import DartsBackbone
from .darts_genotype import DARTS_V2, Genotype, genotype_values
from .searchable_mobilenet_v2 import SearchableMobileNetV2
from .searchable_shufflenet_v2 import SearchableShuffleNetV2

__all__ = [
    "DARTS_V2",
    "DartsBackbone",
    "Genotype",
    "SearchableMobileNetV2",
    "SearchableShuffleNetV2",
    "genotype_values",
]
