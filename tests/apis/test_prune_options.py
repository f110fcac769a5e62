from __future__ import annotations

import pytest

from mmrazor.apis.prune_options import parse_budget, parse_importance, parse_min_keep


def test_budgets() -> None:
    assert parse_budget(["macs=0.5", "params=2e6", "latency_ms=12"]) == {
        "macs": 0.5,
        "params": 2e6,
        "latency_ms": 12.0,
    }
    assert parse_budget(["macs=(0.4, 0.5)"]) == {"macs": (0.4, 0.5)}


@pytest.mark.parametrize(
    "word", ["0.5", "macs", "macs:0.5", "macs=", "macs=half", "=1"]
)
def test_bad_syntax_of_a_budget(word: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not NAME=NUMBER. Write macs=0.5 for half"
    ):
        parse_budget([word])


def test_other_faults_of_a_budget() -> None:
    with pytest.raises(ValueError, match=r"macs=1,2,3' is not NAME=NUMBER"):
        parse_budget(["macs=1,2,3"])
    with pytest.raises(ValueError, match="budget has macs twice"):
        parse_budget(["macs=0.5", "macs=0.4"])
    with pytest.raises(ValueError, match=r"'mac'; it may have .*Did you mean 'macs'"):
        parse_budget(["mac=0.5"])
    with pytest.raises(ValueError, match=r"macs=-1.0 is not above 0"):
        parse_budget(["macs=-1"])


def test_other_names_of_a_budget() -> None:
    names = ("size_bytes",)
    assert parse_budget(["size_bytes=0.5"], names) == {"size_bytes": 0.5}
    with pytest.raises(ValueError, match=r"Write size_bytes=0.5 .* are size_bytes\."):
        parse_budget(["0.5"], names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L1Importance", "L1Importance"),
        ("mmrazor.L1Importance ", "mmrazor.L1Importance"),
        ("dict(type='L1Importance')", {"type": "L1Importance"}),
        (
            '{"type": "TaylorImportance", "roles": ["in"]}',
            {"type": "TaylorImportance", "roles": ["in"]},
        ),
        (
            "dict(type='RandomImportance', seed=-3 + 4)",
            None,
        ),
        ("dict(type='L1Importance', reduction=open('a'))", None),
        ("list(type='L1Importance')", None),
        ("dict('L1Importance')", None),
        ("dict(**{'type': 'L1Importance'})", None),
        ("dict(reduction='max')", None),
        ("L1 Importance", None),
        ("__import__('os').getcwd()", None),
    ],
)
def test_importances(text: str, expected: object) -> None:
    if expected is not None:
        assert parse_importance(text) == expected
        return
    with pytest.raises(ValueError, match="no name and no dict of plain values"):
        parse_importance(text)


def test_units_or_a_fraction() -> None:
    assert isinstance(parse_min_keep("8"), int)
    assert parse_min_keep("0.25") == 0.25
    with pytest.raises(ValueError, match="convert"):
        parse_min_keep("all")
