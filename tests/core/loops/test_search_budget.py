"""A search that goes on with a budget that it was not begun with."""

from __future__ import annotations

import pytest

from mmrazor.core.loops.search import Search
from mmrazor.core.searchers import build_searcher
from tests.core.loops.toy_search import SEARCHERS, toy_search, toy_space


@pytest.mark.parametrize("kind", ["evolution", "predictor", "optuna"])
@pytest.mark.parametrize("stop", [3, 9])  # in the first batch, and in the second
def test_resumed_with_a_budget_that_it_did_not_have(kind, stop, tmp_path):
    if kind == "optuna":
        pytest.importorskip("optuna")
    left = stop

    def evaluate(values, part):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return {"acc": 1.0}

    settings = dict(metric="acc", work_dir=tmp_path)
    begun = build_searcher(SEARCHERS[kind])
    with pytest.raises(KeyboardInterrupt):
        Search(toy_space(), begun, evaluate, **settings).run()
    match = r"budget bounds \['macs'\], but .* the costs \[\] alone: .* another budget"
    with pytest.raises(ValueError, match=match):
        toy_search(kind, work_dir=tmp_path, resume=True)
    again = build_searcher(SEARCHERS[kind])
    search = Search(toy_space(), again, evaluate, resume=True, **settings)
    assert len(search.evaluations) == stop - 1
