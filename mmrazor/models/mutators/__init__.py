"""Mutators: put Mutables into an Architecture and tell its SearchSpace."""

from .nas_mutator import NasMutator

__all__ = ["NasMutator"]
