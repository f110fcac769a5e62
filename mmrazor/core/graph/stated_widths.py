# A block states how wide it is (`in_channels`, `groups`, `dim`) for more than its
# forward pass: to merge its branches into one convolution later, to build a further
# layer, to tell its neighbours. What the forward code reads is found by running it
# (attributes.py); the rest is found here, by what goes through the block.
"""Find attributes that state widths, which the forward code does not read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..names import is_inside
from .attribute_rules import NEVER_WIDTHS
from .fields import squeezed, varying
from .id_flow import IdFlow, Ids
from .never_run import moved
from .trace import OpTrace

_IN = re.compile(r"^_?in(put)?(_|planes|chs|features|channels)")
_OUT = re.compile(r"^_?out(put)?(_|planes|chs|features|channels)")
_ANY = re.compile(
    r"(channels?|chs|planes|dims?|width|features)$|embed|hidden|_mid|^mid"
)
_NO_WIDTH = re.compile(r"size|resolution|ind(ex|ices)|stride|scale|level|shape|num_i")
_GROUPS = frozenset(["groups", "num_groups", "group"])


@dataclass(frozen=True)
class StatedWidth:
    """An attribute, or one number of a list, that states how many channels there are.

    Args:
        module: Name of the module.
        name: Of the attribute.
        index: Place in a list, None for a number.
        value: The number.
        lines: Ids of channels that it may count.
    """

    module: str
    name: str
    index: int | None
    value: int
    lines: tuple[Ids, ...]


def stated_widths(
    model: nn.Module, traces: Sequence[OpTrace], flow: IdFlow
) -> list[StatedWidth]:
    """Return the widths that modules state, with the channels that they may count.

    ``in_channels`` and the like count what a module is called with, ``out_channels``
    what it returns, other names any axis of its parameters.

    Args:
        model: The model.
        traces: What ran.
        flow: Has followed it.
    """
    wanted = {
        name: numbers
        for name, module in model.named_modules()
        if (numbers := list(_numbers(module)))
    }
    taken: dict[str, list[Tensor]] = defaultdict(list)
    returned: dict[str, list[Tensor]] = defaultdict(list)
    for of in (of for one in traces for of in one.modules):
        if of.module in wanted:
            taken[of.module] += of.taken
            returned[of.module] += of.returned
    result = []
    for module, numbers in wanted.items():
        ins, outs = _lines(flow, taken[module]), _lines(flow, returned[module])
        axes: list[Ids] | None = None
        for name, index, value in numbers:
            if _IN.search(name):
                lines = ins
            elif _OUT.search(name):
                lines = outs
            else:
                lines = axes = _axes_inside(flow, module) if axes is None else axes
            found = tuple(line for line in lines if len(line) == value)
            if found:
                result.append(StatedWidth(module, name, index, value, found))
    copied = [
        replace(one, module=moved(one.module, twin, name))
        for name, twin in flow.noted.twins.items()
        for one in result
        if is_inside(one.module, twin) and not is_inside(one.module, name)
    ]
    return result + copied


def new_widths(
    model: nn.Module,
    stated: Iterable[StatedWidth],
    labels: Ids,
    dropped: Ids,
    known: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return the attributes that have to change, where it is clear to what.

    Args:
        model: The model at its old size.
        stated: What its modules state.
        labels: Class of every id.
        dropped: For every class whether it is dropped.
        known: Attributes that change anyway, which are left out here.
    """
    result: dict[str, dict[str, Any]] = {}
    for width in stated:
        if width.name in known.get(width.module, {}):
            continue
        left = {int((~dropped[labels[line]]).sum()) for line in width.lines}
        if len(left) > 1 or width.value in left:
            continue
        (new,) = left
        place = result.setdefault(width.module, {})
        if width.index is None:
            place[width.name] = new
        else:
            old = vars(model.get_submodule(width.module))[width.name]
            place.setdefault(width.name, list(old))[width.index] = new
    for module, name, new in _groups(model, known):
        if name not in known.get(module, {}):
            result.setdefault(module, {})[name] = new
    return result


def _groups(
    model: nn.Module, known: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str, int]]:
    """Yield numbers of groups that a module states for the convolutions in it."""
    changed = [path for path, found in known.items() if "groups" in found]
    around = {path[:end] for path in changed for end in _ends_of_names(path)}
    for module in around:
        owner = model.get_submodule(module)
        if _is_of_torch(owner):
            continue
        for name in _GROUPS & set(vars(owner)):
            value = vars(owner)[name]
            inside = [
                known[path]["groups"]
                for path in changed
                if is_inside(path, module)
                and getattr(model.get_submodule(path), "groups", None) == value
            ]
            if inside and len(set(inside)) == 1:
                yield module, name, inside[0]


def _ends_of_names(path: str) -> list[int]:
    return [0, *(place for place, letter in enumerate(path) if letter == ".")]


def _is_of_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.")


def _numbers(module: nn.Module) -> Iterator[tuple[str, int | None, int]]:
    """Yield the numbers that state widths, by attribute and place in a list."""
    if _is_of_torch(module):
        return
    code = getattr(type(module).forward, "__code__", None)
    read = frozenset() if code is None else frozenset(code.co_names)
    for name, value in vars(module).items():
        if name in NEVER_WIDTHS or name in read or _NO_WIDTH.search(name):
            continue
        if not (_IN.search(name) or _OUT.search(name) or _ANY.search(name)):
            continue
        if type(value) is int:
            yield name, None, value
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if type(item) is int:
                    yield name, index, item


def _axes_inside(flow: IdFlow, module: str) -> list[Ids]:
    return [
        np.arange(first, first + size)
        for (name, axis), (first, size) in flow.noted.axes.items()
        if axis < 2 and is_inside(name, module)
    ]


def _lines(flow: IdFlow, tensors: Iterable[Tensor]) -> list[Ids]:
    """Return the channels along the dims of tensors that have one such dim."""
    return [
        squeezed(field).numpy()
        for tensor in {id(tensor): tensor for tensor in tensors}.values()
        for field in flow.of(tensor)
        if len(varying(field)) == 1
    ]
