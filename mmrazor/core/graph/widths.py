# Cuts come from files, and a file may have been written by anybody. What they may set
# is a number that counts, where the model has one, to a number that is not larger.
"""Which attributes cuts may change, and to what."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from .attribute_rules import NEVER_WIDTHS as NO_WIDTHS
from .attributes import _by_owner, _of_layer
from .cuts import Cuts

_LONGEST = 60
_PLAIN = (bool, int, float, str, type(None))


def attribute_faults(model: nn.Module, cuts: Cuts) -> list[str]:
    """Say which attributes of cuts are no widths of a model; an empty list if none.

    A width is a whole number that an instance has already, also in a sequence of plain
    values. It becomes one from 1 to what it was; whatever else is there stays.

    Args:
        model: The model before it is cut.
        cuts: What stays of it.

    Example:
        >>> layer = nn.Linear(4, 2)
        >>> attribute_faults(layer, Cuts({}, {'': {'forward': 1}}))
        ["'forward' is no width of Linear"]
        >>> attribute_faults(layer, Cuts({}, {'': {'out_features': 3}}))
        ['out_features of Linear cannot become 3: it was 2']
    """
    modules = dict(model.named_modules())
    faults = []
    for path, attributes in cuts.attributes.items():
        module = modules.get(path)
        if module is None:
            faults.append(f"there is no module {_short(path)}")
            continue
        for name, value in attributes.items():
            fault = _fault(module, _called(module, path), name, value)
            faults += [fault] if fault else []
    return faults


def weight_faults(model: nn.Module, cuts: Cuts) -> list[str]:
    """Say which of torch's own layers would have other widths than their weights.

    Args:
        model: The model before it is cut.
        cuts: What stays of it; whole, and without :func:`attribute_faults`.

    Example:
        >>> cuts = Cuts({'weight': {0: [1]}, 'bias': {0: [1]}})
        >>> weight_faults(nn.Linear(4, 2), cuts)
        ['out_features of Linear stays 2, and its weights keep 1']
    """
    slots = _by_owner(model, cuts.slots)
    touched = {name.rpartition(".")[0] for name in slots} | set(cuts.attributes)
    modules = dict(model.named_modules())
    faults = []
    for path in sorted(touched & set(modules) - set(cuts.replaced)):
        module, given = modules[path], cuts.attributes.get(path, {})
        for name, wanted in _of_weights(module, path, slots):
            found = given.get(name, getattr(module, name))
            if found != wanted:
                verb = "becomes" if name in given else "stays"
                faults.append(
                    f"{name} of {_called(module, path)} {verb} {found}, and its "
                    f"weights keep {wanted}"
                )
    return faults


def _of_weights(module: nn.Module, path: str, slots: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that follow from the weights of a layer alone."""
    if getattr(module, "groups", 1) != 1:
        return
    for name, value in (_of_layer(module, path, slots, {}) or {}).items():
        if name not in ("groups", "num_groups"):
            yield name, value


def _fault(module: nn.Module, label: str, name: Any, value: Any) -> str:
    old = _width(module, name)
    if old is None:
        return f"{_short(name)} is no width of {label}"
    pairs = [(old, value)]
    if not isinstance(old, int):
        if not isinstance(value, (list, tuple)) or len(value) != len(old):
            return f"{name} of {label} is no list of {len(old)} whole numbers"
        pairs = list(zip(old, value, strict=True))
    for before, after in pairs:
        if not _may_become(before, after):
            return f"{name} of {label} cannot become {_short(after)}: it was {before}"
    return ""


def _may_become(before: Any, after: Any) -> bool:
    if type(after) is not type(before):
        return False
    return after == before or (_is_whole(before) and 1 <= after <= before)


def _width(module: nn.Module, name: Any) -> int | list[Any] | tuple[Any, ...] | None:
    """Return the width of that name; None if it is anything else."""
    if not isinstance(name, str) or name.startswith("__") or name in NO_WIDTHS:
        return None
    found = inspect.getattr_static(module, name, None)
    if isinstance(found, property) and found.fset is not None:
        found = getattr(module, name, None)
    return found if _is_whole(found) or _has_whole(found) else None


def _called(module: nn.Module, path: str) -> str:
    return f"'{path}'" if path else type(module).__name__


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**18 else "that"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _has_whole(value: Any) -> bool:
    """Tell whether a sequence holds plain values, and a whole number among them."""
    return (
        isinstance(value, (list, tuple))
        and any(map(_is_whole, value))
        and all(isinstance(item, _PLAIN) for item in value)
    )
