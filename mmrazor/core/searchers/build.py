"""Build searchers and predictors from configs, whatever the default scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...registry import TASK_UTILS
from .base import Searcher
from .metric_predictors import MetricPredictor


def build_searcher(cfg: Searcher | Mapping[str, Any]) -> Searcher:
    """Build a searcher.

    Args:
        cfg: ``dict(type=name, ...)``, or a searcher, which is returned.

    Raises:
        TypeError: If ``cfg`` is neither, or arguments are missing or unknown.
        ValueError: If there is no such searcher.

    Example:
        >>> build_searcher(dict(type='RandomSearcher', num_subnets=9)).total
        9
    """
    found: Searcher = _built(cfg, Searcher)
    return found


def build_predictor(cfg: MetricPredictor | Mapping[str, Any]) -> MetricPredictor:
    """Build a predictor; arguments and errors are as of :func:`build_searcher`."""
    found: MetricPredictor = _built(cfg, MetricPredictor)
    return found


def _built(cfg: Any, kind: Any) -> Any:
    if isinstance(cfg, kind):
        return cfg
    word = kind.__name__
    if not isinstance(cfg, Mapping) or not isinstance(cfg.get("type"), str):
        raise TypeError(f"{cfg!r} is no {word} and no config of one: dict(type=...).")
    arguments = dict(cfg)
    name = arguments.pop("type")
    found = TASK_UTILS.get(name)
    if not (isinstance(found, type) and issubclass(found, kind)):
        known = sorted(
            name
            for name, one in TASK_UTILS.module_dict.items()
            if isinstance(one, type) and issubclass(one, kind)
        )
        raise ValueError(f"'{name}' is no {word}. There are {known}.")
    return found(**arguments)
