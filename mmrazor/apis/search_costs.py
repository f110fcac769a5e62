"""What counts or estimates the cost of the Subnets of a search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..core.cost import SpaceCost, measure_latency, warn_of_uncounted
from ..core.loops.ranks import from_leader
from ..core.searchers import AdditiveLatency
from ..models.algorithms.nas.searchable import SearchableAlgorithm
from .bare_config import architecture_of
from .prune_source import PruneSource
from .search_settings import SearchSettings
from .steps import Steps

LATENCY = "latency.json"


@dataclass(frozen=True)
class SearchCosts:
    """What a search counts or estimates; None where nothing asks for it.

    Args:
        space_cost: MACs and parameters.
        latency: Milliseconds.
    """

    space_cost: SpaceCost | None = None
    latency: AdditiveLatency | None = None

    @classmethod
    def of(
        cls,
        cfg: Config,
        model: SearchableAlgorithm,
        settings: SearchSettings,
        folder: Path,
        resume: bool,
        steps: Steps,
    ) -> SearchCosts:
        """Count and measure what the budget and the objectives ask for.

        Args:
            cfg: Config of the search.
            model: The supernet, on the device where latency is measured.
            settings: Say what is asked for.
            folder: Where latencies are kept.
            resume: Whether to read them, if they are there.
            steps: Show what is done.

        Raises:
            RuntimeError: If a candidate cannot be run where it stands.
            ValueError: If the image size is not known, the model refuses the inputs, or
                there is no module of the prefix.
        """
        wanted = settings.costs() & {"macs", "params", "latency_ms"}
        if not wanted:
            return cls()
        source = PruneSource(cfg, architecture_of(cfg), model.architecture, None)
        inputs, _ = source.example(settings.image_size)
        counted = latency = None
        if wanted & {"macs", "params"}:
            with steps.step("Counting the cost of the space"):
                counted = model.space_cost(inputs).restricted_to(settings.prefix)
            if "macs" in wanted:
                name = type(model.architecture).__name__
                warn_of_uncounted(counted.uncounted, name)
        if "latency_ms" in wanted:
            with steps.step("Measuring the latency of Subnets"):
                latency = from_leader(lambda: _latency(model, inputs, folder, resume))
        return cls(counted, latency)


def _latency(
    model: SearchableAlgorithm, inputs: Any, folder: Path, resume: bool
) -> AdditiveLatency:
    """Measure, on this machine, or read what a search that goes on began with."""
    file = folder / LATENCY
    if resume and file.exists():
        return AdditiveLatency.load(file, model.space)

    def measure(values: dict[str, Any]) -> float:
        return measure_latency(model.subnet_model(values), inputs).median_ms

    latency = AdditiveLatency.fitted(model.space, measure)
    latency.save(file)
    return latency
