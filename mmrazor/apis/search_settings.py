"""Read the key ``search`` of a config: what the loop gets, and what is made for it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

from ..core.cost import Budget
from ..core.loops import SearchLoop
from ..core.searchers import Searcher, build_searcher
from ..core.searchers.objectives import Objective
from .run_config import RunConfigError

# What the loop is given besides, and what is read here and not by the loop.
_MADE = {"runner", "dataloader", "evaluator", "space_cost", "latency", "resume"}
_OURS = ("prefix", "image_size")


@dataclass(frozen=True)
class SearchSettings:
    """The key ``search`` of a config.

    Args:
        searcher: Which Subnets.
        metric: What to look for.
        budget: What Subnets may cost.
        prefix: Module whose MACs and parameters count; empty: the whole model.
        image_size: Height and width to count for, or one number; None: what the test
            pipeline makes.
        loop: Further arguments of the :class:`~mmrazor.core.loops.SearchLoop`.
    """

    searcher: Searcher
    metric: Objective
    budget: Budget | None
    prefix: str
    image_size: tuple[int, ...] | None
    loop: Mapping[str, Any]

    @classmethod
    def of(cls, cfg: Config, seed: int | None = None) -> SearchSettings:
        """Read a config.

        Args:
            cfg: Of a search.
            seed: Of the searcher, in place of what its config says.

        Raises:
            RunConfigError: If there is no ``search``, or a key is missing or unknown.
            TypeError: If an argument of the searcher is missing or unknown.
            ValueError: If searcher or budget are faulty.
        """
        given = cfg.get("search")
        if not isinstance(given, Mapping):
            raise RunConfigError(
                f"Config '{cfg.filename}' has no 'search'. It is the supernet's config "
                "and search = dict(searcher=dict(type='EvolutionSearcher'), "
                "metric='accuracy/top1', budget=dict(macs=...))."
            )
        found = ConfigDict(given).to_dict()
        _check_keys(found, cfg.filename)
        searcher, budget = found.pop("searcher"), found.pop("budget", None)
        size = found.pop("image_size", None)
        return cls(
            build_searcher(searcher if seed is None else _seeded(searcher, seed)),
            found.pop("metric"),
            None if budget is None else Budget.parse(budget),
            found.pop("prefix", ""),
            (size,) if isinstance(size, int) else size and tuple(size),
            found,
        )

    @property
    def objectives(self) -> tuple[tuple[str, str], ...]:
        """What the search looks for: names, and ``max`` or ``min``."""
        return self.searcher.objectives_for(self.metric)

    def costs(self) -> set[str]:
        """Return the costs that the budget bounds or an objective names."""
        bounds = {} if self.budget is None else self.budget.bounds()
        return {*bounds, *(name for name, _ in self.objectives)}


def _check_keys(found: Mapping[str, Any], name: str | None) -> None:
    parameters = inspect.signature(SearchLoop).parameters
    known = [key for key in parameters if key not in _MADE] + list(_OURS)
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise RunConfigError(
                f"search in config '{name}' has '{key}'; it may have {known}.{hint}"
            )
    missing = [key for key in ("searcher", "metric") if key not in found]
    if missing:
        raise RunConfigError(
            f"search in config '{name}' lacks {missing}: which Subnets to evaluate, "
            "such as searcher=dict(type='EvolutionSearcher'), and by what, such as "
            "metric='accuracy/top1'."
        )


def _seeded(searcher: Any, seed: int) -> Any:
    """Return the config of a searcher with a seed; one around another has none."""
    if not isinstance(searcher, Mapping):
        return searcher
    if "searcher" in searcher:
        return {**searcher, "searcher": _seeded(searcher["searcher"], seed)}
    return {**searcher, "seed": seed}
