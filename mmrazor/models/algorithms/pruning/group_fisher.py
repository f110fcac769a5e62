# Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
# arXiv:2108.00708). The authors drop one channel of all every d steps, until the MACs
# are reached; here the steps are those of a schedule, so that the length of a run is
# known before it begins.
"""Group Fisher Pruning: the channels of least Fisher information go, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....registry import MODELS
from ..base import Algorithm

_DEFAULTS = {"type": "LinearSchedule", "begin": 0}


@MODELS.register_module()
class GroupFisher(Algorithm):
    """Prune in small steps while the network trains, by Fisher information.

    A shorthand for :class:`~mmrazor.models.algorithms.Algorithm` with a ``Pruner`` that
    has a ``FisherImportance`` and a linear schedule: every ``interval`` iterations,
    those channels of all groups go whose squared mask gradients, added up since the
    last time and divided by the MACs (or activations) that they save, are the least. In
    the paper exactly one channel goes each time; here as many as bring the cost down
    to its share of the way, evenly from the dense cost to the budget at ``end``. The
    later the end, the fewer go at a time.

    Args:
        architecture: As for ``Algorithm``.
        pruner: Config of a :class:`~mmrazor.models.pruners.Pruner`; its schedule needs
            an ``end`` in iterations, the rest has the defaults of this method.
        interval: Iterations between two prunings, at least 1; in the paper 25 for
            classifiers and 10 for detectors.
        **kwargs: As for ``Algorithm``: ``teacher``, ``distiller`` and so on.

    Raises:
        ValueError: If the schedule has no end, or counts epochs, or the importance is
            another.
    """

    def __init__(
        self, architecture: Any, pruner: dict, interval: int = 25, **kwargs: Any
    ) -> None:
        given = pruner.get("schedule") or {}
        if not isinstance(given, Mapping) or "end" not in given:
            raise ValueError(
                "GroupFisher prunes until an iteration. Give pruner=dict(..., "
                "schedule=dict(end=20000))."
            )
        if given.get("by_epoch"):
            raise ValueError(
                "GroupFisher counts iterations between prunings, not epochs. Give the "
                "schedule's end in iterations and leave by_epoch out, or take "
                "type='mmrazor.Compress' with importance=dict(type='FisherImportance')."
            )
        schedule = {**_DEFAULTS, "interval": interval, **given}
        settings = {
            "importance": {"type": "FisherImportance"},
            "num_batches": schedule["interval"],
            **pruner,
            "schedule": schedule,
        }
        super().__init__(architecture, pruner=settings, **kwargs)
        if not self.pruner.importance.reads_masks:
            raise ValueError(
                f"GroupFisher ranks by FisherImportance, but has importance="
                f"{settings['importance']}. Leave it out, or take "
                "type='mmrazor.Compress'."
            )
