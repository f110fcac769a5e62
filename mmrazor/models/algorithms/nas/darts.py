# DARTS: Differentiable Architecture Search (Liu et al., 2019, arXiv:1806.09055).
"""DARTS: train architecture parameters and weights in turn, each on data of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from mmengine.dist import all_reduce_params
from mmengine.optim import OptimWrapper
from torch import Tensor

from ....core.graph.swap import scratch_buffers
from ....core.protocols import is_alpha
from ....registry import MODELS
from .searchable import SearchableAlgorithm
from .two_optimizers import two_optimizers
from .virtual_step import sgd_step, unrolled_gradients


@final
@MODELS.register_module()
class Darts(SearchableAlgorithm):
    """Train the weights of a supernet and the weights of its candidates in turn.

    Every step takes two batches, which :class:`~mmrazor.core.loops.BilevelLoop` gives:

    1. the architecture parameters take a step on the second batch. First order: with
       the weights as they are. Second order, ``unroll=True``: with the weights after
       the step that their optimizer would take on the first batch; the gradient goes
       through that step, exactly.
    2. the weights take a step on the first batch.

    Statistics of norms are those of the first batches. The virtual step has the
    optimizer's momentum and weight decay and does not clip.

    Args:
        architecture, mutator, seed, **kwargs: As for
            :class:`~mmrazor.models.algorithms.nas.searchable.SearchableAlgorithm`.
        unroll: Whether to take the second order.

    Raises:
        ValueError: If there are no architecture parameters.
    """

    find_unused_parameters = False

    def __init__(
        self,
        architecture: Any,
        mutator: Mapping[str, Any] | None = None,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(architecture, mutator, **kwargs)
        self.unroll = unroll
        if not self.alphas():
            raise ValueError(
                f"{type(self.architecture).__name__} has Choices, and no architecture "
                "parameters to train. Make its places DiffMutableOP, or train it with "
                "type='mmrazor.SPOS'."
            )

    def alphas(self) -> list[Tensor]:
        """Return the architecture parameters."""
        return [p for name, p in self.named_parameters() if is_alpha(name)]

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take a step of the architecture parameters and one of the weights.

        Args:
            data: A batch for the weights and one for the architecture parameters.
            optim_wrapper: The two optimizers, ``architecture`` and ``mutator``.

        Raises:
            ValueError: If these are not two each, or the optimizer of the weights is
                none that can be unrolled.
        """
        weights, alphas = two_optimizers(optim_wrapper, "Darts")
        first, second = (self.data_preprocessor(one, True) for one in _streams(data))
        gradients, alpha_loss = self.alpha_gradients(first, second, weights)
        for alpha, gradient in zip(self.alphas(), gradients, strict=True):
            alpha.grad = gradient
        alphas.step()
        with weights.optim_context(self._wrapper or self):
            losses = self.run(first, mode="loss")
        loss, logs = self.parse_losses(losses)
        weights.update_params(loss)
        alphas.zero_grad()  # of what the weights' loss left there
        self.count_step_()
        return {**logs, "alpha_loss": alpha_loss}

    def alpha_gradients(
        self, first: Any, second: Any, weights: OptimWrapper
    ) -> tuple[list[Tensor], Tensor]:
        """Return the gradients of the architecture parameters, and their loss.

        Args:
            first: Preprocessed batch for the weights.
            second: The same for the architecture parameters.
            weights: The optimizer of the weights.

        Raises:
            ValueError: If the virtual step of the optimizer is not known.
        """
        # not through a wrapper, which would average the gradients of weights
        with scratch_buffers(self.architecture), weights.optim_context(self):
            if self.unroll:
                return self._unrolled(first, second, weights)
            loss = self._loss(second)
            gradients = list(torch.autograd.grad(loss, self.alphas()))
        _average_(gradients)
        return gradients, loss.detach()

    def _unrolled(
        self, first: Any, second: Any, weights: OptimWrapper
    ) -> tuple[list[Tensor], Tensor]:
        optimizer = weights.optimizer
        if type(optimizer) is not torch.optim.SGD:
            raise ValueError(
                f"Darts with unroll=True needs SGD for the weights, whose step it "
                f"unrolls; {type(optimizer).__name__} is another. Set optim_wrapper="
                "dict(architecture=dict(optimizer=dict(type='SGD', ...))), or "
                "unroll=False."
            )
        names = {id(p): name for name, p in self.named_parameters()}
        pairs = [
            (parameter, group)
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.requires_grad
        ]
        parameters = [parameter for parameter, _ in pairs]

        def step(place: int, gradient: Tensor) -> Tensor:
            parameter, group = pairs[place]
            buffer = optimizer.state[parameter].get("momentum_buffer")
            return sgd_step(parameter.detach(), gradient, group, buffer)

        def val_loss(moved: Sequence[Tensor]) -> Tensor:
            keys = (names[id(parameter)] for parameter in parameters)
            return self._loss(second, dict(zip(keys, moved, strict=True)))

        return unrolled_gradients(
            self._loss(first), val_loss, parameters, self.alphas(), step, _average_
        )

    def _loss(self, data: Any, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the loss on preprocessed data, with other weights if so wished."""
        args, kwargs = ((), data) if isinstance(data, Mapping) else (tuple(data), {})
        losses = torch.func.functional_call(
            self, dict(weights or {}), args, {**kwargs, "mode": "loss"}
        )
        return self.parse_losses(losses)[0]


def _average_(tensors: Sequence[Tensor]) -> None:
    all_reduce_params(list(tensors), op="mean")


def _streams(data: Any) -> tuple[Any, Any]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            f"Darts takes two batches in a step, one for the weights and one for the "
            f"architecture parameters, and got a {type(data).__name__}. Set train_cfg="
            "dict(type='mmrazor.BilevelLoop', mutator_dataloader=dict(dataset=...))."
        )
    return data[0], data[1]
