"""Architectures: the user's own models, built from configs, and their weights."""

from .backbones import (
    DARTS_V2,
    DartsBackbone,
    Genotype,
    SearchableMobileNetV2,
    SearchableShuffleNetV2,
    genotype_values,
)
from .build import build_architecture
from .checkpoint import load_weights
from .heads import DartsHead
from .onnx_model import OnnxModelError, onnx_model
from .resolve import ArchitectureConfig, architecture_config
from .subnet_model import SubnetModelError, slimmed, subnet_model

__all__ = [
    "DARTS_V2",
    "ArchitectureConfig",
    "DartsBackbone",
    "DartsHead",
    "Genotype",
    "OnnxModelError",
    "SearchableMobileNetV2",
    "SearchableShuffleNetV2",
    "SubnetModelError",
    "architecture_config",
    "build_architecture",
    "genotype_values",
    "load_weights",
    "onnx_model",
    "slimmed",
    "subnet_model",
]
