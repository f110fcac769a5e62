"""Evaluate the models of a sensitivity analysis, those that are not known yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias

import torch
from torch import nn

from ..core.copying import copied
from ..core.graph import ChannelGraph, ChannelGroup, checked_slimming
from ..models.pruners import Importance
from ..models.pruners.ranking import top_units
from .sensitivity_data import Validation
from .sensitivity_state import Metrics, SensitivityState
from .steps import Advance

#: A group and the number of its units that a model keeps.
Case: TypeAlias = "tuple[str, int]"


@dataclass
class Scores:
    """Metrics of models in which one group is pruned.

    Args:
        graph: Groups that break the model are frozen in it.
        inputs: What the model is called with, to check that it is right.
        validation: Finds the metrics.
        state: Keeps them.
        device: Where models are evaluated.

    Attributes:
        groups: Those that there were at first, by name.
    """

    graph: ChannelGraph
    inputs: Any
    validation: Validation
    state: SensitivityState
    device: str | torch.device
    groups: dict[str, ChannelGroup] = field(init=False)

    def __post_init__(self) -> None:
        self.groups = {group.name: group for group in self.graph.groups}

    def missing(self, kept: Mapping[str, Sequence[int]]) -> list[Case]:
        """Return what has to be evaluated, each once.

        Args:
            kept: Units to keep, several numbers for each group. All of them is the
                whole model.
        """
        return [
            (name, count)
            for name, counts in kept.items()
            for count in sorted(set(counts) - {self.groups[name].size}, reverse=True)
            if not self.state.has(name, count)
        ]

    def metrics_of(self, name: str, count: int) -> Metrics | None:
        """Return what is known of a model; ``None`` if it broke."""
        if count == self.groups[name].size:
            return self.state.dense
        return self.state.groups.get(name, {}).get(count)

    def evaluate_whole(self, advance: Advance) -> None:
        """Evaluate the model with nothing pruned."""
        model = copied(self.graph.model)
        self.state.keep_dense(self._metrics(model, advance))

    def evaluate(
        self,
        cases: Sequence[Case],
        importance: Importance,
        advance: Advance,
        tell: Callable[[str], None],
    ) -> None:
        """Evaluate models and keep their metrics.

        Args:
            cases: From :meth:`missing`.
            importance: Ranks the units; ready to score.
            advance: Called after each batch.
            tell: Called after each group with its name and about how long the rest
                takes.
        """
        start, done = time.perf_counter(), 0
        for name, of_group in groupby(cases, key=lambda case: case[0]):
            for _, count in of_group:
                model = self._pruned(name, count, importance)
                if model is not None:
                    metrics = self._metrics(model, advance)
                    self.state.keep(name, count, metrics)
                done += 1
            left = (time.perf_counter() - start) / done * (len(cases) - done)
            tell(f"{name}: {done} of {len(cases)} done, about {left:.0f} s left")

    def _pruned(
        self, name: str, count: int, importance: Importance
    ) -> nn.Module | None:
        """Return the model that is checked, or None if it breaks, with the reason."""
        if name in self.graph.unprunable:
            return None
        scores = importance(self.groups[name]).detach().cpu().double().numpy()
        kept = {name: top_units(scores, count)}

        def choose(graph: ChannelGraph) -> dict[str, list[int]]:
            return {} if name in graph.unprunable else kept

        checked = checked_slimming(self.graph, choose, self.inputs)
        return checked.model if checked.kept else None

    def _metrics(self, model: nn.Module, advance: Advance) -> Metrics:
        return self.validation(model.to(self.device), advance)
