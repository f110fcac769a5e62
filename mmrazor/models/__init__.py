"""Algorithms and the parts they are made of."""

from . import algorithms, architectures, distillers, losses, ops, pruners

__all__ = ["algorithms", "architectures", "distillers", "losses", "ops", "pruners"]
