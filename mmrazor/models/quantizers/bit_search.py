# ZeroQ's objective, a sum over layers, needs no run of the model for a candidate, so
# that any searcher may look at thousands. Layers do not add up exactly: the best are
# run, beside the widest uniform bits within the budget.
"""Search the bit-widths of a model for the least error of its output."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, TypeAlias

from ...core.searchers import CostLimits, Searcher
from ...core.space import Subnet
from .bit_sensitivity import BitSensitivity
from .bit_space import BitSpace

#: Scores of a Subnet: the sum of sensitivities, and the error when it is run.
ESTIMATE, ERROR = "estimated_error", "output_error"
#: What a searcher goes by, for each kind of score.
SCORES = {"sum": ESTIMATE, "run": ERROR}

Errors: TypeAlias = "Callable[[Sequence[Mapping[str, Any]]], list[float]]"


@dataclass(frozen=True)
class ChosenBits:
    """What a search for bit-widths found.

    Args:
        subnet: The Subnet that was chosen: its bits, cost and scores.
        bits: Bit-width of each layer, by its name in reports.
        sensitivity: What the search went by.
        limits: Least and greatest ``size_bytes`` that the budget allows.
        range: Least and greatest that there are.
        checked: All Subnets that were run, the best first.
    """

    subnet: Subnet
    bits: Mapping[str, int]
    sensitivity: BitSensitivity
    limits: tuple[float, float]
    range: tuple[float, float]
    checked: tuple[Subnet, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "bits": dict(self.bits),
            "size_bytes": self.subnet.cost["size_bytes"],
            "limits": list(self.limits),
            "range": list(self.range),
            **self.subnet.score,
            "sensitivity": asdict(self.sensitivity),
            "checked": [subnet.to_data() for subnet in self.checked],
        }


def searched_bits(
    bits: BitSpace,
    limits: CostLimits,
    sensitivity: BitSensitivity,
    errors: Errors,
    searcher: Searcher,
    score: str = "sum",
    num_checked: int = 10,
) -> ChosenBits:
    """Return the bit-widths of least error among those that were run.

    Args:
        bits: What to search.
        limits: What Subnets may cost, in ``size_bytes``.
        sensitivity: Of each layer.
        errors: From values of several Subnets to the errors of their outputs.
        searcher: Proposes Subnets.
        score: What it is told: ``sum`` of sensitivities, or the error of a ``run``.
        num_checked: So many of the best by the score are run.

    Raises:
        ValueError: If no Subnet meets the limits.
    """
    name = SCORES[score]
    with tempfile.TemporaryDirectory(prefix="mmrazor-") as folder:
        searcher.start(bits.space, limits, (name, "min"), folder)
        while subnet := searcher.ask():
            values = subnet.choices
            scores = {ESTIMATE: sensitivity.estimate(values)}
            if name == ERROR:
                [scores[ERROR]] = errors([values])
            searcher.tell(subnet, scores)
    best = searcher.best(num_checked)
    if not best:
        raise limits.unmet()
    checked = _run([*best, *_uniform(bits, limits)], bits, sensitivity, errors)
    return ChosenBits(
        checked[0],
        bits.by_site(checked[0].choices),
        sensitivity,
        limits.limits["size_bytes"],
        bits.range()["size_bytes"],
        tuple(checked),
    )


def _uniform(bits: BitSpace, limits: CostLimits) -> list[Subnet]:
    """Return the widest of the Subnets of one width that meets the limits, if any."""
    widths = sorted({w for name in bits.space for w in bits.widths(name)}, reverse=True)
    fitting = (values for values in map(bits.uniform, widths) if limits(values))
    space = bits.space.fingerprint()
    return [
        Subnet(space, values, cost=bits.costs(values)) for values in islice(fitting, 1)
    ]


def _run(
    subnets: Iterable[Subnet],
    bits: BitSpace,
    sensitivity: BitSensitivity,
    errors: Errors,
) -> list[Subnet]:
    """Return different Subnets with both scores, the least error first."""
    different: dict[Any, Subnet] = {}
    for subnet in subnets:
        different.setdefault(bits.space.key(subnet.choices), subnet)
    missing = [key for key, one in different.items() if ERROR not in one.score]
    found = errors([different[key].choices for key in missing]) if missing else []
    for key, error in zip(missing, found, strict=True):
        estimate = sensitivity.estimate(different[key].choices)
        scores = {ESTIMATE: estimate, ERROR: error}
        different[key] = replace(different[key], score=scores)
    return sorted(different.values(), key=lambda subnet: subnet.score[ERROR])
