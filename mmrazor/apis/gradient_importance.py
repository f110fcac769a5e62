"""Importances that look at gradients, fed with batches of the training set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, final

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ..core.graph import ChannelGraph, ChannelGroup
from ..models.pruners import (
    FisherImportance,
    Importance,
    ImportanceError,
    build_importance,
)
from ..models.pruners.importances.fisher import no_saving
from ..models.pruners.importances.savings import channel_savings
from ..models.pruners.readers import reading_slots
from .training_step import loss_of, training_mode


@final
class MeanImportance(Importance):
    """Scores that were found before, one mean for each channel.

    Args:
        scores: By group's name, shape ``(C,)``.
    """

    def __init__(self, scores: Mapping[str, Tensor]) -> None:
        self.scores = scores

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        if group.name not in self.scores:
            raise ImportanceError(f"Group '{group.name}' was not scored.")
        return self.scores[group.name]


def reads_gradients(importance: Any) -> bool:
    """Tell whether an importance needs batches of the training set.

    Args:
        importance: A name, a config or an object.

    Raises:
        ValueError: If there is no such importance.

    Example:
        >>> reads_gradients('TaylorImportance'), reads_gradients('L1Importance')
        (True, False)
    """
    return build_importance(importance).reads_gradients


def batch_size_for(importance: Any, default: int) -> int:
    """Return how many images a batch may have: Fisher wants each sample's gradient."""
    return 1 if build_importance(importance).reads_masks else default


def calibrated(
    importance: Any,
    graph: ChannelGraph,
    batches: Iterable[Any],
    advance: Callable[[], None] = lambda: None,
) -> Importance:
    """Return an importance that has seen the gradients of some batches.

    Taylor scores are averaged over the batches. Fisher scores are squared gradients
    with respect to a mask on each channel where it is read, added up over batches (of
    one sample each), divided by what the channel saves; groups that no layer reads,
    or that save nothing, are frozen in the graph.

    Args:
        importance: A name, a config or an object that reads gradients.
        graph: Channel graph of an mmengine model.
        batches: Of its training set.
        advance: Called after each batch.

    Raises:
        ImportanceError: If a group lacks what the importance reads.
        ValueError: If the model is no mmengine model, or there is no batch.
    """
    model = graph.model
    if not isinstance(model, BaseModel):
        raise ValueError(
            f"{type(model).__name__} is a plain torch module, which has no losses in a "
            "config. Call loss.backward() yourself and prune it by mmrazor.prune(...)."
        )
    scorer = build_importance(importance)
    sums: dict[str, Tensor] = {}
    savings: dict[str, float] = {}
    number = 0
    with training_mode(model):
        for batch in batches:
            if isinstance(scorer, FisherImportance) and number == 0:
                run = partial(_run_once, model, batch)
                savings = channel_savings(graph, scorer.normalize, run)
                _freeze_unscorable(graph, savings)
            model.zero_grad(set_to_none=True)
            loss = loss_of(model, batch)
            _check_finite(loss, number)
            loss.backward()
            for group in graph.groups:
                sums[group.name] = sums.get(group.name, 0) + _scores(scorer, group)
            number += 1
            advance()
        model.zero_grad(set_to_none=True)
    if number == 0:
        raise ValueError("There is no batch to find gradients with. Give some.")
    if isinstance(scorer, FisherImportance):
        return scorer.filled(sums, savings)
    return MeanImportance({name: total / number for name, total in sums.items()})


def _scores(scorer: Importance, group: ChannelGroup) -> Tensor:
    if scorer.reads_masks:
        return _mask_gradients(group).square()
    return scorer(group).detach().cpu().double()


def _mask_gradients(group: ChannelGroup) -> Tensor:
    """Gradient of the loss of one sample to a mask of 1 on each channel that is read.

    A mask on an input scales the weights that read it, so its gradient is the sum of
    weights times their gradients; that sees readers that are no layers too.
    """
    total = torch.zeros(group.size, dtype=torch.float64)
    found = False
    for slot in reading_slots(group):
        parameter = group.tensor(slot)
        if parameter.grad is None:
            continue
        products = slot.rows(parameter.detach().double() * parameter.grad.double())
        total += products.sum(1).cpu()
        found = True
    if not found:
        raise ImportanceError(
            f"No layer that reads the channels of group '{group.name}' has a gradient; "
            f"its slots are in {group.modules()}. Leave it out of the pruning "
            "(ignore), or take another importance."
        )
    return total


def _freeze_unscorable(graph: ChannelGraph, savings: Mapping[str, float]) -> None:
    for group in list(graph.groups):
        if not reading_slots(group):
            graph.freeze([group.name], "is read by no convolution or linear layer")
    for name, reason in no_saving(savings).items():
        graph.freeze([name], reason)


def _run_once(model: BaseModel, batch: Any) -> None:
    with torch.no_grad():
        loss_of(model, batch)


def _check_finite(loss: Tensor, number: int) -> None:
    if not bool(loss.isfinite()):
        raise ValueError(
            f"The loss of training batch {number} is {float(loss)}, so its gradients "
            "say nothing. Check the checkpoint and the data, or train the model first."
        )
