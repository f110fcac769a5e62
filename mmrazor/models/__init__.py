"""Algorithms and the parts they are made of."""

from . import (
    algorithms,
    architectures,
    distillers,
    losses,
    mutables,
    mutators,
    ops,
    pruners,
    quantizers,
)

__all__ = [
    "algorithms",
    "architectures",
    "distillers",
    "losses",
    "mutables",
    "mutators",
    "ops",
    "pruners",
    "quantizers",
]
