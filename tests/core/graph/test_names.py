from __future__ import annotations

import pytest

from mmrazor.core.graph.names import owner_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("weight", ("", "weight")),
        ("a.b.bias", ("a.b", "bias")),
        ("parametrizations.weight.original", ("", "weight")),
        ("a.parametrizations.bias.original1", ("a", "bias")),
        ("a.parametrizations.weight.0._u", ("a.parametrizations.weight.0", "_u")),
        ("a.weight_g", ("a", "weight")),
        ("a.weight_orig", ("a", "weight")),
        ("a.weight_scale", ("a", "weight_scale")),
        ("my_parametrizations.weight.x", ("my_parametrizations.weight", "x")),
    ],
)
def test_owner(name: str, expected: tuple[str, str]) -> None:
    assert owner_of(name) == expected
