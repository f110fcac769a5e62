"""What a model costs: multiply-accumulates, parameters, milliseconds."""

from .cost import Cost, ModuleCost, count_cost
from .latency import LatencyStats, measure_latency

__all__ = ["Cost", "LatencyStats", "ModuleCost", "count_cost", "measure_latency"]
