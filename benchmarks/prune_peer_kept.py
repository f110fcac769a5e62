"""Whether both sides keep the same channels where they rank by the same formula.

Local ranking, squared weights of all layers that make or read a channel, as many
channels as Torch-Pruning keeps of each group.
"""

from __future__ import annotations

from typing import Any

from prune_peer_models import Subject
from prune_peer_side import Peer

from mmrazor.core.graph import channel_graph
from mmrazor.core.graph.channel_group import ChannelGroup, Slot
from mmrazor.models.pruners import GroupNormImportance
from mmrazor.models.pruners.ranking import top_units

SHARE = 0.3


def kept_compared(case: Subject, peer: Peer) -> dict[str, Any]:
    """Return in how many groups both sides keep the same, and where they do not.

    Of a group that differs: its name, what both keep, how many ours keeps as well, and
    the groups of the peer with channels of it (``one group`` here, several there, is
    why they differ).
    """
    dropped = peer.dropped(SHARE)
    graph = channel_graph(case.model, case.inputs)
    importance = GroupNormImportance()
    same, differ = 0, []
    for group in graph.groups:
        roots = [slot for slot in group.slots if _root(slot) in dropped]
        theirs = [_kept_units(slot, dropped[_root(slot)]) for slot in roots]
        if len(theirs) == 1:
            count = len(theirs[0])
            ours = top_units(importance(group).numpy(), count)
            if ours == theirs[0]:
                same += 1
                continue
            shared = len(set(ours) & set(theirs[0]))
        else:
            count = shared = 0
        differ.append(_difference(group, roots, count, shared))
    return {
        "groups": len(graph.groups),
        "groups_of_peer": len(dropped),
        "same": same,
        "differ": differ,
    }


def _root(slot: Slot) -> str:
    name, _, leaf = slot.name.rpartition(".")
    return name if slot.role == "out" and leaf == "weight" else ""


def _kept_units(slot: Slot, dropped: list[int]) -> list[int]:
    """Return the units of a slot none of whose channels go."""
    gone = set(dropped)
    rows = slot.indices.tolist()
    return [unit for unit, row in enumerate(rows) if not gone & set(row)]


def _difference(
    group: ChannelGroup, roots: list[Slot], count: int, shared: int
) -> dict[str, Any]:
    return {
        "group": group.name,
        "units": group.size,
        "kept": count,
        "shared": shared,
        "groups_of_peer": [slot.name for slot in roots],
    }
