"""Architectures: the user's own models, built from configs, and their weights."""

from .build import ArchitectureConfig, architecture_config, build_architecture
from .checkpoint import load_weights

__all__ = [
    "ArchitectureConfig",
    "architecture_config",
    "build_architecture",
    "load_weights",
]
