"""Predictors, their rank correlation, and the search that they shorten."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.interpolate import RBFInterpolator

from mmrazor.core.searchers import (
    CostLimits,
    EvolutionSearcher,
    ParetoSearcher,
    PredictorSearcher,
    RandomSearcher,
    RBFPredictor,
)
from mmrazor.core.searchers.build import build_predictor
from mmrazor.core.searchers.metric_predictors import features
from mmrazor.core.searchers.rank_correlation import kendall, spearman
from mmrazor.core.space import KeepChannels, OneOf, SearchSpace
from tests.core.searchers.toys import run, toy_costs, toy_score, toy_space

PREDICTORS = ["GaussianProcessPredictor", "MLPPredictor", "RBFPredictor"]
pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3)


@given(pairs)
def test_rank_correlation_is_that_of_scipy(rows):
    first, second = zip(*rows, strict=True)
    single = len(set(first)) == 1 or len(set(second)) == 1
    for mine, reference in ((spearman, stats.spearmanr), (kendall, stats.kendalltau)):
        value = mine(first, second)
        if single:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(reference(first, second).statistic)


def test_rbf_is_that_of_scipy():
    rng = np.random.default_rng(0)
    known, scores, asked = rng.random((20, 4)), rng.random(20), rng.random((9, 4))
    predictor = RBFPredictor(smoothing=0.3)
    predictor.fit_(known, scores)
    reference = RBFInterpolator(known, scores, kernel="linear", smoothing=0.3)
    assert np.allclose(predictor.predict(asked), reference(asked))


@pytest.mark.parametrize("name", PREDICTORS)
def test_predictors_learn_a_sum_over_choices(name):
    if name != "RBFPredictor":
        pytest.importorskip("sklearn")
    space, rng = toy_space(), np.random.default_rng(0)
    many = [space.sample(rng) for _ in range(120)]
    scores = np.array([toy_score(values)["acc"] for values in many])
    columns = features(space, many)
    predictor = build_predictor(dict(type=name))
    predictor.fit_(columns[:80], scores[:80])
    held_out = predictor.predict(columns[80:])
    assert held_out.shape == (40,)
    assert spearman(held_out, scores[80:]) > 0.85
    assert abs(held_out.mean() - scores[80:].mean()) < 1


def test_features():
    space = SearchSpace([OneOf("op", ["x", "y"]), KeepChannels("out", 4)])
    many = [{"op": "y", "out": [0, 1, 3]}, {"op": "x", "out": [2]}]
    assert features(space, many).tolist() == [[0, 1, 0.75], [1, 0, 0.25]]


def search(searcher, names=8):
    names = [f"c{i}" for i in range(names)]
    searcher.start(toy_space(names), CostLimits(toy_costs), metric="acc")
    return run(searcher)


@pytest.mark.parametrize("name", PREDICTORS)
def test_pre_ranked_search(name):
    if name != "RBFPredictor":
        pytest.importorskip("sklearn")
    inner = EvolutionSearcher(100, 3, 10, 50, 50)
    searcher = PredictorSearcher(inner, dict(type=name), warmup=30, keep=0.1)
    asked = search(searcher)
    # 30, then of the 70 that are left, 100 and 100 a tenth
    assert len(asked) == 30 + 7 + 10 + 10 == searcher.total
    found = searcher.rank_correlation()["acc"]
    assert found["num_subnets"] == 27
    assert found["spearman"] > 0.5
    assert found["kendall"] > 0.3
    chance = RandomSearcher(len(asked))
    search(chance)
    assert searcher.best()[0].score["acc"] > chance.best()[0].score["acc"]


def test_the_best_predicted_are_evaluated():
    searcher = PredictorSearcher(
        RandomSearcher(60), RBFPredictor(), warmup=40, keep=0.2
    )
    asked = search(searcher)
    whole = RandomSearcher(60)
    drawn = search(whole)
    space = searcher.space
    predictor = RBFPredictor()
    scores = np.array([toy_score(s.choices)["acc"] for s in drawn[:40]])
    predictor.fit_(features(space, [s.choices for s in drawn[:40]]), scores)
    guesses = predictor.predict(features(space, [s.choices for s in drawn[40:]]))
    first = np.argsort(-guesses)[:4]
    assert asked == drawn[:40] + [drawn[40 + i] for i in first]


def test_several_objectives():
    inner = ParetoSearcher(40, 3)
    searcher = PredictorSearcher(inner, RBFPredictor(), warmup=20, keep=0.25)
    search(searcher)
    assert list(searcher.rank_correlation()) == ["acc"]  # macs are known, not guessed
    assert len(searcher.best()) > 2


def test_before_anything_was_predicted():
    searcher = PredictorSearcher(RandomSearcher(5), RBFPredictor(), warmup=5)
    assert len(search(searcher)) == 5
    assert searcher.rank_correlation() == {}
    with pytest.raises(ValueError, match="warmup=1 must be at least 2, keep=0.25 in"):
        PredictorSearcher(RandomSearcher(5), RBFPredictor(), warmup=1)
