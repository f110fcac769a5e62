"""Searchers: ask a SearchSpace for Subnets and are told what they score."""

from .additive_latency import AdditiveLatency
from .base import Searcher
from .build import build_searcher
from .evolution import EvolutionSearcher
from .greedy import GreedySearcher
from .limits import CostLimits
from .metric_predictors import (
    GaussianProcessPredictor,
    MetricPredictor,
    MLPPredictor,
    RBFPredictor,
)
from .optuna import OptunaSearcher
from .pareto import ParetoSearcher
from .predictor import PredictorSearcher
from .random import RandomSearcher

__all__ = [
    "AdditiveLatency",
    "CostLimits",
    "EvolutionSearcher",
    "GaussianProcessPredictor",
    "GreedySearcher",
    "MLPPredictor",
    "MetricPredictor",
    "OptunaSearcher",
    "ParetoSearcher",
    "PredictorSearcher",
    "RBFPredictor",
    "RandomSearcher",
    "Searcher",
    "build_searcher",
]
