"""Heads that the host libraries lack."""

from .darts_head import DartsHead

__all__ = ["DartsHead"]
