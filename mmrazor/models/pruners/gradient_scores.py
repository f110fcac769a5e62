# Molchanov et al. (2019, arXiv:1906.10771), section 3: scores of single mini-batches
# are averaged between two prunings, while the network trains; Liu et al. (2021,
# arXiv:2108.00708), algorithm 1: squared gradients of masks are added up likewise.
"""Scores of an importance that reads gradients, added up over optimizer steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from torch import Tensor

from ...core.forward import call_model, evaluating
from ...core.graph import ChannelGraph
from ...core.graph.channel_group import ChannelGroup
from .importances import FisherImportance, Importance, ImportanceError
from .importances.fisher import no_saving
from .importances.savings import channel_savings
from .pruning_state import PruningStateError
from .unit_masks import UnitMasks


class GradientScores:
    """Scores of channel groups over the steps of training seen.

    Args:
        importance: Scores a group, with the gradients that its parameters have or by
            squared gradients of masks.
    """

    def __init__(self, importance: Importance) -> None:
        self.importance = importance
        self.groups: list[ChannelGroup] = []
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.refused: dict[str, str] = {}
        self._masks: UnitMasks | None = None

    def start_(self, graph: ChannelGraph) -> None:
        """Get ready to add scores of the groups of a graph; put masks on if need be."""
        self.stop_()
        self.groups = graph.groups
        if self.importance.reads_masks:
            self._masks = UnitMasks(graph.model, graph.groups).__enter__()

    def stop_(self) -> None:
        """Take the masks off the model."""
        if self._masks is not None:
            self._masks.__exit__()
            self._masks = None

    def add_(self, loss_scale: float = 1.0) -> None:
        """Add the scores with the gradients of one optimizer step.

        Args:
            loss_scale: What the loss was multiplied by for half precision; gradients of
                parameters are divided by it already, those of masks are not.
        """
        if self._masks is None:
            for group in self.groups:
                self._add(group.name, self.importance(group).detach().cpu().double())
        else:
            squares = self._masks.squares()
            factor = (loss_scale * get_world_size()) ** 2
            for name, values in self._from_all(squares).items():
                self._add(name, values / factor)
        self.count += 1

    def forget_step_(self) -> None:
        """Drop what masks saw of a step that the optimizer did not take."""
        if self._masks is not None:
            self._masks.forget_()

    def refusals(self, graph: ChannelGraph, inputs: Any) -> dict[str, str]:
        """Return the groups of a graph that cannot be scored, and why.

        Args:
            graph: Of the model as it is.
            inputs: What it is called with.
        """
        if not self.importance.reads_masks:
            return {}
        savings = no_saving(self._savings(graph, inputs))
        now = UnitMasks(graph.model, graph.groups).refused
        return {**savings, **now, **self.refused}

    def scorer(
        self, graph: ChannelGraph, inputs: Any
    ) -> Callable[[ChannelGroup], Tensor]:
        """Return what ranks the groups of a graph at a pruning.

        Args:
            graph: Of the model as it is.
            inputs: What it is called with.
        """
        if not self.importance.reads_masks:
            return self.of
        savings = self._savings(graph, inputs)
        return lambda group: self._sum(group) / savings[group.name]

    def of(self, group: ChannelGroup) -> Tensor:
        """Return the mean scores of a group, shape ``(C,)``.

        Raises:
            ImportanceError: If no step was seen with it.
        """
        return self._sum(group) / self.count

    def clear_(self) -> None:
        """Forget everything, the groups too."""
        self.stop_()
        self.groups, self.sums, self.count, self.refused = [], {}, 0, {}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        sums = {name: values.tolist() for name, values in self.sums.items()}
        return {"sums": sums, "count": self.count, "refused": dict(self.refused)}

    def load_(self, data: Mapping[str, Any]) -> None:
        """Go on from the plain data of a checkpoint.

        Raises:
            PruningStateError: If it is not what :meth:`to_dict` makes.
        """
        try:
            self.sums = {
                str(name): torch.tensor(values, dtype=torch.float64)
                for name, values in data["sums"].items()
            }
            self.count = int(data["count"])
            self.refused = dict(data.get("refused", {}))
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise PruningStateError(
                f"The checkpoint's scores of channels cannot be read ({err!r}). Resume "
                "from another checkpoint."
            ) from err

    def _add(self, name: str, scores: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0) + scores

    def _sum(self, group: ChannelGroup) -> Tensor:
        if group.name not in self.sums:
            raise ImportanceError(
                f"Group '{group.name}' has no scores of "
                f"{type(self.importance).__name__}: {self.count} optimizer steps were "
                "seen before the pruning. Raise num_batches of the pruner."
            )
        return self.sums[group.name]

    def _savings(self, graph: ChannelGraph, inputs: Any) -> dict[str, float]:
        assert isinstance(self.importance, FisherImportance)

        def run() -> None:
            with evaluating(graph.model):
                call_model(graph.model, inputs)

        return channel_savings(graph, self.importance.normalize, run)

    def _from_all(self, squares: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Add up over processes; what one of them refuses is refused by all."""
        assert self._masks is not None
        self._refuse(self._masks.refused)
        parts = []
        for group in self.groups:
            lacks = torch.tensor([float(group.name not in squares)])
            zeros = torch.zeros(group.size, dtype=torch.float64)
            parts += [lacks.double(), squares.get(group.name, zeros)]
        flat = torch.cat(parts)
        all_reduce(flat)
        sizes = [1 + group.size for group in self.groups]
        found = {}
        for group, part in zip(self.groups, flat.split(sizes), strict=True):
            if part[0] == 0:
                found[group.name] = part[1:]
            else:
                self._refuse({group.name: "cannot be measured in another process"})
        return found

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        new = {n: why for n, why in reasons.items() if n not in self.refused}
        for name, reason in new.items():
            print_log(
                f"Group '{name}' keeps its channels at the next pruning: it {reason}.",
                logger="current",
                level=logging.WARNING,
            )
        self.refused.update(new)
