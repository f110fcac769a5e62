"""What is learned about a model by running it once."""

from .attention import PrunedMultiheadAttention
from .build import channel_graph
from .channel_graph import ChannelGraph
from .channel_group import ChannelGroup, Slot
from .cuts import Cuts
from .difference import relative_difference
from .example_inputs import example_inputs
from .narrow import NarrowPlan, Widths, narrow_plan, running_narrow
from .repair import Checked, checked_slimming
from .slim import slim, slim_
from .trace import OpCall, OpTrace, TraceError, trace
from .verify import UnverifiableError, verify, verify_cuts

__all__ = [
    "ChannelGraph",
    "ChannelGroup",
    "Checked",
    "Cuts",
    "NarrowPlan",
    "OpCall",
    "OpTrace",
    "PrunedMultiheadAttention",
    "Slot",
    "TraceError",
    "UnverifiableError",
    "Widths",
    "channel_graph",
    "checked_slimming",
    "example_inputs",
    "narrow_plan",
    "relative_difference",
    "running_narrow",
    "slim",
    "slim_",
    "trace",
    "verify",
    "verify_cuts",
]
