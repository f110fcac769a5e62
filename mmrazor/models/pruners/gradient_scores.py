# Molchanov et al. (2019, arXiv:1906.10771), section 3: scores of single mini-batches
# are averaged between two prunings, while the network trains.
"""Scores of an importance that reads gradients, added up over optimizer steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.graph.channel_group import ChannelGroup
from .importances import Importance, ImportanceError, build_importance
from .pruning_state import PruningStateError


class GradientScores:
    """Mean scores of channel groups over the steps of training seen.

    Args:
        importance: Scores a group with the gradients that its parameters have.
    """

    def __init__(self, importance: Importance) -> None:
        self.importance = importance
        self.groups: list[ChannelGroup] = []
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add_(self) -> None:
        """Add the scores with the gradients of one optimizer step."""
        for group in self.groups:
            scores = self.importance(group).detach().cpu().double()
            self.sums[group.name] = self.sums.get(group.name, 0) + scores
        self.count += 1

    def of(self, group: ChannelGroup) -> Tensor:
        """Return the mean scores of a group, shape ``(C,)``.

        Raises:
            ImportanceError: If no step was seen with it.
        """
        if group.name not in self.sums:
            raise ImportanceError(
                f"Group '{group.name}' has no scores of "
                f"{type(self.importance).__name__}: {self.count} optimizer steps were "
                "seen before the pruning. Raise num_batches of the pruner."
            )
        return self.sums[group.name] / self.count

    def clear_(self) -> None:
        """Forget everything, the groups too."""
        self.groups, self.sums, self.count = [], {}, 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        sums = {name: values.tolist() for name, values in self.sums.items()}
        return {"sums": sums, "count": self.count}

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
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise PruningStateError(
                f"The checkpoint's scores of channels cannot be read ({err!r}). Resume "
                "from another checkpoint."
            ) from err


def build_scorer(cfg: str | Mapping[str, Any] | Importance) -> Importance:
    """Build an importance that a run can feed.

    Raises:
        TypeError: As for :func:`~.importances.build_importance`.
        ValueError: Likewise, and for one that reads what no run collects.
    """
    try:
        return build_importance(cfg)
    except TypeError as err:
        if "squared_gradients" not in str(err):
            raise
        raise ValueError(
            "FisherImportance reads gradients of masks on channels, which Pruner does "
            "not collect. dict(type='TaylorImportance', multivariable=True, "
            "roles=('in',)) takes the same square from the gradients of the weights "
            "that read a channel, for each optimizer step."
        ) from err
