"""How channels flow through each operation, one rule per ATen operator.

To teach a new operator, write a function ``rule(flow, call)`` beside its siblings and
register it with ``@rule('namespace::operator')``.
"""

from . import (
    contraction,
    extension,
    indexing,
    joining,
    norms,
    pointwise,
    slicing,
    views,
)
from .table import apply_rule, rule, rule_names

__all__ = [
    "apply_rule",
    "contraction",
    "extension",
    "indexing",
    "joining",
    "norms",
    "pointwise",
    "rule",
    "rule_names",
    "slicing",
    "views",
]
