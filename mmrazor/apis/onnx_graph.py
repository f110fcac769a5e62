# ONNX knows tensors only. Models of the OpenMMLab libraries take data samples and
# give tuples, dicts and data samples back: this is the flat view of one of them.
"""See a model as a function of tensors that returns a flat tuple of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..core.forward import call_model
from ..models.quantizers import quantizer_of
from .onnx_numbers import NumberReader, NumberReplay


class TensorFunction(nn.Module):
    """A model with everything but its tensors filled in.

    Args:
        model: Run once on ``inputs`` to learn what it returns; should be in eval mode.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.

    Attributes:
        inputs: As given.
        reads_numbers: Whether the model reads numbers from tensors that do not depend
            on its inputs.
        replays_numbers: Take them from the first run from now on.

    Raises:
        ValueError: If there is no tensor among the inputs or the outputs.

    Example:
        >>> function = TensorFunction(nn.Linear(2, 1), {"input": torch.zeros(4, 2)})
        >>> function.input_names, function.output_names, function.batch_size
        (('input',), ('output',), 4)
    """

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        super().__init__()
        self.model = model
        # Exporters hand this mode on to the model when they are done.
        self.training = model.training
        self.inputs = inputs
        named = list(_named_inputs(inputs))
        if not named:
            raise ValueError(
                f"The inputs, a {type(inputs).__name__}, hold no tensor; an ONNX graph "
                "needs one. Make them with mmrazor.example_inputs(model)."
            )
        self.input_names = tuple(name for name, _ in named)
        self.tensors = tuple(tensor for _, tensor in named)
        # Exporters may ask for numbers that tensors without elements do not have.
        self.replays_numbers = False
        with NumberReader(list(self.tensors)) as reader:
            output = call_model(model, inputs)
        self._numbers = reader.numbers
        self.reads_numbers = reader.any_found
        outputs = list(_named_outputs(output, "output"))
        if not outputs:
            raise ValueError(
                f"{type(model).__name__} returns no tensor on these inputs. "
                "Use mode='tensor' or 'predict'."
            )
        self.output_names = tuple(name for name, _ in outputs)

    @property
    def batch_size(self) -> int:
        """Images in the example, the first dimension of the first tensor."""
        return self.tensors[0].shape[0] if self.tensors[0].dim() else 1

    @property
    def batch_is_free(self) -> bool:
        """Whether nothing but the tensors says how many images there are."""
        mode = self.inputs.get("mode") if isinstance(self.inputs, Mapping) else None
        sizes = {t.shape[0] if t.dim() else None for t in self.tensors}
        return mode in (None, "tensor") and len(sizes) == 1 and None not in sizes

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the model on other tensors; its outputs come in a fixed order."""
        inputs = _with_tensors(self.inputs, iter(tensors))
        if self.replays_numbers:
            with NumberReplay(self._numbers):
                output = self._called(inputs)
        else:
            output = self._called(inputs)
        return tuple(tensor for _, tensor in _named_outputs(output, "output"))

    def _called(self, inputs: Any) -> Any:
        try:
            return call_model(self.model, inputs)
        except BaseException:
            # torch.export calls no hooks of a module that raises.
            quantizer = quantizer_of(self.model)
            if quantizer is not None:
                quantizer.end_runs_()
            raise


def with_batch(tensors: tuple[Tensor, ...], batch_size: int) -> tuple[Tensor, ...]:
    """Repeat or cut tensors along their first dimension.

    Example:
        >>> [tuple(t.shape) for t in with_batch((torch.zeros(2, 5),), 3)]
        [(3, 5)]
    """
    index = torch.arange(batch_size)
    return tuple(t[index.to(t.device) % t.shape[0]].contiguous() for t in tensors)


def _named_inputs(inputs: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(inputs, Tensor):
        yield name or "input", inputs
    elif isinstance(inputs, Mapping):
        for key, value in inputs.items():
            yield from _named_inputs(value, _joined(name, key))
    elif isinstance(inputs, (tuple, list)):
        for index, value in enumerate(inputs):
            yield from _named_inputs(value, _joined(name or "input", index))


def _with_tensors(inputs: Any, tensors: Iterator[Tensor]) -> Any:
    """Put tensors into the places, in the order of ``_named_inputs``."""
    if isinstance(inputs, Tensor):
        return next(tensors)
    if isinstance(inputs, Mapping):
        return {key: _with_tensors(value, tensors) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return type(inputs)([_with_tensors(value, tensors) for value in inputs])
    return inputs


def _named_outputs(output: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield name, output
    elif isinstance(output, BaseDataElement):
        # Not the labels and proposals that came in with the data samples.
        for key, value in output.items():
            if not key.startswith(("gt_", "ignored", "proposals")):
                yield from _named_outputs(value, _joined(name, key))
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _named_outputs(value, _joined(name, key))
    elif isinstance(output, (tuple, list)):
        for index, value in enumerate(output):
            yield from _named_outputs(value, _joined(name, index))
    elif hasattr(output, "tensor") and isinstance(output.tensor, Tensor):
        yield name, output.tensor  # mmdet's boxes


def _joined(name: str, key: Any) -> str:
    word = re.sub(r"\W", "_", str(key))
    return f"{name}_{word}" if name else word
