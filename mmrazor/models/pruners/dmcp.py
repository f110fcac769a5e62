# DMCP (Guo et al., 2020, arXiv:2005.03354). What a Pruner does in a run (trial, budget,
# cut, checkpoint, files) is the same; the widths come from the chains.
"""DMCPPruner: the Pruner whose widths Markov chains learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...core.cost import Budget
from ...core.graph import ChannelGraph
from ...core.graph.channel_group import ChannelGroup
from ...core.graph.cuts import Cuts
from ...registry import MODELS
from .cutting import Shrunk
from .dmcp_chain import MarkovChains, level_widths
from .dmcp_supernet import MarkovSupernet
from .importances import Importance
from .pruner import NothingPrunableError, nothing_prunable
from .pruning_state import PruningState, PruningStateError
from .pruning_step import Step
from .training_pruner import Pruner


class ExpectedWidths(Importance):
    """Scores that make one threshold for all groups keep their expected widths.

    Unit ``i`` of a group of expected width ``w`` has the score ``w / (i + 1/2)``: those
    above 1 are ``w`` units, rounded, and any other threshold scales all widths alike.

    Args:
        chains: Know the expected widths.

    Example:
        >>> expected_scores(4, 2.2).tolist()[:2]
        [4.4, 1.4666666666666668]
    """

    def __init__(self, chains: MarkovChains) -> None:
        self.chains = chains

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        return expected_scores(group.size, self.chains.expected()[group.name])


def expected_scores(size: int, expected: float) -> Tensor:
    """Return the scores of a group's units, see :class:`ExpectedWidths`."""
    return expected / (torch.arange(size, dtype=torch.float64) + 0.5)


@MODELS.register_module()
class DMCPPruner(Pruner):
    """Learn the width of every group of channels, then prune to it, once.

    It belongs to a :class:`~mmrazor.models.algorithms.DMCP`, which trains the chains.
    In the end every group keeps its first units: the expected widths of the chains,
    scaled by the common factor with which the budget is just met.

    Args:
        budget: Bounds on the cost of the final model; the expected cost is led to them.
        schedule: From ``begin`` on the chains are trained, at ``end`` the model is
            pruned: ``dict(type='LinearSchedule', begin=20, end=40, by_epoch=True)``.
        levels: Parts that the units of a group are divided into.
        init_alpha: First value of the chains' parameters: every transition has the
            probability ``sigmoid(init_alpha)``.
        min_keep: As for :class:`Pruner`; the first level, which is always kept.
        divisor, ignore, tie, whole, image_size, inputs: As for :class:`Pruner`.

    Raises:
        ValueError: If the schedule leaves no time for the search, or a value is out of
            range.
        NothingPrunableError: If there is no group to search.
    """

    def __init__(
        self,
        budget: Budget | Mapping[str, Any],
        schedule: Any,
        levels: int = 10,
        init_alpha: float = 3.0,
        divisor: int = 1,
        min_keep: int | float = 0.1,
        ignore: Sequence[str] = (),
        tie: Sequence[Sequence[str]] = (),
        whole: Sequence[str] = (),
        image_size: Sequence[int] | None = None,
        inputs: Any = None,
    ) -> None:
        super().__init__(
            budget,
            divisor=divisor,
            min_keep=min_keep,
            ignore=ignore,
            tie=tie,
            whole=whole,
            image_size=image_size,
            schedule=schedule,
            inputs=inputs,
        )
        if levels < 2:
            raise ValueError(f"levels={levels}: a choice of widths needs at least 2.")
        if self.schedule is None or self.schedule.begin >= self.schedule.end:
            raise ValueError(
                f"DMCP searches between the schedule's begin and end, and prunes at its"
                f" end; schedule={schedule!r} has no time between. Give schedule=dict("
                "type='LinearSchedule', begin=20, end=40, by_epoch=True)."
            )
        self.levels, self.init_alpha = levels, init_alpha
        self.chains: MarkovChains | None = None
        self._supernet: MarkovSupernet | None = None

    def __call__(self, model: nn.Module) -> nn.Module:
        """Return the model as it is; make a chain for every group of its channels."""
        graph, state, _ = self._traced(model)
        self.chains = MarkovChains(
            {
                group.name: level_widths(
                    self.selection.widths(group, state), group.size, self.levels
                )
                for group in graph.groups
            },
            self.init_alpha,
        )
        self.importance = ExpectedWidths(self.chains)
        return model

    def supernet(self, model: nn.Module) -> MarkovSupernet:
        """Return what runs the model at any width; it is traced at the first call."""
        assert self.chains is not None
        if self._supernet is None:
            graph, state, _ = self._traced(model)
            limits = self.selection.limits(state, 1.0)
            self._supernet = MarkovSupernet(graph, self.chains, limits)
        return self._supernet

    def decide(
        self, model: nn.Module, share: float, time: int | None = None
    ) -> Step | None:
        """Start the search when the schedule begins; choose what goes at its end."""
        assert self.chains is not None
        if share < 1:
            self.chains.searching.fill_(True)
            return None
        return super().decide(model, share, time)

    def cut_(self, model: nn.Module, cuts: Cuts) -> Shrunk:
        """Make a model smaller in place."""
        self._supernet = None
        return super().cut_(model, cuts)

    def load_state_(self, model: nn.Module, data: Mapping[str, Any]) -> Cuts:
        """Take the state of a checkpoint, and cut the model accordingly.

        Raises:
            PruningStateError: As for :class:`Pruner`, and if the checkpoint's model was
                pruned to a larger budget.
        """
        cuts = super().load_state_(model, data)
        if self.state is not None and self.state.steps and not self.finished:
            raise PruningStateError(
                "The checkpoint's model was pruned already, to a larger budget; DMCP "
                "searches once. Search anew, or prune on with type='mmrazor.Compress' "
                "and pruner=dict(type='Pruner', ...)."
            )
        return cuts

    def _traced(self, model: nn.Module) -> tuple[ChannelGraph, PruningState, Any]:
        graph, state, inputs = super()._traced(model)
        names = [group.name for group in graph.groups]
        if self.chains is not None:
            strange = [name for name in names if name not in self.chains.names]
            graph.freeze(strange, "was no group when the chains were made")
        unread = [
            group.name
            for group in graph.groups
            if all(slot.role != "in" for slot in group.slots)
        ]
        graph.freeze(unread, "is read by no weights, which DMCP would have to scale")
        if not graph.groups:
            raise NothingPrunableError(nothing_prunable(graph))
        return graph, state, inputs
