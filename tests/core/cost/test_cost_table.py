"""The table against a plain formula, and against counts of networks really built."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mmrazor.core.cost import (
    CostTable,
    Extent,
    ModuleCost,
    Product,
    TableCost,
    count_cost,
)


def plain_cost(products, groups, kept):
    """The formula, without a line of the package."""
    return sum(
        p.factor
        * prod(
            e.const + sum(n * kept.get(g, groups[g]) for g, n in e.per_unit.items())
            for e in p.dims
        )
        for p in products
    )


@st.composite
def tables(draw):
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    groups = {name: draw(st.integers(1, 9)) for name in names}
    extents = st.builds(
        Extent,
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(names), st.integers(0, 3)),
    )
    products = st.lists(
        st.builds(
            Product,
            st.sampled_from(["x", "x.y", "z", ""]),
            st.one_of(st.integers(0, 50), st.just(2**70)),
            st.lists(extents, max_size=3).map(tuple),
        ),
        max_size=6,
    )
    macs, params = draw(products), draw(products)
    some = draw(st.sets(st.sampled_from(names)))
    kept = {name: draw(st.integers(0, groups[name])) for name in some}
    return groups, macs, params, kept


@given(tables())
def test_cost_is_the_plain_formula(case):
    groups, macs, params, kept = case
    table = CostTable(groups, macs, params)
    expected = [plain_cost(p, groups, kept) for p in (macs, params)]
    cost = table.cost(kept)
    assert [cost.macs, cost.params] == expected
    assert type(cost.macs) is type(cost.params) is int
    full = {**groups, **kept}
    assert expected == [sum(p.value(full) for p in ps) for ps in (macs, params)]
    assert table.dense == table.cost(groups)


@given(tables())
def test_by_module_adds_up_what_is_inside(case):
    groups, macs, params, kept = case
    found = CostTable(groups, macs, params).by_module(kept)
    names = {"", *(p.module for p in (*macs, *params))}
    names |= {"x" for name in names if name == "x.y"}
    assert set(found) == names
    for name, cost in found.items():
        inside = [
            [p for p in ps if not name or p.module in (name, f"{name}.y")]
            for ps in (macs, params)
        ]
        expected = [plain_cost(ps, groups, kept) for ps in inside]
        assert [cost.macs, cost.params] == expected


@given(tables())
def test_savings_are_differences_of_costs(case):
    groups, macs, params, kept = case
    table = CostTable(groups, macs, params)
    savings, now = table.savings(kept), table.cost(kept)
    assert list(savings) == list(groups)
    for name, saving in savings.items():
        count = kept.get(name, groups[name])
        less = table.cost({**kept, name: count - 1}) if count else now
        expected = TableCost(now.macs - less.macs, now.params - less.params)
        assert saving == expected


@given(tables(), st.integers(0, 9))
def test_minimum_is_below_all_choices_that_keep_as_many(case, least):
    groups, macs, params, kept = case
    table = CostTable(groups, macs, params)
    more = {
        name: max(min(least, size), kept.get(name, size))
        for name, size in groups.items()
    }
    low, high = table.minimum(least), table.cost(more)
    assert low == table.cost({n: min(least, size) for n, size in groups.items()})
    assert low.macs <= high.macs
    assert low.params <= high.params
    assert table.minimum(kept) == table.cost(kept)


def small_net(first, second):
    """Convolutions, depthwise too, a flattened map of 4 x 4 and a concatenation."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, first, 3)
            self.deep = nn.Conv2d(first, first, 3, padding=1, groups=first)
            self.tail = nn.Sequential(
                nn.BatchNorm2d(first), nn.Conv2d(first, second, 1)
            )
            self.head = nn.Linear(16 * (first + second) + 5, 7)

        def forward(self, image):
            maps = self.deep(self.conv(image))
            both = torch.cat([maps, self.tail(maps)], 1).flatten(1)
            return self.head(torch.cat([both, both.new_ones(len(both), 5)], 1))

    return Net()


