"""Algorithms and the parts they are made of."""

from . import algorithms, architectures, distillers, losses, pruners

__all__ = ["algorithms", "architectures", "distillers", "losses", "pruners"]
