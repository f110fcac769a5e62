"""Hooks beside mmengine's."""

from .check_checkpoint_hook import CheckCheckpointHook
from .keep_sparsity_hook import KeepSparsityHook
from .pruning_schedule_hook import PruningScheduleHook
from .random_state_hook import RandomStateHook
from .stop_distill_hook import StopDistillHook

__all__ = [
    "CheckCheckpointHook",
    "KeepSparsityHook",
    "PruningScheduleHook",
    "RandomStateHook",
    "StopDistillHook",
]
