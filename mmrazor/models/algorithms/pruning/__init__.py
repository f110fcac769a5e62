"""Pruning methods with a training step of their own."""

from .network_slimming import NetworkSlimming

__all__ = ["NetworkSlimming"]
