"""What is learned about a model by running it once."""

from .attention import PrunedMultiheadAttention
from .channel_graph import ChannelGraph, channel_graph
from .channel_group import ChannelGroup, Slot
from .cuts import Cuts
from .example_inputs import example_inputs
from .slim import slim, slim_
from .trace import OpCall, OpTrace, TraceError, trace
from .verify import relative_difference, verify

__all__ = [
    "ChannelGraph",
    "ChannelGroup",
    "Cuts",
    "OpCall",
    "OpTrace",
    "PrunedMultiheadAttention",
    "Slot",
    "TraceError",
    "channel_graph",
    "example_inputs",
    "relative_difference",
    "slim",
    "slim_",
    "trace",
    "verify",
]
