"""Loops beside mmengine's."""

from .bilevel_loop import BilevelLoop
from .distill_val_loop import DistillValLoop
from .search import Search
from .search_loop import SearchLoop

__all__ = ["BilevelLoop", "DistillValLoop", "Search", "SearchLoop"]
