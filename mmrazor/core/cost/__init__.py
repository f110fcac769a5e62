"""What a model costs: multiply-accumulates, parameters, milliseconds."""

from .budget import Budget
from .cost import Cost, ModuleCost, count_cost
from .cost_table import CostTable, TableCost
from .latency import LatencyStats, device_name, measure_latency
from .latency_table import LatencyTable, LatencyTableError, LayerTimes
from .product import Extent, Product
from .space_cost import CostTerm, SpaceCost
from .uncounted import warn_of_uncounted

__all__ = [
    "Budget",
    "Cost",
    "CostTable",
    "CostTerm",
    "Extent",
    "LatencyStats",
    "LatencyTable",
    "LatencyTableError",
    "LayerTimes",
    "ModuleCost",
    "Product",
    "SpaceCost",
    "TableCost",
    "count_cost",
    "device_name",
    "measure_latency",
    "warn_of_uncounted",
]
