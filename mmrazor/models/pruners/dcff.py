# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion (Lin
# et al., 2021, arXiv:2107.06916). The authors write every network anew with a rate for
# each layer; here the channel graph and a budget take the place of both.
"""DCFFPruner: a network is compact from the start, and fuses the filters it trains."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from ...core.cost import Budget
from ...core.graph import ChannelGraph, Cuts
from ...core.graph.channel_group import ChannelGroup
from ...registry import MODELS
from ..ops import annealed_inverse_temperature
from .cutting import Shrunk
from .dcff_layers import (
    Fusion,
    chosen_again,
    divergences,
    fix_,
    fuse_,
    fusible_filters,
    represent_,
)
from .importances import Importance
from .pruner import NothingPrunableError, nothing_prunable
from .pruning_state import PruningState, PruningStateError
from .pruning_step import Step, cuts_to_do
from .training_pruner import Pruner

_NO_FILTERS = "has no convolution all of whose filters could be fused"


class _Divergence(Importance):
    """Scores groups by filters; which rows those are, the pruner says."""

    def __init__(self, inverse_temperature: float) -> None:
        self.inverse_temperature = inverse_temperature
        self.filters: dict[str, tuple[str, Tensor]] = {}

    def __call__(self, group: ChannelGroup) -> Tensor:
        own = {n: item for n, item in self.filters.items() if item[0] == group.name}
        return divergences(group.model, own, self.inverse_temperature)[group.name]


@MODELS.register_module()
class DCFFPruner(Pruner):
    """Choose compact widths by a budget, and fuse filters until training ends.

    When training begins, each group of channels keeps the same share of its width, the
    network is cut to it, and each convolution that makes channels of such a group
    becomes a :class:`~mmrazor.models.ops.FuseConv2d` that trains all its filters. Other
    layers of the group are cut to the filters chosen first.

    - The filters of a group that differ most are its representatives
      (:func:`~mmrazor.models.ops.inter_filter_divergence`, summed over the group's
      convolutions): chosen from the dense weights, and anew at every interval, at whose
      beginning the inverse temperature rises too
      (:func:`~mmrazor.models.ops.annealed_inverse_temperature`).
    - Norms and the readers of a group have one place for each representative. The first
      representatives, of the dense network, bring theirs along, as matters for trained
      weights; a filter that is chosen again keeps its place, a new one takes a free
      place as it is.
    - Depthwise and grouped convolutions fuse their own filters, with the
      representatives of their group.
    - After the last interval the fused filters, which are the representatives by then,
      become the weights of plain convolutions.

    ``mmrazor.FuseFiltersHook``, which the tools add, drives all of it.

    Args:
        budget: Bounds on the cost of the compact network, see
            :class:`~mmrazor.core.cost.Budget`.
        interval: Epochs (or iterations) between two choices. Temperatures count
            intervals, from 0 to the last one.
        by_epoch: Count epochs, not iterations.
        temperatures: First and last inverse temperature, ``T_s`` and ``T_e``.
        rate: How fast it rises, ``k``.
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Channels that each group keeps at least, or a fraction of them.
        ignore: Modules (with all inside them) whose parameters keep their size.
        tie: Lists of modules whose outputs must keep the same channels.
        whole: Modules to treat as one.
        image_size: As for :class:`~mmrazor.models.pruners.Pruner`.
        inputs: What the model is called with, in place of images of that size.

    Raises:
        ValueError: If a value is out of range.
    """

    training_hook = "mmrazor.FuseFiltersHook"

    def __init__(
        self,
        budget: Budget | Mapping[str, Any],
        interval: int = 1,
        by_epoch: bool = True,
        temperatures: Sequence[float] = (1.0, 1e4),
        rate: float = 1.0,
        divisor: int = 1,
        min_keep: int | float = 1,
        ignore: Sequence[str] = (),
        tie: Sequence[Sequence[str]] = (),
        whole: Sequence[str] = (),
        image_size: Sequence[int] | None = None,
        inputs: Any = None,
    ) -> None:
        ordered = len(temperatures) == 2 and 0 < temperatures[0] <= temperatures[1]
        if interval < 1 or rate <= 0 or not ordered:
            raise ValueError(
                f"interval={interval!r}, rate={rate!r}, temperatures={temperatures!r}: "
                "give an interval of at least 1, a rate above 0, and the inverse "
                "temperatures (first, last), above 0 and not falling."
            )
        self.divergence = _Divergence(temperatures[0])
        super().__init__(
            budget,
            self.divergence,
            ranking="local",
            divisor=divisor,
            min_keep=min_keep,
            ignore=ignore,
            tie=tie,
            whole=whole,
            image_size=image_size,
            inputs=inputs,
        )
        self.interval, self.by_epoch = interval, by_epoch
        self.temperatures, self.rate = (temperatures[0], temperatures[1]), rate
        self.fusion: Fusion | None = None

    def __call__(self, model: nn.Module) -> nn.Module:
        """Return the model as it is: it becomes compact when training begins."""
        return model

    def check_driven(self) -> None:
        """Return quietly if somebody fuses, or nothing is left to do.

        Raises:
            RuntimeError: If the model trains and nobody will.
        """
        if not (self.driven or self.finished):
            raise RuntimeError(
                "The model trains, but nothing fuses its filters: DCFFPruner needs "
                f"custom_hooks=[dict(type='{self.training_hook}')] in the Runner. The "
                "tools and mmrazor.train add it."
            )

    def inverse_temperature(self, time: int, length: int) -> float:
        """Return the inverse temperature of an epoch or iteration, of so many."""
        last = ceil(length / self.interval) - 1
        return annealed_inverse_temperature(
            time // self.interval, last, *self.temperatures, self.rate
        )

    def plan(self, step: Step) -> tuple[PruningState, Cuts, Fusion]:
        """Return what :meth:`fuse_` takes, for a step that :meth:`decide` returned."""
        kept, sizes = step.state.kept, step.state.sizes
        begun = {group: k for group, k in kept.items() if len(k) < sizes[group]}
        filters = {n: f for n, f in self.divergence.filters.items() if f[0] in begun}
        fusion = Fusion(filters, begun, begun, self.temperatures[0])
        return replace(step.state, finished=False), step.cuts, fusion

    def fuse_(
        self, model: nn.Module, state: PruningState, cuts: Cuts, fusion: Fusion
    ) -> Shrunk:
        """Make a dense network compact, with fused convolutions, in place."""
        shrunk = fuse_(model, cuts, fusion)
        self.take_(state)
        self.fusion = fusion
        return shrunk

    def fusion_at(self, inverse_temperature: float) -> Fusion:
        """Return the representatives of now, at another temperature."""
        assert self.fusion is not None
        return replace(self.fusion, inverse_temperature=inverse_temperature)

    def chosen_again(self, model: nn.Module, inverse_temperature: float) -> Fusion:
        """Return new representatives; the model stays as it is."""
        assert self.fusion is not None
        return chosen_again(model, self.fusion, inverse_temperature)

    def represent_(self, model: nn.Module, fusion: Fusion) -> None:
        """Take over new representatives."""
        represent_(model, fusion)
        self.fusion = fusion

    def fix_(self, model: nn.Module) -> Shrunk:
        """Make the network a plain one: it is finished."""
        assert self.fusion is not None
        shrunk = fix_(model, list(self.fusion.filters))
        self.fusion = None
        self.finish_()
        return shrunk

    def load_fusion_(
        self, model: nn.Module, data: Mapping[str, Any], fusion: Any
    ) -> None:
        """Take the state of a checkpoint of an unfinished training, and fuse.

        Args:
            model: The dense network.
            data: What :meth:`state_dict` returned.
            fusion: What ``Fusion.to_dict`` returned, or None.

        Raises:
            PruningStateError: If it is damaged, of another model, or not there, or the
                model was cut before.
        """
        if fusion is None:
            raise PruningStateError(
                "The checkpoint is that of an unfinished DCFF training but holds no "
                "filters to go on with. Resume from one that DCFF wrote, or train the "
                "compact network by its subnet.yaml."
            )
        state = PruningState.from_dict(data)
        todo = cuts_to_do(model, self.state, state)
        self.fuse_(model, state, todo, Fusion.from_dict(fusion))

    def _traced(self, model: nn.Module) -> tuple[ChannelGraph, PruningState, Any]:
        graph, state, inputs = super()._traced(model)
        self.divergence.filters = fusible_filters(graph)
        makers = {group for group, _ in self.divergence.filters.values()}
        idle = [group.name for group in graph.groups if group.name not in makers]
        graph.freeze(idle, _NO_FILTERS)
        if idle:
            print_log(
                f"DCFF leaves {len(idle)} groups of channels alone, such as "
                f"'{idle[0]}', which {_NO_FILTERS}.",
                logger="current",
            )
        if not graph.groups:
            raise NothingPrunableError(nothing_prunable(graph))
        return graph, state, inputs

    def __deepcopy__(self, memo: dict[int, Any]) -> DCFFPruner:
        twin = super().__deepcopy__(memo)
        assert isinstance(twin, DCFFPruner)
        twin.divergence = copy.copy(self.divergence)
        return twin