def small_table(first, second):
    a, b = Extent(0, {"a": 1}), Extent(0, {"b": 1})
    flat = Extent(5, {"a": 16, "b": 16})
    rgb, batch, one = Extent(3), 2, ()
    macs = [
        Product("conv", batch * 16 * 9, (a, rgb)),
        Product("deep", batch * 16 * 9, (a,)),
        Product("tail.1", batch * 16, (b, a)),
        Product("head", batch * 7, (flat,)),
    ]
    params = [
        *(Product("conv", 9, (a, rgb)), Product("conv", 1, (a,))),
        *(Product("deep", 9, (a,)), Product("deep", 1, (a,))),
        Product("tail.0", 2, (a,)),
        *(Product("tail.1", 1, (b, a)), Product("tail.1", 1, (b,))),
        *(Product("head", 7, (flat,)), Product("head", 7, one)),
    ]
    return CostTable({"a": first, "b": second}, macs, params)


@pytest.mark.parametrize("kept", [(8, 6), (8, 1), (3, 6), (5, 2), (1, 1)])
def test_equals_the_count_of_the_smaller_network(kept):
    real = count_cost(small_net(*kept), torch.zeros(2, 3, 6, 6))
    table, kept = small_table(8, 6), dict(zip("ab", kept, strict=True))
    assert table.cost(kept) == TableCost(real.macs, real.params)
    assert table.by_module(kept) == real.by_module()


def test_products_of_plain_pairs():
    product = Product.of("conv", 9, [(3, {}), (1, {"a": 2})])
    assert product == Product("conv", 9, (Extent(3), Extent(1, {"a": 2})))
    assert product.value({"a": 4}) == 9 * 3 * 9


def test_equal_extents_and_products_are_kept_once():
    a, b = Extent(0, {"a": 1}), Extent(2, {"b": 1})
    macs = [Product(f"m{i}", i, (a, b) if i % 2 else (b, a)) for i in range(10)]
    table = CostTable({"a": 3, "b": 4}, macs, macs)
    assert table.cost({"a": 2, "b": 1}) == TableCost(45 * 2 * 3, 45 * 2 * 3)
    assert len(table._const) == 3  # with the one that stands for no extent
    assert table._factors.shape == (2, 1)


def test_counts_of_numpy_are_counts_and_halves_are_not():
    table = small_table(8, 6)
    assert table.cost({"a": np.int64(3)}) == table.cost({"a": 3})
    with pytest.raises(TypeError):
        table.cost({"a": 3.5})


def test_a_table_without_products():
    assert CostTable({"a": 2}, [], []).dense == TableCost(0, 0)
    assert CostTable({}, [Product("m", 3, ())], []).by_module({}) == {
        "": ModuleCost(3, 0),
        "m": ModuleCost(3, 0),
    }


@pytest.mark.parametrize(
    ("kept", "match"),
    [
        ({"c": 1}, "Unknown group 'c'. The table has 2 groups, such as"),
        ({"a": 9}, "Group 'a' cannot keep 9 units: it has 8"),
        ({"b": -1}, "Group 'b' cannot keep -1 units: it has 6"),
    ],
)
def test_counts_that_cannot_be(kept, match):
    with pytest.raises(ValueError, match=match):
        small_table(8, 6).cost(kept)


def test_products_that_cannot_be():
    with pytest.raises(ValueError, match="-1 indices for 'const'"):
        Extent(-1)
    with pytest.raises(ValueError, match="-2 indices for 'a'"):
        Extent(0, {"a": -2})
    with pytest.raises(ValueError, match="'conv' has factor -3"):
        Product("conv", -3, ())
    lost = Product("conv", 1, (Extent(0, {"layer1.outt": 1}),))
    match = r"'conv' depends on group 'layer1.outt'.*such as \['layer1.out'\]"
    with pytest.raises(ValueError, match=match):
        CostTable({"a": 1, "layer1.out": 2}, [], [lost])
