"""Mutables: modules that read Choices and become plain once these are fixed."""

from .choice_route import DiffChoiceRoute, KeptEdges
from .differentiable import DiffMutableOP, GumbelMutableOP, OneHotMutableOP
from .mutable import Mutable
from .mutable_depth import MutableDepth
from .mutable_op import MutableOP
from .mutable_value import FixedValue, MutableValue
from .one_shot import OneShotMutableOP, OneShotProbMutableOP

__all__ = [
    "DiffChoiceRoute",
    "DiffMutableOP",
    "FixedValue",
    "GumbelMutableOP",
    "KeptEdges",
    "Mutable",
    "MutableDepth",
    "MutableOP",
    "MutableValue",
    "OneHotMutableOP",
    "OneShotMutableOP",
    "OneShotProbMutableOP",
]
