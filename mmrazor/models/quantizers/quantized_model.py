"""A plain torch model together with its Quantizer."""

from __future__ import annotations

from typing import Any, final

from torch import nn

from .quantizer import Quantizer


@final
class QuantizedModel(nn.Module):
    """Call a quantized model as the original; move, save and load it with its ranges.

    The names in its state dict are those that an Algorithm gives.

    Args:
        architecture: The model, prepared by the Quantizer.
        quantizer: The Quantizer.
    """

    def __init__(self, architecture: nn.Module, quantizer: Quantizer) -> None:
        super().__init__()
        self.architecture = architecture
        self.quantizer = quantizer
        self.train(architecture.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model returns, quantized as the backend will."""
        return self.architecture(*args, **kwargs)
