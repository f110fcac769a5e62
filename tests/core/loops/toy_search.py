"""A search over arithmetic, run by tests in processes that may kill themselves."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from torch import distributed

from mmrazor.core.loops.search import Search
from mmrazor.core.searchers import CostLimits, build_searcher
from mmrazor.core.space import OneOf, SearchSpace

NAMES = "abcdef"
SEARCHERS = {
    "evolution": dict(
        type="EvolutionSearcher",
        population=6,
        generations=4,
        top_k=3,
        mutation=3,
        crossover=2,
    ),
    "pareto": dict(type="ParetoSearcher", population=6, generations=4),
    "predictor": dict(
        type="PredictorSearcher",
        searcher=dict(type="RandomSearcher", num_subnets=40),
        predictor=dict(type="RBFPredictor"),
        warmup=10,
    ),
    "optuna": dict(type="OptunaSearcher", num_subnets=12, heartbeat_s=1),
}


def toy_space():
    return SearchSpace([OneOf(name, [1, 2, 3, 4]) for name in NAMES])


def toy_costs(values):
    return {"macs": sum(i * v for i, v in enumerate(values.values(), 1))}


def toy_score(values, part=1.0):
    """Best where every width is 3; with less data there is an error of 2 at most."""
    if values["a"] == 4:
        raise RuntimeError("width 4 does not run")
    error = (1 - part) * (sum(7**i * v for i, v in enumerate(values.values())) % 5 - 2)
    return {"acc": 100.0 - sum((v - 3) ** 2 for v in values.values()) + error}


def toy_search(kind="evolution", evaluate=toy_score, **settings):
    limits = CostLimits(toy_costs, dict(macs=(30, 60)), {"macs": (21, 84)})
    return Search(
        toy_space(),
        build_searcher(SEARCHERS[kind]),
        evaluate,
        limits=limits,
        metric="acc",
        **settings,
    )


def summary(search, best):
    """Return what must be the same, however often the search was interrupted."""
    rows = [
        [list(e.subnet.choices.values()), dict(e.subnet.score), e.error, e.part]
        for e in search.evaluations
    ]
    return [[subnet.to_data() for subnet in best], rows]


def main(folder, out, kind, settings, kill_after=0, sleep_s=0.0, world=None):
    """Search; kill this process after so many evaluations."""
    if world is not None:
        rank, size, port = world.split(":")
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        distributed.init_process_group("gloo", rank=int(rank), world_size=int(size))
    left = kill_after

    def evaluate(values, part):
        nonlocal left
        with Path(f"{out}.log").open("a") as log:
            log.write(json.dumps([os.getpid(), list(values.values()), part]) + "\n")
        time.sleep(sleep_s)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return toy_score(values, part)

    work_dir = None if folder == "-" else folder
    search = toy_search(kind, evaluate, work_dir=work_dir, **json.loads(settings))
    Path(out).write_text(json.dumps(summary(search, search.run())))
