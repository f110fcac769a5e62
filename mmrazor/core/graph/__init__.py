"""What is learned about a model by running it once."""

from .attention import PrunedMultiheadAttention
from .channel_graph import ChannelGraph, channel_graph
from .channel_group import ChannelGroup, Slot
from .cuts import Cuts
from .difference import relative_difference
from .example_inputs import example_inputs
from .repair import Checked, checked_slimming
from .slim import slim, slim_
from .trace import OpCall, OpTrace, TraceError, trace
from .verify import UnverifiableError, verify, verify_cuts

__all__ = [
    "ChannelGraph",
    "ChannelGroup",
    "Checked",
    "Cuts",
    "OpCall",
    "OpTrace",
    "PrunedMultiheadAttention",
    "Slot",
    "TraceError",
    "UnverifiableError",
    "channel_graph",
    "checked_slimming",
    "example_inputs",
    "relative_difference",
    "slim",
    "slim_",
    "trace",
    "verify",
    "verify_cuts",
]
