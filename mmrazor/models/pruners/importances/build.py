"""Build an importance from its name or config."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ....registry import MODELS
from .base import Importance


def build_importance(cfg: str | Mapping[str, Any] | Importance) -> Importance:
    """Build an importance.

    Args:
        cfg: A name, a config (``type`` and arguments), or an importance, which is
            returned as it is.

    Raises:
        TypeError: If ``cfg`` is of another kind or lacks arguments.
        ValueError: If there is no importance of that name.

    Example:
        >>> build_importance(dict(type='L1Importance', reduction='max')).reduction
        'max'
    """
    if isinstance(cfg, Importance):
        return cfg
    if isinstance(cfg, str):
        cfg = {"type": cfg}
    if not isinstance(cfg, Mapping) or "type" not in cfg:
        raise TypeError(
            "An importance is a name such as 'L1Importance', a dict(type=...) or an "
            f"Importance, not {cfg!r}."
        )
    arguments = dict(cfg)
    kind = arguments.pop("type")
    found = _registered(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, Importance)):
        raise ValueError(_unknown(kind))
    return found(**arguments)


def _registered(kind: str) -> Any:
    try:
        return MODELS.get(kind)
    except RuntimeError:  # no such import path, says mmengine
        return None


def _unknown(kind: Any) -> str:
    known = {
        name
        for name, found in MODELS.module_dict.items()
        if isinstance(found, type) and issubclass(found, Importance)
    }
    name = kind.rpartition(".")[2] if isinstance(kind, str) else str(kind)
    by_lower = {known_name.lower(): known_name for known_name in sorted(known)}
    word = name.lower()
    near = [long for long in by_lower if word in long]
    near = near or difflib.get_close_matches(word, by_lower, n=3, cutoff=0.5)
    names = [by_lower[word] for word in near] or sorted(known)
    return (
        f"'{kind}' is no importance. {'Near names' if near else 'There are'}: "
        f"{', '.join(names)}. One of your own subclasses Importance and is registered "
        "in mmrazor.registry.MODELS."
    )
