# DMCP: Differentiable Markov Channel Pruning for Neural Networks (Guo et al., 2020,
# arXiv:2005.03354). The authors rebuild every network from layers with masks; here the
# channel graph says where the channels are, and the user's own modules run on views.
"""DMCP: learn how many channels every group keeps, by gradients, while training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor

from ....core.capture import Recorder
from ....core.forward import map_tensors
from ....core.graph.swap import scratch_buffers
from ....core.hooks.random_streams import mixed_seed
from ....registry import MODELS
from ...distillers import Distiller
from ...distillers.distiller import build_part
from ...pruners import DMCPPruner
from ..base import Algorithm


@MODELS.register_module()
class DMCP(Algorithm):
    """Train weights at many widths and Markov chains over the widths, then prune.

    Until the pruner has pruned, every step runs

    1. the widest network, the narrowest, and ``num_samples`` of random widths, on the
       same batch: their gradients are added up for one step of the run's optimizer.
       With a ``self_distiller`` all but the widest learn from the widest alone;
    2. from the schedule's ``begin`` on, the soft network, in which every channel is
       scaled by the probability that it is kept: Adam takes a step of the chains on
       ``task loss + cost_weight * log |E(cost) - target|``.

    Before ``begin`` the random widths are uniform, later the chains draw them; they
    depend on the seed and the step alone. After the pruning it is the ordinary training
    of the small network. Only the widest network's passes move the statistics of norms.

    Args:
        architecture: As for :class:`~mmrazor.models.algorithms.Algorithm`.
        pruner: Config of a :class:`~mmrazor.models.pruners.DMCPPruner`.
        self_distiller: Config of a distiller whose teacher is the widest network:
            ``dict(losses=dict(kd=dict(type='KLDivergence', student='output:head.fc',
            teacher='output:head.fc')))``. Without it all widths learn the task.
        num_samples: Random widths in every step.
        cost_weight: Weight of the cost in the loss of the chains.
        tolerance: Part of the target by which the expected cost may be off.
        alpha_lr: Learning rate of the chains.
        alpha_betas: Adam's averaging factors.
        alpha_weight_decay: Adam's weight decay.
        seed: Of the random widths.
        **kwargs: As for ``Algorithm``: ``teacher``, ``distiller`` and so on.

    Raises:
        TypeError: If the pruner is another one.
        ValueError: If a number is out of range.
    """

    pruner_type = "DMCPPruner"
    pruner: DMCPPruner

    def __init__(
        self,
        architecture: Any,
        pruner: dict,
        self_distiller: dict | None = None,
        num_samples: int = 2,
        cost_weight: float = 0.1,
        tolerance: float = 0.05,
        alpha_lr: float = 0.01,
        alpha_betas: tuple[float, float] = (0.9, 0.999),
        alpha_weight_decay: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if num_samples < 0 or cost_weight < 0 or tolerance <= 0 or alpha_lr <= 0:
            raise ValueError(
                f"num_samples={num_samples} and cost_weight={cost_weight} must be at "
                f"least 0, tolerance={tolerance} and alpha_lr={alpha_lr} above 0."
            )
        super().__init__(architecture, pruner=pruner, **kwargs)
        if not isinstance(self.pruner, DMCPPruner):
            raise TypeError(
                f"DMCP trains the chains of a DMCPPruner; "
                f"{type(self.pruner).__name__} has none. Set pruner=dict("
                "type='DMCPPruner', ...), or prune with type='mmrazor.Compress'."
            )
        assert self.pruner.chains is not None
        self.chains = self.pruner.chains
        self.self_distiller: Distiller | None = None
        if self_distiller is not None:
            self.self_distiller = build_part({"type": "Distiller", **self_distiller})
        self.num_samples = num_samples
        self.cost_weight, self.tolerance = cost_weight, tolerance
        self.alpha_adam: dict[str, Any] = {
            "lr": alpha_lr,
            "betas": tuple(alpha_betas),
            "weight_decay": alpha_weight_decay,
        }
        self.seed = seed

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one step of the weights and one of the chains; return what to log.

        Raises:
            ValueError: If gradients are accumulated over iterations.
        """
        if self.pruner.finished:
            return super().train_step(data, optim_wrapper)
        self.pruner.check_driven()
        if getattr(optim_wrapper, "_accumulative_counts", 1) != 1:
            raise ValueError(
                "DMCP runs several networks for one step, and does not accumulate "
                "gradients over iterations as well. Remove accumulative_counts from "
                "optim_wrapper, or lower the batch size."
            )
        data = self.data_preprocessor(data, True)
        logs = self._weight_step(data, optim_wrapper)
        if self.chains.searching:
            logs.update(self._alpha_step(data))
        self.chains.steps += 1
        return logs

    def drawn_widths(self) -> list[dict[str, int]]:
        """Return the widths below the widest that this step runs, by group."""
        seed = mixed_seed(self.seed, int(self.chains.steps))
        generator = torch.Generator().manual_seed(seed)
        draw = self.chains.sample if self.chains.searching else self.chains.uniform
        random = [draw(generator) for _ in range(self.num_samples)]
        return [self.chains.narrowest(), *random]

    def _weight_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        logs, wanted = self._pass(data, optim_wrapper, {}, None, last=False)
        widths = self.drawn_widths()
        narrow = []
        for counts in widths:
            last = counts is widths[-1]
            one, _ = self._pass(data, optim_wrapper, counts, wanted, last)
            narrow.append(one["loss"].detach())
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        return {**logs, "narrow_loss": torch.stack(narrow).mean()}

    def _pass(
        self,
        data: Any,
        optim_wrapper: OptimWrapper,
        counts: Mapping[str, int],
        wanted: Any,
        last: bool,
    ) -> tuple[dict[str, Tensor], Any]:
        """Run one width forward and backward.

        Returns:
            What to log, and what a narrower network is to learn from.
        """
        with ExitStack() as stack:
            if counts:
                stack.enter_context(scratch_buffers(self.architecture))
                supernet = self.pruner.supernet(self.architecture)
                stack.enter_context(supernet.at(counts))
            with optim_wrapper.optim_context(self._wrapper or self):
                losses, values = self._losses(data, wanted, last)
            loss, logs = self.parse_losses(losses)
            optim_wrapper.backward(loss)  # inside: checkpointed layers run again
        return logs, values

    def _losses(self, data: Any, wanted: Any, last: bool) -> tuple[Any, Any]:
        if self.self_distiller is None:
            return self.run(data, mode="loss", sync=last), None
        distiller = self.self_distiller
        if wanted is None:
            with Recorder(self.architecture, distiller.teacher_sources) as recorder:
                losses = self.run(data, mode="loss", sync=last)
            return losses, map_tensors(recorder.values(), torch.Tensor.detach)
        with Recorder(self.architecture, distiller.student_sources) as recorder:
            self.run(data, mode="loss", sync=last)
        return distiller(recorder.values(), wanted), wanted

    def _alpha_step(self, data: Any) -> dict[str, Tensor]:
        alphas = self.chains.alphas.detach().clone().requires_grad_()
        supernet = self.pruner.supernet(self.architecture)
        with scratch_buffers(self.architecture), supernet.softly(alphas):
            # not through a wrapper, which would average gradients of weights
            if isinstance(data, dict):
                losses = self(**data, mode="loss")
            else:
                losses = self(*data, mode="loss")
        task, _ = self.parse_losses(losses)
        penalty = supernet.penalty(alphas, self.tolerance)
        loss = task + self.cost_weight * penalty.to(task)
        (gradient,) = torch.autograd.grad(loss, alphas)
        all_reduce(gradient, "mean")
        self.chains.adam_(gradient, **self.alpha_adam)
        return {
            "alpha_loss": loss.detach(),
            **{
                f"expected_{name}": cost.detach() / supernet.targets[name]
                for name, cost in supernet.expected().items()
            },
        }
