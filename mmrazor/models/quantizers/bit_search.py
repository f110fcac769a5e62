# ZeroQ's objective, a sum over layers, needs no run of the model for a candidate, so
# that any searcher may look at thousands, and an integer program finds the least. But
# layers do not add up exactly: the best are run, beside the widest uniform bits.
"""Search the bit-widths of a model for the least error of its output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from ...core.files import scratch_folder
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
        num_checked: So many of its best by the score are run, and besides the least
            sum of all and the widest uniform widths.

    Raises:
        ValueError: If no Subnet meets the limits.
    """
    name = SCORES[score]
    with scratch_folder() as folder:
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
    others = [least_sum(bits, limits, sensitivity), _uniform(bits, limits)]
    space = bits.space.fingerprint()
    best += [Subnet(space, v, cost=bits.costs(v)) for v in others if v is not None]
    checked = _run(best, bits, sensitivity, errors)
    return ChosenBits(
        checked[0],
        bits.by_site(checked[0].choices),
        sensitivity,
        limits.limits["size_bytes"],
        bits.range()["size_bytes"],
        tuple(checked),
    )


def least_sum(
    bits: BitSpace, limits: CostLimits, sensitivity: BitSensitivity
) -> dict[str, int] | None:
    """Return the values with the least sum of sensitivities within the limits.

    An integer linear program, as in HAWQ-V3: Dyadic Neural Network Quantization (Yao et
    al., 2021, arXiv:2011.10680): one width for each Choice, and so many bytes at most.

    Args:
        bits: Widths and their bytes.
        limits: What Subnets may cost, in ``size_bytes``.
        sensitivity: Error by Choice and width.

    Returns:
        None if there are none, or rounding in the solver goes beyond the limits.
    """
    pairs = [(name, width) for name in bits.space for width in bits.widths(name)]
    errors = np.array([sensitivity.errors[name][width] for name, width in pairs])
    sizes = np.array([bits.num_bytes(name, width) for name, width in pairs])
    low, high = (end - bits.fixed_bytes for end in limits.limits["size_bytes"])
    is_of = np.array([[name == other for other, _ in pairs] for name in bits.space])
    found = milp(
        errors / max(errors.max(), np.finfo(float).tiny),
        integrality=np.ones(len(pairs)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(is_of.astype(float), 1, 1),
            LinearConstraint(sizes[None], low, high),
        ],
        options={"mip_rel_gap": 0},
    )
    if found.x is None:
        return None
    values = {n: w for (n, w), x in zip(pairs, found.x, strict=True) if x > 0.5}
    return values if limits(values) else None


def _uniform(bits: BitSpace, limits: CostLimits) -> dict[str, int] | None:
    """Return the widest values of one width that meet the limits, if any."""
    widths = sorted({w for name in bits.space for w in bits.widths(name)}, reverse=True)
    return next((v for v in map(bits.uniform, widths) if limits(v)), None)


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
