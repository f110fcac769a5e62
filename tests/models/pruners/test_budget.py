"""The units that scores and a budget leave."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.core.cost import CostTable, Product
from mmrazor.core.graph.channel_group import ChannelGroup, Slot
from mmrazor.models.pruners import BudgetError, channels_per_unit, kept_units
from tests.models.pruners.toy_groups import one_each, toy_groups, toy_model


def chain(*sizes, head=10):
    """Layers one after another: group i makes what group i + 1 reads."""
    names = [f"g{i}" for i in range(len(sizes))]
    dims = [(3, {}), *((0, {name: 1}) for name in names), (head, {})]
    pairs = list(pairwise(dims))
    macs = [Product.of(f"m{i}", 100, pair) for i, pair in enumerate(pairs)]
    params = [Product.of(f"m{i}", 9, pair) for i, pair in enumerate(pairs)]
    return CostTable(dict(zip(names, sizes, strict=True)), macs, params)


def counted(kept):
    return {name: len(units) for name, units in kept.items()}


def test_global_by_hand():
    table = CostTable(
        {"a": 3, "b": 2}, [Product.of("m", 10, [(0, {"a": 1, "b": 2})])], []
    )
    scores = {"b": torch.tensor([0.3, 0.6]), "a": torch.tensor([0.9, 0.2, 0.5])}
    # a0 and b1 cost 30; with a2 it is 40, with b0 60, with a1 70.
    assert kept_units(scores, table, dict(macs=40)) == {"a": [0, 2], "b": [1]}
    assert kept_units(scores, table, dict(macs=60)) == {"a": [0, 2], "b": [0, 1]}
    # b0 does not fit into 55, a1 does
    assert kept_units(scores, table, dict(macs=55)) == {"a": [0, 1, 2], "b": [1]}


def test_local_by_hand():
    table = CostTable(
        {"a": 4, "b": 8}, [Product.of("m", 1, [(0, {"a": 1, "b": 1})])], []
    )
    scores = {"a": torch.arange(4.0), "b": -torch.arange(8.0)}
    kept = kept_units(scores, table, dict(macs=0.5), ranking="local")
    assert kept == {"a": [2, 3], "b": [0, 1, 2, 3]}


def test_groups_without_scores_keep_all():
    table = chain(4, 6)
    kept = kept_units({"g1": torch.arange(6.0)}, table, dict(macs=0.6), ranking="local")
    assert list(kept) == ["g1"]
    assert table.cost(counted(kept)).macs <= 0.6 * table.dense.macs


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(2, 20), min_size=1, max_size=4))
    table = chain(*sizes)
    seed = draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)
    scores = {n: torch.rand(s, generator=generator) for n, s in table.groups.items()}
    settings = dict(
        ranking=draw(st.sampled_from(["global", "local"])),
        divisor=draw(st.sampled_from([1, 2])),
        min_keep=draw(st.sampled_from([1, 2, 0.25])),
    )
    budget = draw(
        st.dictionaries(
            st.sampled_from(["macs", "params"]),
            st.floats(0.05, 1, allow_nan=False),
            min_size=1,
        )
    )
    return table, scores, budget, settings


@given(cases())
def test_what_is_kept(case):
    table, scores, budget, settings = case
    divisor, min_keep = settings["divisor"], settings["min_keep"]
    least = {}
    for name, size in table.groups.items():
        units = min_keep * size if isinstance(min_keep, float) else min_keep
        least[name] = min(n for n in range(size + 1) if n >= units and n % divisor == 0)
    floor = table.cost(least)
    if any(getattr(floor, k) > v * getattr(table.dense, k) for k, v in budget.items()):
        with pytest.raises(BudgetError, match="No counts of kept units meet") as info:
            kept_units(scores, table, budget, **settings)
        assert info.value.minimum == {name: getattr(floor, name) for name in budget}
        return
    kept = kept_units(scores, table, budget, **settings)
    cost = table.cost(counted(kept))
    for name, fraction in budget.items():
        assert getattr(cost, name) <= fraction * getattr(table.dense, name)
    for name, units in kept.items():
        assert len(units) >= least[name]
        assert len(units) % divisor == 0
        assert units == sorted(set(units))
        dropped = [i for i in range(table.groups[name]) if i not in units]
        ranked = scores[name].tolist()
        assert all(ranked[i] >= ranked[j] for i in units for j in dropped)
    assert kept == kept_units(dict(reversed(scores.items())), table, budget, **settings)


def test_unreachable_budgets_say_what_holds_the_cost():
    table = chain(8, 40, 4)
    scores = {name: torch.rand(size) for name, size in table.groups.items()}
    with pytest.raises(ValueError) as error:
        kept_units(scores, table, dict(macs=0.01), min_keep=4, divisor=4)
    text = str(error.value)
    dense = 100 * (3 * 8 + 8 * 40 + 40 * 4 + 4 * 10)
    least = 100 * (3 * 4 + 4 * 4 + 4 * 4 + 4 * 10)
    assert f"macs is at least {least} ({least / dense:.1%} of {dense} dense)" in text
    assert f"and may be {dense / 100:g}." in text
    assert "in groups 'g2' (5600 macs with 4 of 4 units), 'g1' (3200 macs with" in text
    assert "; 0 macs depend on none of the ranked groups." in text
    assert "Raise the budget, or lower min_keep (4) or divisor (4)." in text


def test_what_no_group_holds_is_named():
    fixed = Product.of("stem", 5000, [])
    table = CostTable({"g": 4}, [fixed, Product.of("m", 10, [(0, {"g": 1})])], [])
    with pytest.raises(ValueError, match="; 5000 macs depend on none of the ranked"):
        kept_units({"g": torch.rand(4)}, table, dict(macs=0.5))


def test_low_end_of_a_budget():
    table = CostTable({"g": 8}, [Product.of("m", 100, [(0, {"g": 1})])], [])
    scores = {"g": torch.rand(8)}
    kept = kept_units(scores, table, dict(macs=(250, 450)), divisor=2)
    assert counted(kept) == {"g": 4}
    match = "most macs below 390 that .* allow is 200, which is under .* low end, 350"
    with pytest.raises(ValueError, match=match):
        kept_units(scores, table, dict(macs=(350, 390)), divisor=2)


@pytest.mark.parametrize("ranking", ["global", "local"])
def test_latency_is_estimated(ranking):
    table = chain(8, 8)
    seen = []

    def estimate(kept):
        seen.append(set(kept))
        return 0.5 * kept["g0"] + 0.25 * kept["g1"]  # 6 ms dense

    scores = {"g0": torch.rand(8), "g1": torch.rand(8)}
    for budget, most in ((dict(latency_ms=0.5), 3.0), (dict(latency_ms=4.1), 4.1)):
        kept = kept_units(scores, table, budget, ranking=ranking, latency_ms=estimate)
        latency = estimate(counted(kept))
        assert most - 0.5 < latency <= most
    assert all(names == {"g0", "g1"} for names in seen)


def test_latency_that_cannot_be():
    table, scores = chain(4), {"g0": torch.rand(4)}
    with pytest.raises(ValueError, match="nothing estimates it. Pass latency_ms=func"):
        kept_units(scores, table, dict(latency_ms=0.5))
    with pytest.raises(ValueError, match=r"latency_ms returned nan for \{\}"):
        kept_units(scores, table, dict(latency_ms=0.5), latency_ms=lambda _: "nan")
    with pytest.raises(ValueError, match="latency_ms is at least 2 .* may be 1.5"):
        kept_units(scores, table, dict(latency_ms=1.5), latency_ms=lambda _: 2.0)


def test_costs_that_pruning_does_not_count():
    table, scores = chain(4), {"g0": torch.rand(4)}
    text = r"bounds \['size_bytes'\], which pruning does not count. Bound one of"
    with pytest.raises(ValueError, match=text):
        kept_units(scores, table, dict(macs=0.5, size_bytes=0.5))


def test_units_of_several_channels():
    table, scores = chain(6), {"g0": torch.arange(6.0)}
    settings = dict(divisor=64, channels={"g0": 32})
    kept = kept_units(scores, table, dict(macs=0.75), **settings)
    assert kept == {"g0": [2, 3, 4, 5]}
    with pytest.raises(ValueError, match=r"divisor 256 is larger than .* \(192 chan"):
        kept_units(scores, table, dict(macs=0.5), divisor=256, channels={"g0": 32})


def test_channels_per_unit():
    groups = toy_groups(toy_model())
    counts = {name: channels_per_unit(group) for name, group in groups.items()}
    # four inputs of the linear layer read each channel of the flattened map
    assert counts == {"conv.out": 1, "deconv.out": 1, "heads": 2}


def test_channels_per_unit_where_layers_differ():
    narrow, wide = one_each(2), torch.arange(6).reshape(2, 3)
    made = (Slot("a", 0, wide, "out"), Slot("b", 0, narrow, "out"))
    read = (Slot("a", 0, narrow, "other"), Slot("b", 0, wide, "in"))
    counts = [
        channels_per_unit(ChannelGroup("x", 2, slots, toy_model()))
        for slots in (made, read)
    ]
    assert counts == [1, 3]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            dict(ranking="globl"),
            "ranking is 'globl'; use one of .'global', 'local'",
        ),
        (dict(divisor=0), "divisor is 0; give a whole number"),
        (dict(divisor=2.0), "divisor is 2.0; give a whole number"),
        (dict(min_keep=0), "min_keep is 0; give a number of units from 1 on"),
        (dict(min_keep=1.5), "min_keep is 1.5; .* a float in"),
        (dict(min_keep=True), "min_keep is True"),
        (dict(scores={}), "There are no scores"),
        (dict(scores={"h": torch.rand(4)}), "scores for group 'h', which the table"),
        (dict(scores={"g0": torch.rand(3)}), r"'g0' have shape \(3,\); it has 4 units"),
        (
            dict(scores={"g0": torch.tensor([1, 2, 3, float("nan")])}),
            "'g0' are not all",
        ),
    ],
)
def test_wrong_arguments(change, match):
    arguments = dict(scores={"g0": torch.rand(4)}, budget=dict(macs=0.5))
    with pytest.raises(ValueError, match=match):
        kept_units(table=chain(4), **{**arguments, **change})
