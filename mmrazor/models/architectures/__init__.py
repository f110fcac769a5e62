"""Architectures: the user's own models, built from configs, and their weights."""

from .build import build_architecture
from .checkpoint import load_weights
from .resolve import ArchitectureConfig, architecture_config
from .subnet_model import SubnetModelError, slimmed, subnet_model

__all__ = [
    "ArchitectureConfig",
    "SubnetModelError",
    "architecture_config",
    "build_architecture",
    "load_weights",
    "slimmed",
    "subnet_model",
]
