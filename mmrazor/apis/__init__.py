"""Functions on a config or a model: what the tools and the Python door call."""

from ..core.cost import count_cost, measure_latency
from ..core.graph import channel_graph, example_inputs
from ..models.architectures import build_architecture
from .export import export_model
from .infer import inference, init_model
from .onnx import export_onnx
from .pruning import load_subnet, prune
from .quantizing import quantize
from .sensitivity_run import sensitivity

__all__ = [
    "build_architecture",
    "channel_graph",
    "count_cost",
    "example_inputs",
    "export_model",
    "export_onnx",
    "inference",
    "init_model",
    "load_subnet",
    "measure_latency",
    "prune",
    "quantize",
    "sensitivity",
]
