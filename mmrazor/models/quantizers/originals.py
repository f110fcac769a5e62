"""The float model that a quantized one was made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from .quantizer import Quantizer


@contextmanager
def as_original(model: nn.Module, quantizer: Quantizer) -> Iterator[None]:
    """Let a model run in float, with the parameters that methods have changed since.

    Args:
        model: The model.
        quantizer: Prepared for it.
    """
    with quantizer.in_float(), _exchanged(model, quantizer.originals):
        yield


def changed_(model: nn.Module, quantizer: Quantizer, name: str, values: Tensor) -> None:
    """Give a parameter new values and keep the float ones.

    Args:
        model: The model.
        quantizer: Keeps those that were there first.
        name: Of the parameter.
        values: The new ones.
    """
    parameter = model.get_parameter(name)
    quantizer.originals.setdefault(name, parameter.data)
    parameter.data = values.detach().to(parameter)


@contextmanager
def _exchanged(model: nn.Module, values: dict[str, Tensor]) -> Iterator[None]:
    parameters = {name: model.get_parameter(name) for name in values}
    before = {name: parameter.data for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        parameter.data = values[name].to(parameter)
    try:
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.data = before[name]
