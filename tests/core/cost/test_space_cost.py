from __future__ import annotations

import pytest

from mmrazor.core.cost import CostTerm, ModuleCost, SpaceCost, TableCost


def term(module: str, names: tuple[str, ...], macs: dict) -> CostTerm:
    costs = {key: ModuleCost(number, number // 10) for key, number in macs.items()}
    return CostTerm(module, names, costs)


@pytest.fixture
def stage() -> SpaceCost:
    """A stage of one or two blocks, each with a choice of two operations."""
    depths = {
        (d, op): (10 if op == "a" else 30) * (d > 1) for d in (1, 2) for op in "ab"
    }
    return SpaceCost(
        ModuleCost(100, 7),
        [
            term("net.0", ("op0",), {("a",): 10, ("b",): 30}),
            term("net.1", ("depth", "op1"), depths),
            term("head", ("op0",), {("a",): 1000, ("b",): 0}),
        ],
        {
            "": ModuleCost(100, 7),
            "net": ModuleCost(40, 3),
            "net.0": ModuleCost(0, 0),
            "head": ModuleCost(5, 1),
        },
        {"aten.fft": 2},
    )


def test_the_cost_is_the_sum(stage: SpaceCost) -> None:
    values = {"op0": "b", "depth": 2, "op1": "a", "elsewhere": 3}
    assert stage.cost(values) == TableCost(100 + 30 + 10 + 0, 7 + 3 + 1 + 0)
    assert stage.cost({**values, "depth": 1}) == TableCost(130, 10)
    assert stage.cost({**values, "op0": "a"}).macs == 100 + 10 + 10 + 1000


def test_the_range_is_reached_where_terms_share_choices(stage: SpaceCost) -> None:
    found = stage.range()
    assert stage.range_is_exact
    every = [
        stage.cost({"op0": a, "depth": d, "op1": b})
        for a in "ab"
        for d in (1, 2)
        for b in "ab"
    ]
    assert found["macs"] == (min(c.macs for c in every), max(c.macs for c in every))
    assert found["params"] == (
        min(c.params for c in every),
        max(c.params for c in every),
    )
    assert found["macs"][0] == 130  # least apart would be 110


def test_a_module_alone(stage: SpaceCost) -> None:
    net = stage.restricted_to("net")
    assert net.cost({"op0": "b", "depth": 2, "op1": "b"}) == TableCost(100, 9)
    assert net.restricted_to("net.0").cost({"op0": "b"}) == TableCost(30, 3)
    assert net.uncounted == stage.uncounted == {"aten.fft": 2}
    assert stage.restricted_to("") is stage
    with pytest.raises(ValueError, match="no module 'nett'.*Near names: \\['net"):
        stage.restricted_to("nett")


def test_values_without_a_cost_are_named(stage: SpaceCost) -> None:
    with pytest.raises(ValueError, match="lack the choices \\['depth', 'op1'\\]"):
        stage.cost({"op0": "a"})
    with pytest.raises(ValueError, match="'op1': 'c'.* is not known.*\\(1, 'a'\\)"):
        stage.cost({"op0": "a", "depth": 2, "op1": "c"})
    with pytest.raises(ValueError, match="'op0': \\[1\\]"):
        stage.cost({"op0": [1], "depth": 2, "op1": "a"})


def test_a_term_needs_the_cost_of_all_values() -> None:
    full = term("a", ("op",), {("x",): 1, ("y",): 2})
    part = term("b", ("op",), {("x",): 1})
    with pytest.raises(ValueError, match="'b' has 1 costs, and there are 2 values"):
        SpaceCost(ModuleCost(0, 0), [full, part])
