"""What the pictures of a search show, read back from matplotlib."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

from mmrazor.apis.choices_picture import choice_shares, choices_figure
from mmrazor.apis.search_outcome import SearchOutcome, number_text, short_names
from mmrazor.apis.search_picture import pareto_figure, plain, score_figure
from mmrazor.core.loops.search_state import Evaluation
from mmrazor.core.space import OneOf, SearchSpace, Subnet
from tests.apis.toy_search import best_of, evaluation, toy_evaluations, toy_space

figure_class = pytest.importorskip("matplotlib.figure").Figure
SPACE = toy_space()
ACC = [("acc", "max")]
EVALUATIONS = toy_evaluations(SPACE)
WORKED = [e for e in EVALUATIONS if e.error is None]


def outcome(objectives: Any = ACC, metric: str = "acc") -> SearchOutcome:
    return SearchOutcome(EVALUATIONS, best_of(EVALUATIONS), metric, objectives)


def drawn(axes: Any) -> dict[str, list[tuple[float, float]]]:
    """Return the points of lines and scatters by label without its number."""
    found = {c.get_label(): c.get_offsets().tolist() for c in axes.collections}
    found |= {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    return {k.partition(" (")[0]: [tuple(p) for p in v] for k, v in found.items()}


def unbeaten(points: list[tuple[float, float]], signs: tuple[int, int]) -> set[Any]:
    """Return the points that no other is at least as good as in both, by the book."""
    better = [tuple(s * v for s, v in zip(signs, p, strict=True)) for p in points]
    return {
        point
        for point, mine in zip(points, better, strict=True)
        if not any(
            all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in better
        )
    }


@pytest.mark.parametrize(
    ("objectives", "name", "signs"),
    [
        (ACC, "macs", (-1, 1)),
        ([("macs", "min"), ("acc", "max")], "macs", (-1, 1)),
        ([("params", "min"), ("acc", "max")], "params", (-1, 1)),
        ([("acc", "min")], "macs", (-1, -1)),
        ([("acc", "max"), ("macs", "max")], "macs", (1, 1)),
    ],
)
def test_score_against_cost(objectives: Any, name: str, signs: Any) -> None:
    (axes,) = pareto_figure(outcome(objectives), figure_class).axes
    points = drawn(axes)
    known = [(e.subnet.cost[name], e.subnet.score["acc"]) for e in WORKED]
    assert points["candidates"] == known
    assert set(points["front"]) == unbeaten(known, signs)
    assert points["front"] == sorted(set(points["front"]))
    best = best_of(EVALUATIONS)
    assert points["best"] == [(s.cost[name], s.score["acc"]) for s in best]


def test_two_metrics_are_two_panels() -> None:
    pairs = [("acc", "max"), ("loss", "min")]
    figure = pareto_figure(outcome(pairs), figure_class)
    assert [axes.get_xlabel() for axes in figure.axes] == ["loss", "MACs"]
    known = [(e.subnet.score["loss"], e.subnet.score["acc"]) for e in WORKED]
    assert set(drawn(figure.axes[0])["front"]) == unbeaten(known, (-1, 1))


def test_ticks_have_units() -> None:
    figure = pareto_figure(outcome(), figure_class)
    figure.draw_without_rendering()
    labels = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert {"15 M", "30 M"} <= set(labels)
    assert number_text("macs", 2_345_678_901) == "2.346 G"
    assert number_text("params", 0) == "0"
    assert number_text("latency_ms", 1234.5678) == "1234.6"


@pytest.mark.parametrize(("way", "pick"), [("max", max), ("min", min)])
def test_score_by_batch(way: str, pick: Any) -> None:
    (axes,) = score_figure(outcome([("acc", way)]), figure_class).axes
    points = drawn(axes)
    scores = [e.subnet.score["acc"] for e in WORKED]
    batches = [e.batch for e in WORKED]
    # A candidate stands near its batch, in order.
    assert [round(x) for x, _ in points["candidates"]] == batches
    assert [x for x, _ in points["candidates"]] == sorted(
        {x for x, _ in points["candidates"]}
    )
    assert [y for _, y in points["candidates"]] == scores
    best = [pick(scores[: i + 1]) for i in range(len(scores))]
    assert [y for _, y in points["best so far"]] == best
    by_batch = [
        [s for s, b in zip(scores, batches, strict=True) if b == n] for n in range(1, 5)
    ]
    medians = [(n, statistics.median(s)) for n, s in enumerate(by_batch, 1)]
    assert points["median of the batch"] == medians


@pytest.mark.parametrize("batches", [[1] * 5, [1, 2, 3, 4, 5], [1]])
def test_without_generations_the_order_counts(batches: list[int]) -> None:
    rng = np.random.default_rng(0)
    known = [evaluation(SPACE, rng, {"acc": 7.0 - b}, batch=b) for b in batches]
    (axes,) = score_figure(SearchOutcome(known, [], "acc", ACC), figure_class).axes
    points = drawn(axes)
    assert [x for x, _ in points["candidates"]] == list(range(1, len(batches) + 1))
    assert "median of the batch" not in points
    assert axes.get_xlabel() == "evaluation"


def test_parts_of_the_validation_set_are_left_out() -> None:
    rng = np.random.default_rng(0)
    cost = {"macs": 5}
    parts = [evaluation(SPACE, rng, {"acc": 99.0}, cost, part=0.25) for _ in range(4)]
    whole = evaluation(SPACE, rng, {"acc": 50.0}, cost)
    found = SearchOutcome([*parts, whole], [whole.subnet], "acc", ACC)
    assert (len(found.partial), len(found.full)) == (4, 1)
    assert found.top_quarter() == [0]
    for draw in (pareto_figure, score_figure):
        points = drawn(draw(found, figure_class).axes[0])
        assert [y for _, y in points["candidates"]] == [50.0]


def test_choices() -> None:
    shares = choice_shares(outcome(), SPACE)
    assert [one.name for one in shares] == list(SPACE)
    # A stable sort: of equal scores the first.
    ranked = sorted(WORKED, key=lambda e: -e.subnet.score["acc"])
    top = ranked[: math.ceil(len(WORKED) / 4)]
    for one in shares:
        assert sum(one.overall) == pytest.approx(1)
        assert sum(one.top) == pytest.approx(1)
    for pool, index in ((WORKED, 0), (top, 1)):
        for label, place in (("a", 0), ("c", 2)):
            count = sum(e.subnet.choices["net.0.op"] == label for e in pool)
            got = (shares[0].overall, shares[0].top)[index][place]
            assert got == pytest.approx(count / len(pool))
    # 30 depths in runs of three.
    depth = shares[4]
    assert depth.labels[:2] == ("0 … 2", "3 … 5")
    low = sum(e.subnet.choices["net.depth"] <= 2 for e in WORKED)
    assert depth.overall[0] == pytest.approx(low / len(WORKED))
    assert shares[3].labels == ("False", "True")
    kept = shares[5]
    counts = sorted({len(e.subnet.choices["net.stem.out"]) for e in WORKED})
    assert kept.labels == tuple(f"{n} kept" for n in counts)


def test_top_quarter_of_two_objectives_is_that_of_the_search() -> None:
    found = outcome([("acc", "max"), ("macs", "min")])
    points = [(e.subnet.score["acc"], e.subnet.cost["macs"]) for e in WORKED]
    front = unbeaten(points, (1, -1))
    top = [points[i] for i in found.top_quarter()]
    assert len(top) == 9
    assert front <= set(top)


def test_bars_are_the_shares() -> None:
    shares = choice_shares(outcome(), SPACE)
    figure = choices_figure(outcome(), SPACE, figure_class)
    for axes, one in zip(figure.axes, shares, strict=True):
        widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
        assert widths == [list(one.overall), list(one.top)]
        assert [t.get_text() for t in axes.get_yticklabels()] == list(one.labels)
        assert axes.get_title() == one.name


def test_labels_of_twenty_choices_do_not_overlap() -> None:
    names = [f"backbone.layers.{i // 5}.{i % 5}.op" for i in range(20)]
    values = ["shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "shuffle_xception"]
    space = SearchSpace([OneOf(name, values) for name in names])
    rng = np.random.default_rng(0)
    known = [evaluation(space, rng, {"acc": rng.random()}) for _ in range(30)]
    figure = choices_figure(SearchOutcome(known, [], "acc", ACC), space, figure_class)
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            labels = [t.label1 for t in ticks if t.label1.get_visible()]
            boxes += [label.get_window_extent() for label in labels]
    # 20 titles, 4 rows of values, 5 columns of at least 3 shares.
    assert len(boxes) >= 20 + 4 * 4 + 5 * 3
    inside = figure.bbox.padded(1)
    for i, box in enumerate(boxes):
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_of_many_choices_the_telling_ones_are_shown() -> None:
    space = SearchSpace([OneOf(f"c{i}", [0, 1]) for i in range(70)])
    rng = np.random.default_rng(0)
    known = []
    for _ in range(64):
        values = space.sample(rng)
        score = {"acc": float(values["c33"])}
        known.append(Evaluation(Subnet(space.fingerprint(), values, score=score)))
    figure = choices_figure(SearchOutcome(known, [], "acc", ACC), space, figure_class)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 60
    assert "c33" in titles
    assert titles == sorted(titles, key=lambda name: int(name[1:]))


def test_names_and_formulas() -> None:
    assert short_names(["a.b.c"]) == {"a.b.c": "a.b.c"}
    assert short_names(["a.x", "b.x"]) == {"a.x": "a", "b.x": "b"}
    assert plain("cost $") == r"cost \$"


def test_a_metric_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"to show \['top1'\].*\['acc', 'loss', 'mac"):
        SearchOutcome(EVALUATIONS, [], "top1", [])
