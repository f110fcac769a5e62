"""Build an observer from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....registry import TASK_UTILS
from ..settings import QuantSettings
from .base import Observer


def build_observer(
    cfg: str | Mapping[str, Any] | Observer, axis: int | None = None
) -> Observer:
    """Build an observer.

    Args:
        cfg: A name, a config (``type`` and arguments), or an observer, which is
            returned as it is.
        axis: Axis of the channels, unless the config says another.

    Raises:
        TypeError: If ``cfg`` is of another kind, or arguments are missing or unknown.
        ValueError: If there is no observer of that name.

    Example:
        >>> build_observer(dict(type='PercentileObserver', percentile=99.9)).percentile
        99.9
        >>> build_observer('mmrazor.MinMaxObserver', axis=1).axis
        1
    """
    if isinstance(cfg, Observer):
        return cfg
    if isinstance(cfg, str):
        cfg = {"type": cfg}
    if not isinstance(cfg, Mapping) or not isinstance(cfg.get("type"), str | type):
        raise TypeError(
            "An observer is a name such as 'MinMaxObserver', a dict(type=...) or an "
            f"Observer, not {cfg!r}."
        )
    arguments: dict[str, Any] = {"axis": axis, **cfg}
    kind = arguments.pop("type")
    found = TASK_UTILS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, Observer)):
        known = sorted(
            name
            for name, one in TASK_UTILS.module_dict.items()
            if isinstance(one, type) and issubclass(one, Observer)
        )
        raise ValueError(f"{kind!r} is no observer. There are {known}.")
    return found(**arguments)


def observer_for(
    settings: QuantSettings,
    axis: int | None,
    cfg: str | Mapping[str, Any] | Observer,
) -> Observer:
    """Build the observer of a tensor that is quantized with some settings.

    Args:
        settings: Say what has a range of its own. Of groups, the observer sees rows.
        axis: Axis of the channels of the tensor.
        cfg: As for :func:`build_observer`, without an axis that differs.

    Raises:
        TypeError: As there.
        ValueError: As there, or if channels have no axis or the config another one.

    Example:
        >>> weight = QuantSettings(granularity='channel')
        >>> observer_for(weight, 1, 'MinMaxObserver').axis
        1
    """
    kind = settings.granularity
    if kind == "channel" and axis is None:
        raise ValueError(
            "granularity='channel' needs axis, that of the channels: 0 for the weight "
            "of most layers."
        )
    expected = {"tensor": None, "channel": axis, "group": 0}[kind]
    observer = build_observer(cfg, expected)
    if observer.axis != expected:
        raise ValueError(
            f"granularity={kind!r} makes the observer's axis {expected}, not "
            f"{observer.axis}. Leave it out of the config."
        )
    return observer
