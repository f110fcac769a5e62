"""What is done at a site of a quantized model while it runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from .bias import RoundBias, sums_have_one_scale
from .folding import Fold, along
from .places import Places, key_of, quantizer_of_input
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
        bias: Rounds the third tensor; it is given the first one too.
        output: Of what is returned, or of each tensor of real numbers in it.
    """

    inputs: dict[int, nn.Module] = field(default_factory=dict)
    weight: Any = None
    axis: int = 0
    fold: Fold | None = None
    bias: nn.Module | None = None
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
            if place == 2 and self.bias is not None:
                return self.bias(tensor, args[0])
            return tensor

        return with_tensors(args, kwargs, change)

    def returned(self, result: Any) -> Any:
        """Return the result with what is quantized of it."""
        if self.output is None:
            return result
        if isinstance(result, Tensor):
            return self.output(result)
        output = self.output
        return type(result)(
            [output(item) if item.is_floating_point() else item for item in result]
        )

    def _weight(self, model: nn.Module, weight: Tensor) -> Tensor:
        assert self.weight is not None
        if self.fold is None:
            return self.weight(weight)
        factor = along(self.fold.factor(model), self.axis, weight)
        return self.weight.as_folded(weight, factor)


def steps_of(
    places: Places,
    weights: nn.ModuleDict,
    activations: nn.ModuleDict,
    folds: Iterable[Fold] = (),
    integer_biases: bool = False,
) -> dict[Site, Step]:
    """Return the steps of what stands in the places.

    Args:
        places: Where quantizers stand.
        weights: Quantizers of weights, by the key of the site.
        activations: Quantizers of activations, by the key of their name.
        folds: Batch norms that are not folded yet.
        integer_biases: Round biases too, but of layers with a norm that is not folded.
    """
    steps: defaultdict[Site, Step] = defaultdict(Step)
    for site, name in places.outputs.items():
        steps[site].output = activations[key_of(name)]
    for (site, place), name in places.inputs.items():
        steps[site].inputs[place] = activations[key_of(name)]
    behind = {fold.layer: fold for fold in folds}
    for site, weight in places.weights.items():
        step = steps[site]
        step.weight, step.axis = weights[key_of(f"{site}")], weight.axis
        step.fold = behind.get(site)
        if integer_biases and step.fold is None:
            step.bias = _bias(step.weight, site, places, activations)
    return dict(steps)


def _bias(
    weight: Any, site: Site, places: Places, activations: nn.ModuleDict
) -> RoundBias | None:
    """Return what rounds the bias of a layer, if its sums can be of integers."""
    name = quantizer_of_input(places, site)
    if name is None or (site, 0) in places.mixed or not sums_have_one_scale(weight):
        return None
    return RoundBias(activations[key_of(name)], weight, site.kind == "linear")


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
        if step is None:
            result = func(*args, **kwargs)
        else:
            with _naming(site):
                args, kwargs = step.given(self._model, args, kwargs)
            result = func(*args, **kwargs)
            with _naming(site):
                result = step.returned(result)
        if self._listener is not None:
            self._listener(site, flat_tensors(args, kwargs), result)
        return result


@contextmanager
def _naming(site: Site) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as err:
        raise QuantizedRunError(f"At '{site}': {err}") from err


def check_not_recomputed(model: nn.Module) -> None:
    """Check that nothing is computed again in backward, where no quantizer steps in.

    Raises:
        QuantizedRunError: If a module has ``with_cp=True``, as OpenMMLab's call it.
    """
    for name, module in model.named_modules():
        if getattr(module, "with_cp", False):
            raise QuantizedRunError(
                f"'{name}' has with_cp=True: it is computed again in backward, where "
                "quantizers do not step in. Train with with_cp=False."
            )
