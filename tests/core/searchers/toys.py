"""A search space whose costs and scores are arithmetic, and searchers over it."""

from __future__ import annotations

import json

from mmrazor.core.searchers import (
    CostLimits,
    EvolutionSearcher,
    GreedySearcher,
    ParetoSearcher,
    PredictorSearcher,
    RandomSearcher,
)
from mmrazor.core.space import OneOf, SearchSpace

WIDTHS = (1, 2, 3, 4)
NAMES = ("a", "b", "c", "d", "e")
RANGES = {"macs": (15, 60), "params": (5, 20)}


def toy_space(names=NAMES):
    """4 ** 5 subnets."""
    return SearchSpace([OneOf(name, WIDTHS) for name in names])


def toy_costs(values):
    """The i-th choice costs i MACs and 1 parameter for each of its width."""
    return {
        "macs": sum(i * v for i, v in enumerate(values.values(), 1)),
        "params": sum(values.values()),
    }


def toy_limits(budget=None):
    return CostLimits(toy_costs, budget, RANGES)


def toy_score(values):
    """Best where every width is 3; no two of one distance are told apart."""
    return {"acc": 100.0 - sum((v - 3) ** 2 for v in values.values())}


def make(name, seed=0):
    """Return one small searcher of each kind."""
    small = dict(population=8, generations=4)
    evolution = dict(small, top_k=3, mutation=3, crossover=3)
    made = {
        "random": lambda: RandomSearcher(20, seed=seed),
        "evolution": lambda: EvolutionSearcher(**evolution, seed=seed),
        "pareto": lambda: ParetoSearcher(**small, seed=seed),
        "predictor": lambda: PredictorSearcher(
            EvolutionSearcher(**{**evolution, "population": 16}, seed=seed),
            dict(type="RBFPredictor"),
            warmup=6,
        ),
        "greedy": lambda: GreedySearcher(seed=seed),
    }
    return made[name]()


KINDS = ("random", "evolution", "pareto", "predictor", "greedy")


def started(name, budget=None, seed=0):
    searcher = make(name, seed)
    searcher.start(toy_space(), toy_limits(budget), metric="acc")
    return searcher


def run(searcher, score=toy_score, most=10_000):
    """Evaluate one at a time; return what was asked, in order."""
    asked = []
    while len(asked) < most and (subnet := searcher.ask()):
        asked.append(subnet)
        searcher.tell(subnet, score(subnet.choices))
    return asked


def through_json(searcher, name, budget, seed=0):
    """Return a copy that was written and read."""
    copy = started(name, budget, seed)
    copy.load_state_(json.loads(json.dumps(searcher.state_dict())))
    return copy
