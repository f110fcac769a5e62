"""Hooks beside mmengine's."""

from .check_checkpoint_hook import CheckCheckpointHook
from .fuse_filters_hook import FuseFiltersHook
from .keep_sparsity_hook import KeepSparsityHook
from .pruning_schedule_hook import PruningScheduleHook
from .random_state_hook import RandomStateHook
from .stop_distill_hook import StopDistillHook

__all__ = [
    "CheckCheckpointHook",
    "FuseFiltersHook",
    "KeepSparsityHook",
    "PruningScheduleHook",
    "RandomStateHook",
    "StopDistillHook",
]
