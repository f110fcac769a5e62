"""Who breeds with whom."""

from __future__ import annotations

from itertools import combinations_with_replacement

from mmrazor.core.searchers import (
    CostLimits,
    EvolutionSearcher,
    ParetoSearcher,
    RandomSearcher,
)
from tests.core.searchers.toys import run, started, toy_costs, toy_score, toy_space


def generations(searcher, score=toy_score):
    found = []
    while batch := list(iter(searcher.ask, None)):
        found.append([subnet.choices for subnet in batch])
        for subnet in batch:
            searcher.tell(subnet, score(subnet.choices))
    return found


def searcher_of(**change):
    given = dict(population=6, generations=5, top_k=2, mutation=2, crossover=1)
    searcher = EvolutionSearcher(**{**given, **change})
    searcher.start(toy_space([f"c{i}" for i in range(12)]), metric="acc")
    return searcher


def test_sizes_of_generations():
    assert [len(g) for g in generations(searcher_of())] == [6] * 5


def is_child(child, parents):
    return any(
        all(child[name] in (a[name], b[name]) for name in child)
        for a, b in combinations_with_replacement(parents, 2)
    )


def test_crossover_mixes_the_best_of_all_generations():
    searcher = searcher_of(mutation=0, crossover=4, top_k=5)
    seen = []
    for batch in generations(searcher):
        # sorted is stable: the earlier of equals is the parent
        best = sorted(seen, key=lambda v: -toy_score(v)["acc"])[:5]
        if best:
            assert all(is_child(child, best) for child in batch[:4])
            assert not all(is_child(drawn, best) for drawn in batch[4:])
        seen += batch


def test_mutation_changes_a_share_of_the_choices():
    searcher = searcher_of(mutation=6, crossover=0, top_k=1, mutation_prob=0.25)
    seen, changed = [], []
    for batch in generations(searcher):
        if seen:
            parent = max(seen, key=lambda v: toy_score(v)["acc"])
            changed += [sum(c[n] != parent[n] for n in c) for c in batch]
        seen += batch
    assert min(changed) >= 1  # the parent itself is no child
    assert 2 < sum(changed) / len(changed) < 4.5  # 12 * 0.25 = 3 are expected


def test_beats_chance():
    names = [f"c{i}" for i in range(20)]
    scores = {}
    for searcher in (RandomSearcher(500), EvolutionSearcher(50, 10)):
        searcher.start(toy_space(names), metric="acc")
        run(searcher)
        scores[type(searcher)] = searcher.best()[0].score["acc"]
    assert scores[EvolutionSearcher] > scores[RandomSearcher] + 3


def test_pareto_front_is_that_of_all_that_was_evaluated():
    searcher = started("pareto")
    history = run(searcher)
    assert searcher.objectives == (("acc", "max"), ("macs", "min"))
    rows = [(toy_score(s.choices)["acc"], -s.cost["macs"]) for s in history]
    front = {
        row
        for row in rows
        if not any(o != row and o[0] >= row[0] and o[1] >= row[1] for o in rows)
    }
    found = [(s.score["acc"], -s.cost["macs"]) for s in searcher.best()]
    assert set(found) == front
    assert found == sorted(found, key=lambda row: -row[0])


def test_pareto_comes_near_the_true_front():
    searcher = ParetoSearcher(population=30, generations=12)
    searcher.start(toy_space(), CostLimits(toy_costs), metric="acc")
    run(searcher)
    found = {(s.cost["macs"], s.score["acc"]) for s in searcher.best()}
    # the true front, by enumeration: best score at each cost
    best = {}
    for key in range(4**5):
        values = {n: 1 + key // 4**i % 4 for i, n in enumerate("abcde")}
        macs = toy_costs(values)["macs"]
        best[macs] = max(best.get(macs, 0), toy_score(values)["acc"])
    true, top = set(), 0.0
    for macs in sorted(best):
        if best[macs] > top:
            top = best[macs]
            true.add((macs, top))
    assert len(found & true) >= 0.8 * len(true)
