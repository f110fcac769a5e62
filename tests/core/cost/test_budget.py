"""Bounds on cost."""

from __future__ import annotations

import pytest

from mmrazor.core.cost import Budget

DENSE = {"macs": 1000, "params": 200, "latency_ms": 8.0, "size_bytes": 400}


@pytest.mark.parametrize(
    ("given_bounds", "limits"),
    [
        (dict(macs=0.5), {"macs": (0, 500)}),
        (dict(macs=1), {"macs": (0, 1000)}),
        (dict(macs=400), {"macs": (0, 400)}),
        (dict(params=(0.25, 0.5)), {"params": (50, 100)}),
        (dict(params=[0, 150]), {"params": (0, 150)}),
        (
            dict(macs=(0.1, 900), latency_ms=2.5),
            {"macs": (100, 900), "latency_ms": (0, 2.5)},
        ),
        (dict(latency_ms=0.5), {"latency_ms": (0, 4)}),
        (dict(size_bytes=0.25), {"size_bytes": (0, 100)}),
    ],
)
def test_limits(given_bounds, limits):
    assert Budget.parse(given_bounds).limits(DENSE) == limits


def test_a_budget_is_parsed_once():
    budget = Budget(macs=0.5)
    assert Budget.parse(budget) is budget
    assert Budget.parse({"macs": 0.5}) == budget


def test_all_of_a_huge_model_is_its_exact_cost():
    dense = 2**60 + 1
    assert Budget(macs=1.0).limits({"macs": dense}) == {"macs": (0, dense)}


@pytest.mark.parametrize(
    ("cfg", "error", "match"),
    [
        ({}, ValueError, r"has no bound. Give one: dict\(macs=0.5\)"),
        (0.5, TypeError, r"The budget is 0.5; say of what: dict\(macs=0.5\)"),
        (dict(mac=0.5), ValueError, "has 'mac'; it may have .* Did you mean 'macs'?"),
        (dict(macs=0), ValueError, "macs=0 is not above 0. Give a fraction of the"),
        (dict(macs=-2e9), ValueError, "macs=-2000000000.0 is not above 0"),
        (dict(macs=(-1, 5)), ValueError, r"macs=\(-1, 5\) is not above 0"),
        (dict(macs=float("nan")), ValueError, "macs=nan is not finite"),
        (dict(macs=float("inf")), ValueError, "macs=inf is not finite"),
        (dict(macs="0.5"), TypeError, "macs='0.5' is no bound. Give a fraction"),
        (dict(params=True), TypeError, "params=True is no bound"),
        (dict(params=(1, 2, 3)), TypeError, r"params=\(1, 2, 3\) is no bound"),
    ],
)
def test_budgets_that_cannot_be(cfg, error, match):
    with pytest.raises(error, match=match):
        Budget.parse(cfg)


def test_a_pair_the_wrong_way_round():
    match = r"macs=\(0.5, 400\) is from 500 to 400, of 1000 dense; the first may not"
    with pytest.raises(ValueError, match=match):
        Budget(macs=(0.5, 400)).limits(DENSE)
