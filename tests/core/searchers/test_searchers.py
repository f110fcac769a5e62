"""What holds for every searcher."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrazor.core.searchers import CostLimits, EvolutionSearcher, RandomSearcher
from mmrazor.core.searchers.objectives import checked_objectives
from mmrazor.core.space import OneOf, SearchSpace, Subnet
from mmrazor.registry import TASK_UTILS
from tests.core.searchers.toys import (
    KINDS,
    make,
    run,
    started,
    through_json,
    toy_costs,
    toy_limits,
    toy_score,
    toy_space,
)

budgets = st.sampled_from(
    [None, dict(macs=40), dict(macs=(38, 41)), dict(macs=0.7, params=(10, 13))]
)
quick = settings(max_examples=15)


@quick
@given(kind=st.sampled_from(KINDS), budget=budgets, seed=st.integers(0, 99))
def test_never_twice_and_within_the_budget(kind, budget, seed):
    searcher, space = started(kind, budget, seed), toy_space()
    asked = run(searcher)
    keys = [space.key(subnet.choices) for subnet in asked]
    assert asked
    assert len(set(keys)) == len(keys)
    assert all(subnet.cost == toy_costs(subnet.choices) for subnet in asked)
    fits = toy_limits(budget)
    if kind != "greedy":  # which comes from above
        assert all(fits(subnet.choices) for subnet in asked)
    assert all(fits(subnet.choices) for subnet in searcher.best(5))
    assert searcher.ask() is None
    assert searcher.total is None or len(asked) <= searcher.total


@quick
@given(kind=st.sampled_from(KINDS), budget=budgets, seed=st.integers(0, 99))
def test_one_seed_one_search(kind, budget, seed):
    first = run(started(kind, budget, seed))
    assert first == run(started(kind, budget, seed))


def test_another_seed_another_search():
    for kind in set(KINDS) - {"greedy"}:
        assert run(started(kind, seed=0)) != run(started(kind, seed=1))


@quick
@given(
    kind=st.sampled_from(KINDS),
    budget=budgets,
    stop=st.integers(0, 40),
    waiting=st.integers(0, 3),
)
def test_goes_on_from_any_point(kind, budget, stop, waiting):
    whole = run(started(kind, budget))
    searcher = started(kind, budget)
    run(searcher, most=stop)
    left = [s for s in (searcher.ask() for _ in range(waiting)) if s]
    copy = through_json(searcher, kind, budget)
    assert copy.pending() == left == searcher.pending()
    assert copy.state_dict() == searcher.state_dict()
    for subnet in copy.pending():
        copy.tell(subnet, toy_score(subnet.choices))
    run(copy)
    assert [s.choices for s in copy.history] == [s.choices for s in whole]
    whole_searcher = started(kind, budget)
    run(whole_searcher)
    assert copy.best(3) == whole_searcher.best(3)


@quick
@given(kind=st.sampled_from(KINDS), order=st.randoms(use_true_random=False))
def test_the_order_of_tells_does_not_matter(kind, order):
    searcher = started(kind)
    while batch := list(iter(searcher.ask, None)):
        order.shuffle(batch)
        for subnet in batch:
            searcher.tell(subnet, toy_score(subnet.choices))
    alone = started(kind)
    run(alone)
    assert searcher.history == alone.history


@quick
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 99))
def test_goes_on_when_candidates_fail(kind, seed):
    def score(values):
        return {} if values["a"] == 3 else toy_score(values)

    searcher = started(kind, seed=seed)
    asked = run(searcher, score)
    assert len(searcher.history) == len(asked) > 1
    assert all(subnet.choices["a"] != 3 for subnet in searcher.best(50))
    nothing = started(kind, seed=seed)
    run(nothing, lambda values: {})
    assert nothing.best(3) == []
    assert nothing.finished


@pytest.mark.parametrize("kind", ["random", "evolution", "pareto"])
def test_a_small_space_is_used_up(kind):
    searcher = make(kind)
    searcher.start(toy_space(("a", "b")), CostLimits(toy_costs), metric="acc")
    assert len(run(searcher)) == 16
    assert searcher.best()[0].choices == {"a": 3, "b": 3}


def test_a_needle_is_found():
    names = [f"c{i}" for i in range(40)]
    limits = CostLimits(toy_costs, dict(macs=(2495, 2496)), {"macs": (820, 3280)})
    searcher = RandomSearcher(3)
    searcher.start(toy_space(names), limits, metric="acc")
    assert all(2495 <= subnet.cost["macs"] <= 2496 for subnet in run(searcher))
    assert len(searcher.history) == 3


def test_a_budget_outside_the_range_names_it():
    match = r"macs may be 0 to 14, and this space reaches 15 to 60 only. Move the"
    with pytest.raises(ValueError, match=match):
        toy_limits(dict(macs=14))
    with pytest.raises(ValueError, match="params may be 21 to 30, .* reaches 5 to 20"):
        toy_limits(dict(params=(21, 30)))
    with pytest.raises(ValueError, match=r"bounds \['latency_ms'\], but .* 'params'"):
        toy_limits(dict(latency_ms=3))


@pytest.mark.parametrize("kind", ["random", "evolution", "pareto", "predictor"])
def test_bounds_that_exclude_each_other_end_at_once(kind):
    searcher = make(kind)
    searcher.start(toy_space(), toy_limits(dict(macs=(15, 16), params=(15, 20))))
    match = "No Subnet was found that meets the whole budget: macs from 15 to 16, whe"
    with pytest.raises(ValueError, match=match + "re this space reaches 15 to 60; par"):
        searcher.ask()


def test_limits_are_inclusive():
    limits = toy_limits(dict(macs=(20, 30), params=(5, 8)))
    assert limits.fit({"macs": 20, "params": 8})
    assert limits.fit({"macs": 30, "params": 5})
    assert not limits.fit({"macs": 31, "params": 5})
    values = dict.fromkeys("abcde", 4)  # 60 macs, 20 params
    assert limits.excess(values) == pytest.approx(30 / 30 + 12 / 8)
    assert limits.excess(dict.fromkeys("abcde", 1)) == pytest.approx(5 / 20)


def test_equal_scores_do_not_overwrite_each_other():
    searcher = started("random")
    run(searcher, lambda values: {"acc": 1.0})
    assert len(searcher.best(20)) == 20
    assert searcher.best(20) == searcher.history


def test_less_can_be_better():
    searcher = RandomSearcher(50, objectives=[("loss", "min")])
    searcher.start(toy_space(), metric="acc")
    run(searcher, lambda values: {"loss": float(sum(values.values()))})
    assert searcher.best()[0].score["loss"] == min(
        subnet.score["loss"] for subnet in searcher.history
    )


def test_what_is_told_must_be_pending():
    searcher = started("random")
    subnet = searcher.ask()
    never = Subnet(subnet.space, dict.fromkeys("abcde", 1))
    searcher.tell(subnet, toy_score(subnet.choices))
    for wrong in (subnet, never):
        with pytest.raises(ValueError, match="is not pending: it was not asked for"):
            searcher.tell(wrong, {"acc": 1.0})
    match = r"looks for \['acc'\], but what is known .* \['macs', 'params', 'top1'\]"
    with pytest.raises(ValueError, match=match):
        searcher.tell(searcher.ask(), {"top1": 3.0})


def test_state_of_another_search():
    state = started("random").state_dict()
    with pytest.raises(ValueError, match="has type 'RandomSearcher', this search 'Evo"):
        started("evolution").load_state_(state)
    other = RandomSearcher()
    other.start(SearchSpace([OneOf("x", [1, 2])]))
    with pytest.raises(ValueError, match="has space '.*', this search '"):
        other.load_state_(state)


@pytest.mark.parametrize(
    "given_objectives", [[], ["a", ("a", "min")], [("a", "up")], [("a", "b", "c")]]
)
def test_objectives_that_cannot_be(given_objectives):
    with pytest.raises(ValueError, match="must be one or more different names of"):
        checked_objectives(given_objectives)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (dict(population=0), "population=0, generations=20 and top_k=10 must be at"),
        (dict(mutation=26), "make more children than the population of 50"),
        (dict(mutation_prob=0), r"mutation_prob=0 must be in \(0, 1\]"),
    ],
)
def test_numbers_that_do_not_fit(change, match):
    with pytest.raises(ValueError, match=match):
        EvolutionSearcher(**change)


def test_built_from_a_config():
    cfg = dict(type="mmrazor.EvolutionSearcher", population=4, mutation=2, crossover=2)
    searcher = TASK_UTILS.build(cfg)
    assert isinstance(searcher, EvolutionSearcher)
    assert searcher.total == 80
