"""Pruning methods with a training step of their own."""

from .dcff import DCFF
from .group_fisher import GroupFisher
from .network_slimming import NetworkSlimming

__all__ = ["DCFF", "GroupFisher", "NetworkSlimming"]
