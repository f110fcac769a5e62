"""What is done at a site of a quantized model while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .folding import Fold, along
from .sites import Site, SiteMode, flat_tensors, with_tensors

#: Hears of a site, the tensors it is given and what it returns.
Listener = Callable[[Site, list[Tensor], Any], None]


class QuantizedRunError(RuntimeError):
    """A quantized model that cannot be run; the text names the site."""


@dataclass
class Step:
    """The quantizers at one site.

    Args:
        inputs: By place among the tensors of the call.
        weight: Of the second tensor.
        axis: Of the weight's output channels.
        fold: The batch norm behind a layer whose weight is quantized as if folded.
        output: Of what is returned, or of its first tensor.
    """

    inputs: dict[int, nn.Module] = field(default_factory=dict)
    weight: Any = None
    axis: int = 0
    fold: Fold | None = None
    output: nn.Module | None = None

    def given(self, model: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Return the arguments with what is quantized of them."""
        if self.weight is None and not self.inputs:
            return args, kwargs

        def change(place: int, tensor: Tensor) -> Tensor:
            if place in self.inputs:
                return self.inputs[place](tensor)
            if place == 1 and self.weight is not None:
                return self._weight(model, tensor)
            return tensor

        return with_tensors(args, kwargs, change)

    def returned(self, result: Any) -> Any:
        """Return the result with what is quantized of it."""
        if self.output is None:
            return result
        if isinstance(result, Tensor):
            return self.output(result)
        return type(result)((self.output(result[0]), *result[1:]))

    def _weight(self, model: nn.Module, weight: Tensor) -> Tensor:
        assert self.weight is not None
        if self.fold is None:
            return self.weight(weight)
        factor = along(self.fold.factor(model), self.axis, weight)
        result = self.weight(weight * factor)
        return result / torch.where(factor == 0, 1, factor)


class QuantizedRun(SiteMode):
    """One run of a model with its quantizers.

    Args:
        model: The model.
        steps: By site.
        listener: Hears of every site, if given.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: Mapping[Site, Step],
        listener: Listener | None = None,
    ) -> None:
        super().__init__(model)
        self._model, self._steps, self._listener = model, steps, listener

    def called(self, site: Site, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Make the call, quantized if there is something to do at the site."""
        step = self._steps.get(site)
        if step is None and self._listener is None:
            return func(*args, **kwargs)
        if step is None:
            result = func(*args, **kwargs)
        else:
            try:
                args, kwargs = step.given(self._model, args, kwargs)
                result = step.returned(func(*args, **kwargs))
            except (ValueError, QuantizedRunError) as err:
                raise QuantizedRunError(f"At '{site}': {err}") from err
        if self._listener is not None:
            self._listener(site, flat_tensors(args, kwargs), result)
        return result
