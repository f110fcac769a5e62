"""Pruners: which channels of an Architecture are kept, by importance and budget."""

from .budget import channels_per_unit, kept_units
from .dcff import DCFFPruner
from .dmcp import DMCPPruner
from .importances import (
    BNScaleImportance,
    FisherImportance,
    FPGMImportance,
    GroupNormImportance,
    Importance,
    ImportanceError,
    L1Importance,
    L2Importance,
    LAMPImportance,
    RandomImportance,
    TaylorImportance,
    build_importance,
)
from .meter import BudgetError
from .pruner import (
    NothingPrunableError,
    Pruned,
    cost_table,
    prune_graph,
    prune_model,
    search_space,
    subnet_of,
)
from .pruning_state import PruningState, PruningStateError
from .schedules import CubicSchedule, LinearSchedule, Schedule
from .semi_structured import SemiStructuredPruner, semi_structured_
from .training_pruner import Pruner

__all__ = [
    "BNScaleImportance",
    "BudgetError",
    "CubicSchedule",
    "DCFFPruner",
    "DMCPPruner",
    "FPGMImportance",
    "FisherImportance",
    "GroupNormImportance",
    "Importance",
    "ImportanceError",
    "L1Importance",
    "L2Importance",
    "LAMPImportance",
    "LinearSchedule",
    "NothingPrunableError",
    "Pruned",
    "Pruner",
    "PruningState",
    "PruningStateError",
    "RandomImportance",
    "Schedule",
    "SemiStructuredPruner",
    "TaylorImportance",
    "build_importance",
    "channels_per_unit",
    "cost_table",
    "kept_units",
    "prune_graph",
    "prune_model",
    "search_space",
    "semi_structured_",
    "subnet_of",
]
