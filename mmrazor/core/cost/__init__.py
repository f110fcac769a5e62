"""What a model costs: multiply-accumulates, parameters, milliseconds."""

from .budget import Budget
from .cost import Cost, ModuleCost, count_cost
from .cost_table import CostTable, TableCost
from .latency import LatencyStats, measure_latency
from .product import Extent, Product

__all__ = [
    "Budget",
    "Cost",
    "CostTable",
    "Extent",
    "LatencyStats",
    "ModuleCost",
    "Product",
    "TableCost",
    "count_cost",
    "measure_latency",
]
