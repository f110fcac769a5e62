"""Pruning methods with a training step of their own."""

from .dcff import DCFF
from .dmcp import DMCP
from .group_fisher import GroupFisher
from .network_slimming import NetworkSlimming

__all__ = ["DCFF", "DMCP", "GroupFisher", "NetworkSlimming"]
