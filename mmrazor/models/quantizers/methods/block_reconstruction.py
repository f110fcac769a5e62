# Roundings take the place of the quantizers at the sites of a block, which then runs
# alone; the model and its modules are not touched.
"""Block reconstruction: learn the roundings of a block's layers together.

BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction (Li et
al., 2021, arXiv:2102.05426); with ``drop_prob``, QDrop (Wei et al., 2022,
arXiv:2203.05740).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from ....core.forward import call_model, device_and_dtype, evaluating
from ....registry import MODELS
from ..flow import flow_of
from ..lsq import LearnedStepSize
from ..quantizer import Quantizer
from .ada_round import AdaRound
from .base import LayerError, PostTrainingMethod
from .block_data import Example, examples_of, floats_in, frozen
from .block_steps import (
    BlockRun,
    Dropped,
    block_steps,
    learnable,
    mixed_given,
    own_activations,
    set_step_,
)
from .blocks import Block, blocks_of
from .layers import WeightLayer, baked_, weight_layers
from .rounding import Learning, SoftRounding, learn_

_TINY = 1e-30


@final
@MODELS.register_module()
class BlockReconstruction(PostTrainingMethod):
    """Learn roundings of a block's weights, and steps of its activations, together.

    A block is given what the quantized blocks before it return, and its output, behind
    ReLU if it is a single layer, is compared with that of the float model. There is a
    record for each block; its error is the squared difference in relation to that
    output, first of rounding to nearest with the steps that calibration found. Where
    that is better, it stays.

    Args:
        blocks: Names or patterns of modules that are blocks; None finds residual ones,
            see :func:`~.blocks.blocks_of`.
        drop_prob: Share of the elements of activations that are not rounded in a step
            of learning, drawn at random: 0.5 in QDrop, 0 in BRECQ.
        iterations: Steps of Adam for each block.
        lr: Its learning rate for roundings.
        step_lr: Its learning rate for steps of activations, in relation to them; with 0
            they stay as they are.
        strength: As for :class:`AdaRound`, and so are the next two.
        warmup: As there.
        beta: As there.
        batch_size: Images in a step.
        loss: Runs the float model on a batch and returns its loss: errors count as much
            as the squared gradient of it. None counts all of them the same.
        seed: Of what is drawn.

    Raises:
        ValueError: If one of them is out of its range.
    """

    def __init__(
        self,
        blocks: Sequence[str] | None = None,
        drop_prob: float = 0.0,
        iterations: int = 10_000,
        lr: float = 1e-2,
        step_lr: float = 1e-3,
        strength: float = 0.1,
        warmup: float = 0.2,
        beta: Sequence[float] = (20.0, 2.0),
        batch_size: int = 32,
        loss: Callable[[nn.Module, Any], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 <= drop_prob < 1 or step_lr < 0:
            raise ValueError(
                f"drop_prob={drop_prob} is to be in [0, 1) and step_lr={step_lr} not "
                "below 0: QDrop's is 0.5."
            )
        first, last = beta
        self.learning = Learning(iterations, lr, strength, warmup, (first, last))
        self.blocks, self.drop_prob, self.step_lr = blocks, drop_prob, step_lr
        self.batch_size, self.loss, self.seed = batch_size, loss, seed
        self._by_layer = AdaRound(iterations, lr, strength, warmup, beta, seed=seed)

    def __call__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any] = call_model,
        advance: Callable[[], None] = lambda: None,
    ) -> list[LayerError]:
        """Change the model in place; see :class:`~.base.PostTrainingMethod`."""
        batches = self._checked(quantizer, batches)
        layers = weight_layers(model, quantizer, batches[0], run)
        with quantizer.in_float():
            blocks = blocks_of(
                model, flow_of(model, batches[0], run), layers, self.blocks
            )
        errors = []
        for block in blocks:
            if block.name is None:
                [layer] = block.layers
                error = self._by_layer.rounded_(model, quantizer, layer, batches, run)
            else:
                data = model, quantizer, block.name, batches, run, self.loss
                examples = examples_of(*data)
                for example in examples:
                    example.targets = _behind(block, example.targets)
                with evaluating(model), frozen(model):
                    error = self._rounded_(model, quantizer, block, examples)
            errors.append(error)
            for layer in block.layers:
                for _ in layer.calls:
                    advance()
        return errors

    def _rounded_(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        block: Block,
        examples: list[Example],
    ) -> LayerError:
        """Learn the roundings and steps of a block; take them if they are better."""
        name, device = block.text, device_and_dtype(model)[0]
        roundings = {layer.text: _soft(model, layer) for layer in block.layers}
        own = own_activations(quantizer, block) if self.step_lr else []
        learned = {id(module): learnable(module) for module in own}
        power = _power(examples)
        plain = BlockRun(model, name, quantizer.steps())
        before = _error(block, plain, examples, device)
        loss = self._loss(model, quantizer, block, roundings, learned, examples, before)
        steps = [
            dict(params=[module.scales], lr=self.step_lr * float(module.scale))
            for module in learned.values()
        ]
        with torch.enable_grad():
            learn_(list(roundings.values()), loss, self.learning, steps)
        for rounding in roundings.values():
            rounding.settle_()
        found = block_steps(
            quantizer, block, roundings, lambda m: learned.get(id(m), m)
        )
        after = _error(block, BlockRun(model, name, found), examples, device)
        better = after < before
        for layer in block.layers:
            integers = roundings[layer.text].integers()
            if not better:
                integers = layer.quantizer.quantized_(layer.weight(model))
            baked_(model, quantizer, layer, integers)
        for module in own if better else ():
            now = learned[id(module)]
            set_step_(module, now.scale, now.zero_point)
        return LayerError(name, before / power, min(before, after) / power)

    def _loss(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        block: Block,
        roundings: dict[str, SoftRounding],
        learned: dict[int, LearnedStepSize],
        examples: list[Example],
        before: float,
    ) -> Callable[[], Tensor]:
        """Return what gives the error of some images, 1 being that of the nearest."""
        device = device_and_dtype(model)[0]
        draws = torch.Generator().manual_seed(self.seed)
        drops = torch.Generator(device).manual_seed(self.seed)

        def around(module: nn.Module) -> nn.Module:
            now = learned.get(id(module), module)
            return Dropped(now, self.drop_prob, drops) if self.drop_prob else now

        steps = block_steps(quantizer, block, roundings, around)
        run = BlockRun(model, block.text, steps)
        unit = max(before, _TINY) / sum(example.size for example in examples)

        def loss() -> Tensor:
            place = int(torch.randint(len(examples), (), generator=draws))
            part = examples[place].part(self.batch_size, draws).to(device)
            args, kwargs = part.given
            if self.drop_prob and part.floats is not None:
                args, kwargs = mixed_given(part, self.drop_prob, drops)
            return part.error(_behind(block, floats_in(run(args, kwargs)))) / (
                unit * part.size
            )

        return loss


def _soft(model: nn.Module, layer: WeightLayer) -> SoftRounding:
    weight = layer.weight(model)
    scale, zero_point = (part.to(weight) for part in layer.grid(weight))
    return SoftRounding(weight, scale, zero_point, layer.quantizer.settings_now)


def _behind(block: Block, results: list[Tensor]) -> list[Tensor]:
    for activation in block.activations:
        results = [activation(result) for result in results]
    return results


def _error(
    block: Block, run: BlockRun, examples: list[Example], device: torch.device
) -> float:
    total = 0.0
    for example in examples:
        one = example.to(device)
        total += float(one.error(_behind(block, floats_in(run(*one.given)))))
    return total


def _power(examples: list[Example]) -> float:
    zeros = ([torch.zeros_like(t) for t in one.targets] for one in examples)
    pairs = zip(examples, zeros, strict=True)
    return sum(float(one.error(nothing)) for one, nothing in pairs) or 1.0
