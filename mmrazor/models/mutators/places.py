# The user's model is not edited: a config names modules in it and what may stand there.
"""Put Mutables at the places of a model that patterns name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ...registry import MODELS
from ..mutables import Mutable

ORIGINAL = "original"
_ATTRIBUTE = re.compile(r"\{([A-Za-z_][\w.]*)\}")


def replace_(model: nn.Module, places: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace modules that patterns name with Mutables, in place.

    Args:
        model: Is changed.
        places: By pattern, the config of a Mutable. ``*`` in a pattern stands for any
            text, dots included. In the config, the text ``'original'`` as a value is
            the module that stands at the place, and ``'{attribute}'`` an attribute of
            it, such as ``'{in_channels}'`` or ``'{conv1.stride}'``.

    Raises:
        TypeError: If a config builds something else than a Mutable.
        ValueError: If a pattern names no module, two patterns name one module or a
            module in another's, or an attribute does not exist.
    """
    owners: dict[str, str] = {}
    for pattern in places:
        for path in _matches(model, pattern):
            if owners.setdefault(path, pattern) != pattern:
                raise ValueError(
                    f"The patterns '{owners[path]}' and '{pattern}' both name "
                    f"'{path}'. Make them name different modules."
                )
    # Inner ones first: an outer place takes them in with its original.
    for path in sorted(owners, key=lambda path: -path.count(".")):
        _replace_one_(model, path, places[owners[path]])


def _replace_one_(model: nn.Module, path: str, cfg: Mapping[str, Any]) -> None:
    original = model.get_submodule(path)
    filled = _filled(dict(cfg), path, original)
    mutable = MODELS.build({"_scope_": "mmrazor", **filled})
    if not isinstance(mutable, Mutable):
        raise TypeError(
            f"'{path}' was given {type(mutable).__name__}, which is no Mutable. Take "
            "dict(type='OneShotMutableOP', candidates=dict(...)) or another Mutable."
        )
    mutable.train(original.training)
    for at in _paths_of(model, original):
        owner, _, name = at.rpartition(".")
        setattr(model.get_submodule(owner), name, mutable)


def _matches(model: nn.Module, pattern: str) -> list[str]:
    known = [name for name, _ in model.named_modules() if name]
    found = [name for name in known if fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, known, n=5, cutoff=0.4)
        raise ValueError(
            f"The place '{pattern}' names no module of {type(model).__name__}. Near "
            f"names: {', '.join(near or known[:5])}."
        )
    return found


def _paths_of(model: nn.Module, module: nn.Module) -> list[str]:
    """Return all places of a module: heads may share one."""
    everywhere = model.named_modules(remove_duplicate=False)
    return [name for name, one in everywhere if one is module]


def _filled(value: Any, path: str, original: nn.Module) -> Any:
    """Return a config with what it takes over from the original module."""
    if isinstance(value, Mapping):
        return {key: _filled(item, path, original) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_filled(item, path, original) for item in value)
    if value == ORIGINAL:
        return original
    found = _ATTRIBUTE.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else _attribute(original, found[1], path)


def _attribute(module: nn.Module, name: str, path: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, dir(value), n=3, cutoff=0.5)
            raise ValueError(
                f"'{{{name}}}' at the place '{path}': {type(value).__name__} has no "
                f"attribute '{part}'. Near names: {near}."
            )
        value = getattr(value, part)
    return value
