"""Hooks beside mmengine's."""

from .anneal_hook import AnnealHook
from .calibrate_hook import CalibrateHook
from .check_checkpoint_hook import CheckCheckpointHook
from .dump_subnet_hook import DumpSubnetHook
from .fuse_filters_hook import FuseFiltersHook
from .keep_sparsity_hook import KeepSparsityHook
from .pruning_schedule_hook import PruningScheduleHook
from .quant_schedule_hook import QuantScheduleHook
from .random_state_hook import RandomStateHook
from .stop_distill_hook import StopDistillHook
from .stop_on_nan_hook import StopOnNanHook

__all__ = [
    "AnnealHook",
    "CalibrateHook",
    "CheckCheckpointHook",
    "DumpSubnetHook",
    "FuseFiltersHook",
    "KeepSparsityHook",
    "PruningScheduleHook",
    "QuantScheduleHook",
    "RandomStateHook",
    "StopDistillHook",
    "StopOnNanHook",
]
