"""What a block is given and returns, in float and quantized."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ....core.forward import device_and_dtype, evaluating, map_tensors
from ....core.graph.trace import tensors_in
from ..originals import as_original
from ..quantizer import Quantizer

Given = tuple[tuple, dict]


@dataclass
class Example:
    """A call of a block, on the CPU.

    Args:
        given: Positional and keyword arguments, quantized.
        floats: Those of the float model; None if they are of other shapes.
        targets: Tensors of real numbers that it returns in float.
        weights: How much an error of each of them matters, in the same shapes; None if
            all matter the same.
    """

    given: Given
    floats: Given | None
    targets: list[Tensor]
    weights: list[Tensor] | None = None

    def part(self, number: int, generator: torch.Generator) -> Example:
        """Return so many images of it, drawn at random; all if it has no more.

        Images are on the first axis. It stays whole if its tensors do not agree on how
        many there are.
        """
        tensors = [*tensors_in(self.given), *self.targets]
        sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in tensors}
        if len(sizes) != 1 or max(sizes) <= number:
            return self
        picks = torch.randperm(max(sizes), generator=generator)[:number]
        return Example(*(map_tensors(v, lambda t: t[picks]) for v in self._parts()))

    def to(self, device: torch.device) -> Example:
        """Return a copy on a device: what a block does in place is done to that."""
        move = partial(Tensor.to, device=device, copy=True)
        return Example(*(map_tensors(value, move) for value in self._parts()))

    @property
    def size(self) -> int:
        """Number of the elements that it returns."""
        return sum(target.numel() for target in self.targets)

    def error(self, results: list[Tensor]) -> Tensor:
        """Return the weighted sum of squared differences from the targets."""
        parts = []
        for i, (result, target) in enumerate(zip(results, self.targets, strict=True)):
            change = (result - target).square()
            weight = 1 if self.weights is None else self.weights[i]
            parts.append((change * weight).sum())
        return torch.stack(parts).sum()

    def _parts(self) -> tuple[Any, ...]:
        return self.given, self.floats, self.targets, self.weights


def examples_of(
    model: nn.Module,
    quantizer: Quantizer,
    name: str,
    batches: list[Any],
    run: Callable[[nn.Module, Any], Any],
    loss: Callable[[nn.Module, Any], Tensor] | None = None,
) -> list[Example]:
    """Run a model in float and quantized and return what a block of it saw.

    Where the calls differ in shape, the float block on the quantized inputs gives the
    targets; a warning tells.

    Args:
        model: The model.
        quantizer: Prepared for it, and calibrated.
        name: Of the block.
        batches: What to run it on.
        run: Runs it on a batch.
        loss: Runs it and returns a loss, whose gradients give the weights.
    """
    block = model.get_submodule(name)
    device = device_and_dtype(model)[0]
    examples: list[Example] = []
    differs = False
    for batch in batches:
        with as_original(model, quantizer):
            wanted = seen(model, block, batch, run)
            weights: list[Any] = [None] * len(wanted)
            if loss is not None:
                weights = fisher(model, block, batch, loss)
            if len(weights) != len(wanted):
                raise ValueError(
                    f"The loss calls '{name}' {len(weights)} times, and a run of the "
                    f"model {len(wanted)} times: loss is to run the model once."
                )
        found = seen(model, block, batch, run)
        if _shapes(wanted) == _shapes(found):
            for (floats, targets), (given, _), weight in zip(
                wanted, found, weights, strict=True
            ):
                examples.append(Example(given, floats, targets, weight))
            continue
        differs = True
        for given, _ in found:
            with as_original(model, quantizer), evaluating(model):
                args, kwargs = Example(given, None, []).to(device).given
                targets = [_copy(t) for t in floats_in(block(*args, **kwargs))]
            examples.append(Example(given, None, targets))
    if differs:
        print_log(
            f"'{name}' is called otherwise in the float model than in the quantized "
            "one. Its float output on quantized inputs is the target there, and all "
            "errors count the same.",
            logger="current",
            level=logging.WARNING,
        )
    return examples


@torch.no_grad()
def seen(
    model: nn.Module, block: nn.Module, batch: Any, run: Callable[[nn.Module, Any], Any]
) -> list[tuple[Given, list[Tensor]]]:
    """Run a model and return what a module is given and returns, copied to the CPU.

    Args:
        model: The model, as it is to run: in float or quantized.
        block: The module.
        batch: What to run it on.
        run: Runs it.
    """
    given: list[Given] = []
    found: list[tuple[Given, list[Tensor]]] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        given.append(map_tensors((args, kwargs), _copy))

    def leave(module: nn.Module, args: tuple, kwargs: dict, result: Any) -> None:
        found.append((given.pop(), [_copy(t) for t in floats_in(result)]))

    with evaluating(model), _hooked(block, enter, leave):
        run(model, batch)
    return found


def fisher(
    model: nn.Module,
    block: nn.Module,
    batch: Any,
    loss: Callable[[nn.Module, Any], Tensor],
) -> list[list[Tensor]]:
    """Return the squared gradient of a loss to what a module returns, call by call.

    That is the diagonal of the Fisher matrix (BRECQ, equation 10).

    Args:
        model: The model, in float.
        block: The module.
        batch: What the loss is of.
        loss: Runs the model on a batch and returns a scalar.
    """
    leaves: list[list[Tensor]] = []

    def leave(module: nn.Module, args: tuple, kwargs: dict, result: Any) -> Any:
        mine: list[Tensor] = []

        def cut(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            mine.append(tensor.detach().requires_grad_())
            return mine[-1].clone()

        changed = map_tensors(result, cut)
        leaves.append(mine)
        return changed

    hooked = _hooked(block, None, leave)
    with evaluating(model), frozen(model), hooked, torch.enable_grad():
        value = loss(model, batch)
        flat = [leaf for mine in leaves for leaf in mine]
        grads = torch.autograd.grad(value, flat, allow_unused=True)
    squares = iter(
        torch.zeros_like(leaf) if grad is None else grad.square()
        for leaf, grad in zip(flat, grads, strict=True)
    )
    return [[next(squares).cpu() for _ in mine] for mine in leaves]


def floats_in(value: Any) -> list[Tensor]:
    """Return the tensors of real numbers in nested values."""
    return [tensor for tensor in tensors_in(value) if tensor.is_floating_point()]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Keep the parameters of a model from getting gradients."""
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, wants in wanted.items():
            parameter.requires_grad_(wants)


def _shapes(calls: list[tuple[Given, list[Tensor]]]) -> list[list[torch.Size]]:
    return [[tensor.shape for tensor in tensors_in(call)] for call in calls]


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone()


@contextmanager
def _hooked(block: nn.Module, enter: Any, leave: Any) -> Iterator[None]:
    handles = [block.register_forward_hook(leave, with_kwargs=True)]
    if enter is not None:
        handles.append(block.register_forward_pre_hook(enter, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
