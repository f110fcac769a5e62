# One interface for every way to rank channels, as in Torch-Pruning (Fang et al., 2023,
# arXiv:2301.12900): a group in, one score a channel out. Ours never guesses: a group
# without the slots that a method reads is an error that names it.
"""What every importance is, and how it reads the slots of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias, get_args

import torch
from torch import Tensor

from ....core.graph.channel_group import ChannelGroup, Role, Slot
from .combine import check_combination, combined

Roles: TypeAlias = "str | Sequence[str]"


class ImportanceError(ValueError):
    """A group that an importance cannot score."""


class Importance(ABC):
    """Ranks the channels of a group; a subclass defines the call and nothing else.

    Attributes:
        reads_gradients: Whether it reads gradients, those that the parameters have now
            unless the next says otherwise.
        reads_masks: Whether they are those of masks on channels,
            :class:`~mmrazor.models.pruners.unit_masks.UnitMasks`.
    """

    reads_gradients = False
    reads_masks = False

    @abstractmethod
    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return one score for each channel.

        Args:
            group: Channels to rank, with the model as it is now.

        Returns:
            Shape ``(C,)`` with ``C = group.size``, higher is kept.

        Raises:
            ImportanceError: If the group lacks what the method reads.
        """


def checked_roles(roles: Roles) -> tuple[str, ...]:
    """Return roles as a tuple.

    Raises:
        ValueError: If there is none, or one is no role of a slot.
    """
    roles = (roles,) if isinstance(roles, str) else tuple(roles)
    known = get_args(Role)
    unknown = [role for role in roles if role not in known]
    if unknown or not roles:
        raise ValueError(f"roles is {roles}; give one or more of {known}.")
    return roles


def slots_of(group: ChannelGroup, roles: Sequence[str], what: str) -> list[Slot]:
    """Return the slots of a group that have one of the roles.

    Args:
        group: The group.
        roles: The roles wanted.
        what: Who reads them, for the error.

    Raises:
        ImportanceError: If there is none.
    """
    slots = [slot for slot in group.slots if slot.role in roles]
    if slots:
        return slots
    found = dict(Counter(slot.role for slot in group.slots))
    raise ImportanceError(
        f"Group '{group.name}' has no slot of role {' or '.join(map(repr, roles))}, "
        f"which {what} reads; its slots are {found}. Use an importance that reads "
        "those (most take roles=(...)), or leave the group out of the pruning."
    )


def rows_of(group: ChannelGroup, slot: Slot) -> Tensor:
    """Return a slot's values by channel, shape ``(C, n)``, in float32 at least."""
    return at_least_float32(slot.rows(group.tensor(slot).detach()))


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values in float32: sums over a filter overflow there."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def slot_scores(
    group: ChannelGroup, slots: Sequence[Slot], score: Callable[[Tensor], Tensor]
) -> Tensor:
    """Score each slot by itself.

    Args:
        group: The group.
        slots: Some of its slots.
        score: From rows ``(C, n)`` to scores ``(C,)``.

    Returns:
        Float64 on the CPU, shape ``(S, C)``.
    """
    scores = [score(rows_of(group, slot)).cpu().double() for slot in slots]
    return torch.stack(scores)


class SlotImportance(Importance):
    """Scores each slot by itself; a subclass defines :meth:`channel_scores` alone.

    The default normalization changes no order within a group; it lets groups with
    filters of different size be compared by one threshold.

    Args:
        roles: Slots that count: ``out`` are the filters that make the channels.
        reduction: Over slots, see :func:`~.combine.combined`.
        normalization: Over the channels of a group, see :func:`~.combine.combined`.

    Raises:
        ValueError: If an argument is another word.
        ImportanceError: When called, if a group has no slot of these roles.
    """

    def __init__(
        self,
        roles: Roles = ("out",),
        reduction: str = "mean",
        normalization: str = "mean",
    ) -> None:
        self.roles = checked_roles(roles)
        check_combination(reduction, normalization)
        self.reduction, self.normalization = reduction, normalization

    @abstractmethod
    def channel_scores(self, rows: Tensor) -> Tensor:
        """Return the score of each channel in one slot.

        Args:
            rows: Weights by channel, shape ``(C, n)``.

        Returns:
            Shape ``(C,)``, at least 0.
        """

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        slots = slots_of(group, self.roles, type(self).__name__)
        scores = slot_scores(group, slots, self.channel_scores)
        return combined(scores, self.reduction, self.normalization)
