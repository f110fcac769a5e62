"""Mixed precision: the bit-width of each weight, within a budget of bytes.

ZeroQ: A Novel Zero Shot Quantization Framework (Cai et al., 2020, arXiv:2001.00281),
section 3.2: what each layer does to the output at each width is measured one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, final

from torch import nn

from ....core.cost import Budget
from ....core.forward import call_model
from ....core.searchers import CostLimits, Searcher, build_searcher
from ....registry import MODELS
from ..bit_search import SCORES, ChosenBits, searched_bits
from ..bit_sensitivity import bit_sensitivity, num_runs, output_errors
from ..bit_space import BitSpace
from ..quantizer import Quantizer
from .base import LayerError, PostTrainingMethod

_SEARCHER = {
    "type": "EvolutionSearcher",
    "population": 50,
    "generations": 20,
    "top_k": 10,
    "mutation": 25,
    "crossover": 20,
}


@final
@MODELS.register_module()
class MixedPrecision(PostTrainingMethod):
    """Choose the bit-width of each weight that has several, within a budget of bytes.

    The error of the output is measured with one layer at a time narrow and all others
    at their widest, see :func:`~..bit_sensitivity.bit_sensitivity`. A searcher looks
    for the least sum. Its best, the least sum of all
    (:func:`~..bit_search.least_sum`) and the widest uniform widths are run, and the
    best of those is chosen. Its widths are fixed, and methods that come after it work
    on them. There are no records of layers, which only get narrower: what was found is
    in ``found``.

    Args:
        budget: ``dict(size_bytes=...)``, a bound on the bytes of all parameters as they
            are stored: a number above 1, or a fraction of what they take with every
            weight at its widest; or ``(low, high)``.
        searcher: Config of a :class:`~mmrazor.core.searchers.Searcher`, or one; default
            is evolution.
        score: What the searcher is told: ``sum``, the sum of sensitivities, or ``run``,
            the error of the output with these widths, for which each candidate is run.
        num_checked: So many of the searcher's best are run.
        max_batches: Batches that are used, the first ones; all by default.

    Attributes:
        found: What the last call found, a :class:`~..bit_search.ChosenBits`.

    Raises:
        TypeError: If arguments of the searcher are missing or unknown.
        ValueError: If the budget is missing, wrong or bounds another cost than
            ``size_bytes``, a number is out of range, or there is no such searcher.

    Example:
        >>> import torch
        >>> from mmrazor.models.quantizers import Quantizer, calibrate_
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> data = [torch.rand(64, 8)]
        >>> quantizer = Quantizer('generic', weight=dict(bits=[8, 4, 2]))
        >>> quantizer.prepare_(model, data[0])
        >>> calibrate_(model, quantizer, data)
        >>> method = MixedPrecision(dict(size_bytes=0.9))
        >>> _ = method(model, quantizer, data)
        >>> method.found.bits
        {'0:linear': 4, '2:linear': 8}
    """

    chooses_bits: ClassVar[bool] = True

    def __init__(
        self,
        budget: Budget | Mapping[str, Any] | None = None,
        searcher: Searcher | Mapping[str, Any] | None = None,
        score: str = "sum",
        num_checked: int = 10,
        max_batches: int | None = None,
    ) -> None:
        if budget is None:
            raise ValueError(
                "MixedPrecision has no budget. Say how small the model is to be: "
                "budget=dict(size_bytes=0.5), or --budget size_bytes=0.5."
            )
        self.budget = Budget.parse(budget)
        others = [name for name in self.budget.bounds() if name != "size_bytes"]
        if others:
            raise ValueError(
                f"MixedPrecision counts size_bytes, and the budget bounds {others}, "
                "which bit-widths do not change. Bound size_bytes alone."
            )
        if score not in SCORES:
            raise ValueError(f"score={score!r} must be one of {list(SCORES)}.")
        if num_checked < 1 or (max_batches is not None and max_batches < 1):
            raise ValueError(
                f"num_checked={num_checked} and max_batches={max_batches} must be at "
                "least 1."
            )
        self.searcher = build_searcher(_SEARCHER if searcher is None else searcher)
        self.score, self.num_checked = score, num_checked
        self.max_batches = max_batches
        self.found: ChosenBits | None = None

    def __call__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any] = call_model,
        advance: Callable[[], None] = lambda: None,
    ) -> list[LayerError]:
        """Fix the bit-widths of the quantizer; see :class:`~.base.PostTrainingMethod`.

        Raises:
            ValueError: As there, or if no weight has several widths, weights are
                rounded already, or nothing meets the budget.
        """
        batches = self._checked(quantizer, batches)[: self.max_batches]
        _check_not_rounded(quantizer)
        bits = BitSpace(model, quantizer)
        limits = CostLimits(bits.costs, self.budget, bits.range())
        common = model, quantizer, bits, batches
        runs = len(batches) * num_runs(bits)
        step = _spread(advance, len(quantizer.layers()), runs)
        sensitivity = bit_sensitivity(*common, run, step)

        def errors(candidates: Sequence[Mapping[str, Any]]) -> list[float]:
            return output_errors(*common, candidates, run)

        settings = self.searcher, self.score, self.num_checked
        self.found = searched_bits(bits, limits, sensitivity, errors, *settings)
        bits.space.select_(self.found.subnet.choices)
        quantizer.fix_()
        return []


def _check_not_rounded(quantizer: Quantizer) -> None:
    names = {weight.parameter for weight in quantizer.places.weights.values()}
    rounded = sorted(name for name in quantizer.originals if name in names)
    if rounded:
        raise ValueError(
            "MixedPrecision comes before methods that round weights, and "
            f"{rounded[:3]} are rounded already. Name it before them."
        )


def _spread(advance: Callable[[], None], parts: int, calls: int) -> Callable[[], None]:
    """Return what calls ``advance`` once for each part, in so many calls of it."""
    dues = iter([(i + 1) * parts // calls - i * parts // calls for i in range(calls)])

    def step() -> None:
        for _ in range(next(dues)):
            advance()

    return step
