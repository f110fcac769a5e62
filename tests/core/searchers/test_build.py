"""Searchers and predictors from configs."""

from __future__ import annotations

import pytest

from mmrazor.core.searchers import RBFPredictor
from mmrazor.core.searchers.build import build_predictor, build_searcher


@pytest.mark.parametrize("prefix", ["", "mmrazor."])
def test_by_name(prefix):
    cfg = dict(type=prefix + "EvolutionSearcher", population=9, mutation=4, crossover=5)
    assert build_searcher(cfg).population == 9
    assert cfg["type"] == prefix + "EvolutionSearcher"
    predictor = build_predictor(dict(type="RBFPredictor"))
    assert isinstance(predictor, RBFPredictor)
    assert build_predictor(predictor) is predictor


@pytest.mark.parametrize(
    ("cfg", "error", "match"),
    [
        (None, TypeError, "None is no Searcher and no config of one"),
        (dict(population=3), TypeError, "no config of one: dict"),
        (
            dict(type="Nope"),
            ValueError,
            "'Nope' is no Searcher. There are .*'Evo",
        ),
        (dict(type="RBFPredictor"), ValueError, "'RBFPredictor' is no Searcher"),
        (dict(type="EvolutionSearcher", size=3), TypeError, "argument 'size'"),
    ],
)
def test_what_cannot_be_built(cfg, error, match):
    with pytest.raises(error, match=match):
        build_searcher(cfg)
