"""Loops beside mmengine's."""

from .bilevel_loop import BilevelLoop
from .distill_val_loop import DistillValLoop

__all__ = ["BilevelLoop", "DistillValLoop"]
