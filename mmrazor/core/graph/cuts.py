# What pruning decided, resolved down to tensors: enough to rebuild the small model from
# the large one's code with no tracing, and plain data, so that a YAML file can hold it.
"""Cuts: which part of every parameter stays, and which numbers the code needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# More than the channels of the largest models; lists of so many take 40 MB.
_MOST_INDICES = 1_000_000
_HIGHEST = 2**31
_MOST_AXES = 16
_SHOWN = 40
_LONGEST = 200


@dataclass(frozen=True)
class Cuts:
    """The difference between a model and the pruned one.

    Args:
        slots: For each parameter or buffer that shrinks, the kept indices by axis.
        attributes: For each module, the attributes that get another value.
        replaced: Modules that an equal one of another type replaces, by type name.
    """

    slots: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a file.

        Example:
            >>> Cuts({'w': {0: [1, 2, 3, 7]}}).to_dict()['slots']
            {'w': {'0': '1-3 7'}}
        """
        lists = {id(kept): kept for a in self.slots.values() for kept in a.values()}
        texts = {key: _ranges(kept) for key, kept in lists.items()}
        return {
            "slots": {
                name: {str(axis): texts[id(kept)] for axis, kept in axes.items()}
                for name, axes in self.slots.items()
            },
            "attributes": {name: dict(a) for name, a in self.attributes.items()},
            "replaced": dict(self.replaced),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cuts:
        """Read plain data back.

        Raises:
            ValueError: If it is not what :meth:`to_dict` makes, or more than any model
                has.
        """
        try:
            texts = [t for axes in data["slots"].values() for t in axes.values()]
            lists = _all_indices(texts)
            slots = {
                str(name): {_axis(axis): lists[kept] for axis, kept in a.items()}
                for name, a in data["slots"].items()
            }
            attributes = {str(name): dict(a) for name, a in data["attributes"].items()}
            replaced = {str(k): str(v) for k, v in data["replaced"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise ValueError(
                f"The cuts of a pruned model are damaged ({type(err).__name__}: "
                f"{str(err)[:_LONGEST]}). Write the subnet file again with "
                "tools/prune.py."
            ) from err
        return cls(slots, attributes, replaced)


def _ranges(indices: Sequence[int]) -> str:
    """Write ascending numbers as ranges: a file of them is read in no time."""
    parts: list[str] = []
    start = previous = None
    for index in [*indices, None]:
        if previous is not None and index == previous + 1:
            previous = index
            continue
        if start is not None:
            parts.append(str(start) if start == previous else f"{start}-{previous}")
        start = previous = index
    return " ".join(parts)


def _all_indices(texts: Iterable[str]) -> dict[str, list[int]]:
    """Return the indices of every text of ranges, the same list for equal texts.

    How many there are is known before the first list is made.

    Raises:
        ValueError: If a text is no ranges, or not ascending, or there are too many.
    """
    ranges = {text: _parsed(text) for text in set(texts)}
    count = sum(len(part) for parts in ranges.values() for part in parts)
    if count > _MOST_INDICES:
        raise ValueError(f"{count} indices are kept, more than any model has")
    return {text: [i for part in parts for i in part] for text, parts in ranges.items()}


def _parsed(text: str) -> list[range]:
    parts, end = [], 0
    for part in text.split():
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first) + 1
        if not end <= start < stop <= _HIGHEST:
            raise ValueError(f"'{part[:_SHOWN]}' is no range above the one before")
        parts.append(range(start, stop))
        end = stop
    return parts


def _axis(text: Any) -> int:
    axis = int(text)
    if not 0 <= axis < _MOST_AXES:
        raise ValueError(f"axis {str(text)[:_SHOWN]} is no dimension of a tensor")
    return axis
