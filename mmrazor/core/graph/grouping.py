"""Sort classes of ids into groups of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from .channel_group import ChannelGroup, Role, Slot
from .fields import squeezed, varying
from .id_flow import Constraints, Ids
from .names import owner_of
from .resolve import Classes
from .roles import roles_of

_FIXED = -1


@dataclass
class GroupTable:
    """Groups, and where their channels are among the ids.

    Args:
        groups: The groups.
        unprunable: Places that make channels that cannot be pruned, and why.
        labels: Class of every id.
        axes: Classes along each parameter axis.
        members: Classes of each group's channels, in order.
        group_of: For every class the index of its group, -1 for none.
    """

    groups: list[ChannelGroup]
    unprunable: dict[str, str]
    labels: Ids
    axes: dict[tuple[str, int], Ids]
    members: dict[str, Ids]
    group_of: Ids
    _extents: dict[bytes, tuple[int, dict[str, int]]] = field(default_factory=dict)

    def dropped(self, kept: Mapping[str, Sequence[int]]) -> Ids:
        """Return for every class whether it is dropped."""
        unknown = sorted(set(kept) - set(self.members))
        if unknown:
            raise ValueError(
                f"There are no groups {unknown}; there are {sorted(self.members)}."
            )
        result = np.zeros(len(self.group_of), dtype=bool)
        for name, indices in kept.items():
            labels = self.members[name]
            index = np.asarray(indices, dtype=np.int64)
            if not len(index) or index.min() < 0 or index.max() >= len(labels):
                raise ValueError(
                    f"Group '{name}' has channels 0 to {len(labels) - 1}, at least one "
                    f"of which must stay; asked to keep {list(indices)}."
                )
            result[labels] = True
            result[labels[index]] = False
        return result

    def touches(self, field: Tensor, dims: Sequence[int]) -> bool:
        """Tell whether channels of a group lie along some dims of a field."""
        if not set(varying(field)) & set(dims):
            return False
        ids = squeezed(field).reshape(-1).numpy()
        return bool((self.group_of[self.labels[ids]] >= 0).any())

    def named_by(self, arrays: Sequence[Ids]) -> list[str]:
        """Return the names of the groups with channels among some ids."""
        found: set[int] = set()
        for ids in arrays:
            found |= set(self.group_of[self.labels[ids.ravel()]].tolist())
        return [self.groups[index].name for index in sorted(found - {_FIXED})]

    def extent(self, field: Tensor, dim: int) -> tuple[int, dict[str, int]]:
        """Return how the size of a dim follows from kept channels.

        Returns:
            Elements that always stay, and elements for each kept channel by group.
        """
        return self.extent_of(line_classes(self.labels, field, dim))

    def extent_of(self, line: Ids) -> tuple[int, dict[str, int]]:
        """Return what :meth:`extent` does, for the classes along a line."""
        key = line.tobytes()
        if key not in self._extents:
            groups = self.group_of[line]
            const = int((groups == _FIXED).sum())
            per_unit = {}
            for index in np.unique(groups[groups != _FIXED]):
                group = self.groups[int(index)]
                per_unit[group.name] = int((groups == index).sum()) // group.size
            self._extents[key] = const, per_unit
        return self._extents[key]


def line_classes(labels: Ids, field: Tensor, dim: int) -> Ids:
    """Return the class of every index along a dim of a field.

    Args:
        labels: Class of every id.
        field: Ids, which vary along ``dim``.
        dim: The dim.

    Returns:
        Classes; -1 (the last of all, which is none) where elements of several classes
        have the same index, so that it stays.
    """
    place = varying(field).index(dim)
    ids = squeezed(field).movedim(place, 0).reshape(field.shape[dim], -1)
    rows = labels[ids.numpy()]
    return np.where((rows == rows[:, :1]).all(1), rows[:, 0], _FIXED)


def make_groups(
    model: nn.Module,
    noted: Constraints,
    classes: Classes,
    counted: Sequence[Ids] = (),
) -> GroupTable:
    """Group the classes that sit in the same slots, equally often.

    Args:
        model: The model.
        noted: What tells where the ids of each parameter axis are.
        classes: Their classes.
        counted: Classes along other dims in which all of a group must be equally often,
            -1 for none.
    """
    labels = classes.labels
    count = int(labels.max()) + 1 if len(labels) else 0
    axes = {
        key: labels[first : first + size] for key, (first, size) in noted.axes.items()
    }
    roles = roles_of(model, axes)
    for key in axes:
        if key[0] in noted.copies:  # what it copies makes and ranks the channels
            roles[key] = "other"
    made = np.zeros(count, dtype=bool)
    for key, line in axes.items():
        if roles[key] == "out":
            made[line] = True
    frozen = np.zeros(count, dtype=bool)
    frozen[list(classes.reasons)] = True
    signature = _signatures(count, [*axes.values(), *counted])
    open_ = made & ~frozen
    order = _model_order(model)
    keys = sorted(axes, key=lambda key: (order.get(key[0], 0), key[1]))
    group_of = np.full(count + 1, _FIXED, dtype=np.int64)  # the last is no class
    table = GroupTable([], {}, labels, axes, {}, group_of)
    slots = _slots_by_signature(keys, axes, roles, signature, open_)
    rank = np.zeros(count, dtype=np.int64)
    for found in slots.values():
        _add_group(table, model, found, axes, rank)
    _explain(table, keys, axes, roles, classes.reasons, frozen)
    return table


def _signatures(count: int, lines: Sequence[Ids]) -> Ids:
    """Hash for every class on which lines it sits, and how often."""
    random = np.random.default_rng(0)
    result = np.zeros(count, dtype=np.uint64)
    # Lines with the same classes tell nothing new.
    for line in {line.tobytes(): line for line in lines}.values():
        inside, times = np.unique(line[line != _FIXED], return_counts=True)
        salt = random.integers(1, 2**63, dtype=np.uint64)
        mixed = (times.astype(np.uint64) * salt) ^ (salt >> np.uint64(7))
        result[inside] += mixed * np.uint64(0x9E3779B97F4A7C15)
    return result


_Found = list[tuple[tuple[str, int], Role, Ids]]


def _slots_by_signature(
    keys: Sequence[tuple[str, int]],
    axes: Mapping[tuple[str, int], Ids],
    roles: Mapping[tuple[str, int], Role],
    signature: Ids,
    open_: Ids,
) -> dict[int, _Found]:
    """Return for each signature the slots with the positions of its channels."""
    found: dict[int, _Found] = {}
    for key in keys:
        line = axes[key]
        positions = np.flatnonzero(open_[line])
        if not len(positions):
            continue
        marks = signature[line[positions]]
        if (marks == marks[0]).all():  # most often
            found.setdefault(int(marks[0]), []).append((key, roles[key], positions))
            continue
        for mark in dict.fromkeys(marks.tolist()):
            inside = positions[marks == np.uint64(mark)]
            found.setdefault(mark, []).append((key, roles[key], inside))
    return found


def _add_group(
    table: GroupTable,
    model: nn.Module,
    found: _Found,
    axes: Mapping[tuple[str, int], Ids],
    rank: Ids,
) -> None:
    """Add the group of some slots.

    Args:
        table: Where to.
        model: The model.
        found: The slots.
        axes: Classes along each parameter axis.
        rank: Space for a number for each class.
    """
    lead = next((item for item in found if item[1] == "out"), found[0])
    members = _in_order(axes[lead[0]][lead[2]])
    base = f"{owner_of(lead[0][0])[0]}.out".lstrip(".")
    name, number = base, 2
    while name in table.members or name in table.unprunable:
        name, number = f"{base}.{number}", number + 1
    if len(members) < 2:
        width = len(lead[2])
        table.unprunable[name] = f"all its {width} channels are coupled"
        return
    rank[members] = np.arange(len(members))
    slots = []
    for (parameter, axis), role, positions in found:
        units = rank[axes[parameter, axis][positions]]
        arranged = positions[np.argsort(units, kind="stable")]
        indices = torch.from_numpy(arranged.reshape(len(members), -1).copy())
        slots.append(Slot(parameter, axis, indices, role))
    table.group_of[members] = len(table.groups)
    table.members[name] = members
    table.groups.append(ChannelGroup(name, len(members), tuple(slots), model))


def _in_order(labels: Ids) -> Ids:
    unique, first = np.unique(labels, return_index=True)
    return unique[np.argsort(first)]


def _explain(
    table: GroupTable,
    keys: Sequence[tuple[str, int]],
    axes: Mapping[tuple[str, int], Ids],
    roles: Mapping[tuple[str, int], Role],
    reasons: Mapping[int, str],
    frozen: Ids,
) -> None:
    found: dict[str, str] = {}
    for key in keys:
        stuck = axes[key][frozen[axes[key]]]
        if roles[key] == "out" and len(stuck):
            name = f"{owner_of(key[0])[0]}.out".lstrip(".")
            found.setdefault(name, reasons[int(stuck[0])])
    table.unprunable.update(found)  # says more than that what is left is coupled


def _model_order(model: nn.Module) -> dict[str, int]:
    names = [name for name, _ in model.named_parameters()]
    names += [name for name, _ in model.named_buffers()]
    return {name: index for index, name in enumerate(names)}
