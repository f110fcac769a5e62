"""The quantizers of a block while its roundings and steps are learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ....core.forward import map_tensors
from ....core.graph.trace import tensors_in
from ....core.names import is_inside
from ..base import BaseFakeQuantize
from ..lsq import LearnedStepSize
from ..quantizer import Quantizer
from ..sites import Site
from ..steps import QuantizedRun, Step
from .block_data import Example
from .blocks import Block
from .rounding import SoftRounding


class BlockRun(QuantizedRun):
    """Runs of a block alone, with quantizers as they would be in its model.

    Args:
        model: The model.
        name: Of the block.
        steps: By site of the model.
    """

    def __init__(self, model: nn.Module, name: str, steps: dict[Site, Step]) -> None:
        super().__init__(model, steps)
        self._names = {m: n for m, n in self._names.items() if is_inside(n, name)}
        self._block = model.get_submodule(name)

    def __call__(self, args: tuple, kwargs: dict) -> Any:
        """Run the block and return what it does."""
        with self.following():
            return self._block(*args, **kwargs)


class Dropped(nn.Module):
    """Leave elements as they are at random, in place of rounding all of them.

    QDrop: Randomly Dropping Quantization for Extremely Low-bit Post-Training
    Quantization (Wei et al., 2022, arXiv:2203.05740), equation 7.

    Args:
        quantizer: Rounds.
        prob: Of an element to stay as it is.
        generator: Draws.
    """

    def __init__(
        self, quantizer: nn.Module, prob: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.quantizer, self.prob, self.generator = quantizer, prob, generator

    def forward(self, x: Tensor) -> Tensor:
        """Return the tensor with some of its elements rounded."""
        return mixed(x, self.quantizer(x), self.prob, self.generator)


def mixed(x: Tensor, y: Tensor, prob: float, generator: torch.Generator) -> Tensor:
    """Return elements of one tensor with a probability, or else those of another.

    Example:
        >>> one, two = torch.ones(1000), torch.full((1000,), 2.0)
        >>> share = mixed(one, two, 0.3, torch.Generator().manual_seed(0)).eq(1).sum()
        >>> 250 < share < 350
        tensor(True)
    """
    draws = torch.rand(x.shape, generator=generator, device=generator.device)
    return torch.where(draws.to(x.device) < prob, x, y)


def mixed_given(
    example: Example, prob: float, generator: torch.Generator
) -> tuple[tuple, dict]:
    """Return what a block is given, with some elements as in the float model."""
    floats = iter(tensors_in(example.floats))

    def change(tensor: Tensor) -> Tensor:
        other = next(floats)
        if not tensor.is_floating_point():
            return tensor
        return mixed(other, tensor, prob, generator)

    result: tuple[tuple, dict] = map_tensors(example.given, change)
    return result


def block_steps(
    quantizer: Quantizer,
    block: Block,
    roundings: dict[str, SoftRounding],
    around: Callable[[nn.Module], nn.Module],
) -> dict[Site, Step]:
    """Return the steps of a model with those of a block in learning.

    Args:
        quantizer: Of the model.
        block: The block.
        roundings: By the layer's text, what takes the place of its quantizer.
        around: Returns what takes the place of a quantizer of activations.
    """
    weights = {
        site: roundings[layer.text]
        for layer in block.layers
        if layer.text in roundings
        for site in layer.calls
    }
    return {
        site: replace(
            step,
            weight=weights.get(site, step.weight),
            inputs={place: around(module) for place, module in step.inputs.items()},
            output=None if step.output is None else around(step.output),
        )
        for site, step in quantizer.steps().items()
        if is_inside(site.module, block.name or "")
    }


def own_activations(quantizer: Quantizer, block: Block) -> list[BaseFakeQuantize]:
    """Return the quantizers of activations that stand nowhere else than in a block.

    Those with a choice of bit-widths are left out.
    """
    inside: dict[int, Any] = {}
    outside: set[int] = set()
    for site, step in quantizer.steps().items():
        for module in (*step.inputs.values(), step.output):
            if is_inside(site.module, block.name or ""):
                inside[id(module)] = module
            else:
                outside.add(id(module))
    return [
        module
        for key, module in inside.items()
        if key not in outside
        and isinstance(module, BaseFakeQuantize)
        and not module.choices()
    ]


def learnable(module: BaseFakeQuantize) -> LearnedStepSize:
    """Return a quantizer with a step to learn that does what another one does."""
    made = LearnedStepSize(module.settings_now, module.axis, "MinMaxObserver")
    made.to(module.zero_points.device)
    set_step_(made, module.scale, module.zero_point)
    return made


def set_step_(module: BaseFakeQuantize, scale: Tensor, zero_point: Tensor) -> None:
    """Give a quantizer the range of a step and a zero point."""
    settings = module.settings_now
    high = (settings.quant_max - zero_point) * scale
    low = (settings.quant_min - zero_point) * scale
    if settings.symmetric and settings.signed:
        low = -high  # a wide range has one integer more below
    module.set_range_(low.detach(), high.detach())
