"""Search in an mmengine runner: candidates are Subnets of the runner's model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, ValLoop, autocast
from torch.utils.data import DataLoader

from ...registry import LOOPS
from ..cost import Budget, SpaceCost
from ..forward import unwrapped
from ..protocols import Searchable
from ..searchers import AdditiveLatency, CostLimits, Searcher, build_searcher
from ..searchers.objectives import Objective
from ..space import Subnet
from ..values import check_number
from .bn_calibration import calibrated_bn
from .kept_batches import KeptBatches
from .local_metrics import local_metrics
from .search import Search


@LOOPS.register_module()
class SearchLoop(ValLoop):
    """Validate Subnets of a supernet until the searcher has no more to ask.

    See :class:`~mmrazor.core.loops.search.Search` for ranks, resuming and halving.

    Args:
        runner: Its model has a search space and the weights of the supernet.
        dataloader: Validation data, or its config.
        evaluator: Metrics, or their config.
        searcher: Which Subnets, or its config.
        metric: What to look for, such as ``accuracy/top1``.
        budget: What Subnets may cost.
        space_cost: Counts MACs and parameters, where a budget or an objective needs it.
        latency: Estimates milliseconds, likewise.
        calibrate_bn: Images of the training data over which batch norm statistics are
            pooled for each candidate; 0: the supernet's are used.
        calibrate_dataloader: Those data, or their config.
        parts: Shares of the validation set for successive halving, the last of them 1.
        keep: Share of a batch of candidates that goes on to the next part.
        memory_gb: Decoded data that are kept in memory, validation and calibration
            each.
        resume: Go on with the search in the runner's work directory.
        fp16: Whether to run in mixed precision.
        time_limit_s: Seconds for each candidate, see ``Search``. None: no limit.
        progress: Whether to show a bar.

    Raises:
        TypeError: If the model has no search space.
        ValueError: If a dataset is empty or too small, or no Subnet meets the budget.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | Mapping[str, Any],
        evaluator: Evaluator | Mapping[str, Any] | list[Any],
        searcher: Searcher | Mapping[str, Any],
        metric: Objective,
        budget: Budget | Mapping[str, Any] | None = None,
        space_cost: SpaceCost | None = None,
        latency: AdditiveLatency | None = None,
        calibrate_bn: int = 0,
        calibrate_dataloader: DataLoader | Mapping[str, Any] | None = None,
        parts: Sequence[float] = (1.0,),
        keep: float = 0.5,
        memory_gb: float = 4.0,
        resume: bool = False,
        fp16: bool = False,
        time_limit_s: float | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16=fp16)
        self.model: Any = unwrapped(runner.model)
        if not isinstance(self.model, Searchable):
            raise TypeError(
                f"SearchLoop needs a model with a search space, got "
                f"{type(self.model).__name__}. Use an algorithm such as SPOS."
            )
        limit = int(memory_gb * 2**30)
        whole = tuple(parts) == (1.0,)
        self._batches = KeptBatches(self.dataloader, None, not whole, limit)
        self._shown: KeptBatches | None = None
        check_number("calibrate_bn", calibrate_bn, least=0, whole=True)
        if calibrate_bn:
            if calibrate_dataloader is None:
                raise ValueError(
                    f"calibrate_bn={calibrate_bn} needs data: pass "
                    "calibrate_dataloader, or calibrate_bn=0."
                )
            loader = runner.build_dataloader(calibrate_dataloader)
            self._shown = KeptBatches(loader, calibrate_bn, True, limit)
        self.search = Search(
            self.model.space,
            build_searcher(searcher),
            self.evaluate,
            limits=_limits(space_cost, latency, budget),
            metric=metric,
            work_dir=Path(runner.work_dir),
            resume=resume,
            parts=parts,
            keep=keep,
            time_limit_s=time_limit_s,
            progress=progress,
        )

    def run(self) -> list[Subnet]:
        """Search to the end and return the best Subnets, best first."""
        selected = self.model.space.selected()
        try:
            return self.search.run()
        finally:
            self.model.select_(selected)

    @torch.no_grad()
    def evaluate(self, values: Mapping[str, Any], part: float = 1.0) -> dict[str, Any]:
        """Return the metrics of one Subnet, computed by this rank alone.

        Args:
            values: One for every Choice.
            part: Share of the validation set.
        """
        self.model.select_(values)
        self.model.eval()
        for metric in self.evaluator.metrics:
            metric.results.clear()  # of a candidate that failed
        num_batches = math.ceil(part * len(self._batches))
        bn = nullcontext() if self._shown is None else self._calibrated()
        with bn, autocast(enabled=self.fp16):
            for batch in self._batches.first(num_batches):
                outputs = self.model.val_step(batch)
                self.evaluator.process(data_samples=outputs, data_batch=batch)
        return local_metrics(self.evaluator, self._batches.num_samples(num_batches))

    def _calibrated(self) -> Any:
        return calibrated_bn(self.model, self._show)

    def _show(self) -> None:
        assert self._shown is not None
        with autocast(enabled=self.fp16):
            for batch in self._shown.first(len(self._shown)):
                data = self.model.data_preprocessor(batch, False)
                self.model(**data, mode="tensor")


def _limits(
    space_cost: SpaceCost | None,
    latency: AdditiveLatency | None,
    budget: Budget | Mapping[str, Any] | None,
) -> CostLimits:
    ranges: dict[str, tuple[float, float]] = {}
    if space_cost is not None:
        ranges |= space_cost.range()
    if latency is not None:
        ranges["latency_ms"] = latency.range()

    def costs(values: Mapping[str, Any]) -> dict[str, float]:
        found: dict[str, float] = {}
        if space_cost is not None:
            cost = space_cost.cost(values)
            found |= {"macs": cost.macs, "params": cost.params}
        if latency is not None:
            found["latency_ms"] = latency(values)
        return found

    return CostLimits(costs, budget, ranges)
