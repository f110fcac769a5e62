"""Greedy slimming, step by step."""

from __future__ import annotations

import pytest

from mmrazor.core.searchers import CostLimits, GreedySearcher
from mmrazor.core.space import KeepChannels, OneOf, SearchSpace
from tests.core.searchers.toys import run, started, toy_costs, toy_score, toy_space


def slimmed(values, fits):
    """The algorithm, written plainly: values are widths 1 to 4."""
    path = [values]
    while not fits(values):
        steps = [{**values, n: v - 1} for n, v in values.items() if v > 1]
        values = max(steps, key=lambda v: toy_score(v)["acc"])
        path.append(values)
    return path


def test_equals_the_plain_algorithm():
    searcher = started("greedy", dict(macs=30))
    asked = [dict(subnet.choices) for subnet in run(searcher)]
    path = slimmed(dict.fromkeys("abcde", 4), lambda v: toy_costs(v)["macs"] <= 30)
    assert asked[0] == path[0]
    assert all(step in asked for step in path)
    assert [dict(s.choices) for s in searcher.best(1)] == [
        max(
            (v for v in asked if toy_costs(v)["macs"] <= 30),
            key=lambda v: toy_score(v)["acc"],
        )
    ]
    widths = [sum(v.values()) for v in asked]
    assert widths == sorted(widths, reverse=True)


def test_without_a_budget_it_goes_all_the_way():
    searcher = started("greedy")
    asked = run(searcher)
    assert asked[-1].choices == dict.fromkeys("abcde", 1)
    assert searcher.best()[0].choices == dict.fromkeys("abcde", 3)


def test_lower_bounds_are_not_crossed():
    searcher = started("greedy", dict(macs=(29, 30), params=(0, 20)))
    assert min(subnet.cost["macs"] for subnet in run(searcher)) >= 29


def test_ops_are_ordered_by_their_cost():
    space = SearchSpace([OneOf("op", ["k5", "skip", "k3"])])
    macs = {"k5": 25, "skip": 0, "k3": 9}
    searcher = GreedySearcher()
    searcher.start(space, CostLimits(lambda v: {"macs": macs[v["op"]]}), metric="acc")
    asked = run(searcher, lambda values: {"acc": 1.0})
    assert [subnet.choices["op"] for subnet in asked] == ["k5", "k3", "skip"]


def test_what_it_cannot_do():
    searcher = GreedySearcher()
    keep = SearchSpace([KeepChannels("out", 4)])
    with pytest.raises(ValueError, match="'out' is a KeepChannels, which has no list"):
        searcher.start(keep, CostLimits(lambda v: {"macs": len(v["out"])}))
    with pytest.raises(ValueError, match="steps down 'macs', but the costs .* are "):
        searcher.start(toy_space(), CostLimits())
