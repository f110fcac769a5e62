"""Made-up evaluations of a search, for tests of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmrazor.core.loops.search_state import Evaluation
from mmrazor.core.space import KeepChannels, OneOf, SearchSpace, Subnet


def toy_space(number: int = 3) -> SearchSpace:
    return SearchSpace(
        [
            *(OneOf(f"net.{i}.op", ["a", "b", "c"]) for i in range(number)),
            OneOf("net.wide", [False, True]),
            OneOf("net.depth", range(30)),
            KeepChannels("net.stem.out", 8),
        ]
    )


def evaluation(
    space: SearchSpace,
    rng: np.random.Generator,
    score: Mapping[str, float] | None = None,
    cost: Mapping[str, float] | None = None,
    **others: Any,
) -> Evaluation:
    values = space.sample(rng)
    subnet = Subnet(space.fingerprint(), values, cost=cost or {}, score=score or {})
    return Evaluation(subnet, **others)


def toy_evaluations(space: SearchSpace, number: int = 40) -> list[Evaluation]:
    """Return scores of four batches, some of them equal, with a few that failed."""
    rng = np.random.default_rng(3)
    found = []
    for i in range(number):
        batch, seconds = 1 + 4 * i // number, 1.5
        if i % 10 == 7:
            error = f"RuntimeError: <b>{i}</b> & more"
            others: dict[str, Any] = dict(error=error, batch=batch, seconds=seconds)
            found.append(evaluation(space, rng, **others))
            continue
        score = {"acc": float(rng.integers(50, 70)) + batch, "loss": rng.random()}
        cost = {"macs": int(rng.integers(1, 9)) * 10**7, "params": 10**6 + i}
        others = dict(batch=batch, seconds=seconds)
        found.append(evaluation(space, rng, score, cost, **others))
    return found


def best_of(evaluations: Sequence[Evaluation], number: int = 3) -> list[Subnet]:
    worked = [e.subnet for e in evaluations if e.subnet.score]
    return sorted(worked, key=lambda s: -s.score["acc"])[:number]
