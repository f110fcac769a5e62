"""What a search found, sorted out for its report: pure data, no pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..core.loops.search_state import Evaluation
from ..core.searchers.nsga2 import crowded_order
from ..core.space import Subnet

COSTS = ("macs", "latency_ms", "params")
_LABELS = {"macs": "MACs", "latency_ms": "latency (ms)", "params": "parameters"}
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@final
class SearchOutcome:
    """The evaluations of a search, by what became of them.

    Args:
        evaluations: In order.
        best: What the search returned, best first.
        metric: The score that matters most.
        objectives: Pairs of a score or cost and ``max`` or ``min``. The metric is to be
            large if it is none of them.

    Raises:
        ValueError: If Subnets have scores, but none of them the metric.
    """

    def __init__(
        self,
        evaluations: Sequence[Evaluation],
        best: Sequence[Subnet],
        metric: str,
        objectives: Sequence[tuple[str, str]],
    ) -> None:
        self.metric = metric
        self.ways = {metric: "max", **dict(objectives)}
        self.evaluations, self.best = list(evaluations), list(best)
        #: Those without a score.
        self.failed = [e for e in evaluations if e.error is not None]
        worked = [e for e in evaluations if e.error is None]
        #: Those on a part of the validation set.
        self.partial = [e for e in worked if e.part < 1]
        scored = [e for e in worked if e.part >= 1]
        #: Those whose score counts: on the whole validation set, with all objectives.
        self.full = [e for e in scored if self._has_all(e.subnet)]
        if scored and not self.full:
            known = sorted({name for e in scored for name in values_of(e.subnet)})
            raise ValueError(
                f"The report is to show {list(self.ways)}, but what is known of the "
                f"Subnets is {known}. Name metric and objectives among those."
            )

    def against(self) -> list[str]:
        """Return what the metric is drawn against.

        The other objectives, and the first known cost if none of them is a cost.
        """
        others = [name for name in self.ways if name != self.metric]
        if not any(name in COSTS for name in others):
            known = [set(e.subnet.cost) for e in self.full]
            common = set.intersection(*known) if known else set()
            others += [name for name in COSTS if name in common][:1]
        return others

    def values(self, name: str) -> NDArray[np.float64]:
        """Return a score or cost of each of :attr:`full`."""
        return np.array([values_of(e.subnet)[name] for e in self.full], dtype=float)

    def less_is_better(self, name: str) -> bool:
        """Return whether less of a score or cost is better."""
        return self.ways.get(name, "min") == "min"

    def gain(self) -> NDArray[np.float64]:
        """Return the metric of each of :attr:`full`, negated if less is better."""
        scores = self.values(self.metric)
        return -scores if self.less_is_better(self.metric) else scores

    def front(self, name: str) -> list[int]:
        """Return which of :attr:`full` no other beats in metric and ``name``.

        Returns:
            Positions by ascending ``name``; of equal ones the first.
        """
        sign = 1 if self.less_is_better(name) else -1
        x, y = sign * self.values(name), self.gain()
        found, highest = [], -math.inf
        for i in np.lexsort((-y, x)):
            if y[i] > highest:
                highest = y[i]
                found.append(int(i))
        return found[::sign]

    def best_so_far(self) -> NDArray[np.float64]:
        """Return the best metric up to each of :attr:`full`."""
        best = np.maximum.accumulate(self.gain())
        return -best if self.less_is_better(self.metric) else best

    def medians(self) -> dict[int, float]:
        """Return the median of the metric by batch, ascending."""
        scores = self.values(self.metric)
        batches = np.array([e.batch for e in self.full], dtype=int)
        return {int(b): float(np.median(scores[batches == b])) for b in set(batches)}

    def top_quarter(self) -> list[int]:
        """Return the best quarter of :attr:`full`, rounded up, as searchers rank them.

        With several objectives that is by non-dominated front and crowding distance.
        """
        signs = [1.0 if way == "max" else -1.0 for way in self.ways.values()]
        columns = [
            sign * self.values(n) for sign, n in zip(signs, self.ways, strict=True)
        ]
        order = crowded_order(np.stack(columns, axis=1)) if self.full else []
        return order[: math.ceil(len(order) / 4)]

    def _has_all(self, subnet: Subnet) -> bool:
        values = values_of(subnet)
        return all(math.isfinite(values.get(name, math.nan)) for name in self.ways)


def values_of(subnet: Subnet) -> dict[str, float]:
    """Return costs and scores of a Subnet by name."""
    return {**subnet.cost, **subnet.score}


def label_of(name: str) -> str:
    """Return what a score or cost is called on an axis.

    Example:
        >>> label_of('macs'), label_of('accuracy/top1')
        ('MACs', 'accuracy/top1')
    """
    return _LABELS.get(name, name)


def number_text(name: str, value: float) -> str:
    """Return a score or cost for people; counts in thousands, millions, billions.

    Example:
        >>> number_text('macs', 312_400_000), number_text('accuracy/top1', 71.30)
        ('312.4 M', '71.3')
    """
    if name in ("macs", "params"):
        for size, unit in _UNITS:
            if abs(value) >= size:
                return f"{value / size:.4g} {unit}"
    return f"{value:.5g}"


def value_text(value: Any) -> str:
    """Return the value of a Choice; of kept channels how many they are.

    Example:
        >>> value_text('k3'), value_text([0, 4])
        ('k3', '2 kept')
    """
    return f"{len(value)} kept" if isinstance(value, list) else str(value)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names without the dotted parts that begin or end all of them.

    Example:
        >>> short_names(['backbone.layers.0.op', 'backbone.layers.1.op'])
        {'backbone.layers.0.op': '0', 'backbone.layers.1.op': '1'}
        >>> short_names(['net.a', 'net.a.b'])
        {'net.a': 'a', 'net.a.b': 'a.b'}
    """
    parts = {name: name.split(".") for name in names}
    for end in (0, -1):
        while len(parts) > 1 and min(map(len, parts.values())) > 1:
            if len({one[end] for one in parts.values()}) > 1:
                break
            for one in parts.values():
                one.pop(end)
    return {name: ".".join(one) for name, one in parts.items()}
