"""Functions on a config or a model: what the tools and the Python door call."""

from ..core.cost import count_cost, measure_latency
from ..core.graph import example_inputs
from ..models.architectures import build_architecture
from .export import export_model
from .infer import inference, init_model
from .onnx import export_onnx

__all__ = [
    "build_architecture",
    "count_cost",
    "example_inputs",
    "export_model",
    "export_onnx",
    "inference",
    "init_model",
    "measure_latency",
]
