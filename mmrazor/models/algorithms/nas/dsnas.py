# DSNAS: Direct Neural Architecture Search without Parameter Retraining (Hu et al.,
# 2020, arXiv:2002.09128). The gradient of the architecture parameters comes with that
# of the weights, in one backward pass of one path: see OneHotMutableOP.
"""DSNAS: train weights and architecture parameters together, a path at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import Tensor

from ....registry import MODELS
from ...mutables import OneHotMutableOP
from ...mutators.fixing import selecting
from .searchable import SearchableAlgorithm
from .two_optimizers import two_optimizers


@final
@MODELS.register_module()
class DSNAS(SearchableAlgorithm):
    """Search and train at once; what is left in the end needs no retraining.

    Every step draws one path with the probabilities of its architecture parameters and
    runs forward and backward through it once. The run has three parts:

    1. in the first ``pretrain_epochs`` the weights alone take steps;
    2. then weights and architecture parameters do;
    3. in the last ``finetune_epochs`` the path that the architecture parameters prefer
       runs, and nothing else; its weights take steps.

    Args:
        architecture, mutator, seed, **kwargs: As for
            :class:`~mmrazor.models.algorithms.nas.searchable.SearchableAlgorithm`. The
            places are ``OneHotMutableOP``.
        pretrain_epochs: Epochs of the first part.
        finetune_epochs: Epochs of the last part.

    Raises:
        ValueError: If a number is negative, or a place has no architecture parameters
            that can be trained so.
    """

    def __init__(
        self,
        architecture: Any,
        mutator: Mapping[str, Any] | None = None,
        pretrain_epochs: int = 0,
        finetune_epochs: int = 0,
        **kwargs: Any,
    ) -> None:
        if pretrain_epochs < 0 or finetune_epochs < 0:
            raise ValueError(
                f"pretrain_epochs={pretrain_epochs} and finetune_epochs="
                f"{finetune_epochs} must be at least 0."
            )
        super().__init__(architecture, mutator, **kwargs)
        self.pretrain_epochs = pretrain_epochs
        self.finetune_epochs = finetune_epochs
        others = {
            path: type(mutable).__name__
            for path, mutable in self.mutator.mutables.items()
            if not isinstance(mutable, OneHotMutableOP)
        }
        if others:
            raise ValueError(
                f"DSNAS trains places of type OneHotMutableOP, and got {others}. Name "
                "them in mutator=dict(places={...: dict(type='OneHotMutableOP', ...)})."
            )

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take a step of the path drawn and, while searching, of what draws it.

        Raises:
            ValueError: If the two optimizers are not there.
        """
        weights, alphas = two_optimizers(optim_wrapper, "DSNAS", scaled=False)
        part = self.part()
        values = self.derived() if part == "finetune" else self.drawn()
        data = self.data_preprocessor(data, True)
        with selecting(self.space, values):
            with weights.optim_context(self._wrapper or self):
                losses = self.run(data, mode="loss")
            loss, logs = self.parse_losses(losses)
            weights.backward(loss)  # inside: checkpointed layers run again
        weights.step()
        weights.zero_grad()
        if part == "search":
            alphas.step()
        alphas.zero_grad()
        self.count_step_()
        return logs

    def part(self) -> str:
        """Return the part of the run: ``pretrain``, ``search`` or ``finetune``."""
        hub = MessageHub.get_current_instance()
        epoch = int(hub.get_info("epoch", 0))
        last = hub.get_info("max_epochs", None)
        if last is not None and epoch >= last - self.finetune_epochs:
            return "finetune"
        return "pretrain" if epoch < self.pretrain_epochs else "search"
