"""Model compression for the OpenMMLab family and any PyTorch module.

The names below are the Python door. They load on first use, so that
``import mmrazor`` costs little and needs none of the host libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import compat
from .version import __version__

if TYPE_CHECKING:
    from .apis import (
        build_architecture,
        channel_graph,
        count_cost,
        example_inputs,
        export_onnx,
        inference,
        init_model,
        load_subnet,
        prune,
        quantize,
    )

__all__ = [
    "__version__",
    "build_architecture",
    "channel_graph",
    "count_cost",
    "example_inputs",
    "export_onnx",
    "inference",
    "init_model",
    "load_subnet",
    "prune",
    "quantize",
]

compat.apply()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("mmrazor.apis"), name)
    raise AttributeError(
        f"module 'mmrazor' has no attribute '{name}'; it offers {__all__}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
