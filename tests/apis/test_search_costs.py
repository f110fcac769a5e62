from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.config import Config
from torch import nn

from mmrazor.apis import search_costs
from mmrazor.core.cost import ModuleCost, SpaceCost


class Source:
    """In place of what makes inputs of a config."""

    def __init__(self, *_: Any) -> None:
        pass

    def example(self, _: Any) -> tuple[None, None]:
        return None, None


@pytest.mark.parametrize(
    ("wanted", "uncounted", "says"),
    [
        ({"macs"}, {"aten._fft_r2c": 2}, True),
        ({"params"}, {"aten._fft_r2c": 2}, False),
        ({"macs"}, {}, False),
    ],
)
def test_a_search_by_macs_says_what_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
    wanted: set[str],
    uncounted: dict[str, int],
    says: bool,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "mmrazor.core.cost.uncounted.print_log",
        lambda message, **_: said.append(message),
    )
    monkeypatch.setattr(search_costs, "PruneSource", Source)
    monkeypatch.setattr(search_costs, "architecture_of", lambda _: None)
    cost = SpaceCost(ModuleCost(100, 1), [], None, uncounted)
    model: Any = SimpleNamespace(
        architecture=nn.Identity(), space_cost=lambda inputs: cost
    )
    settings: Any = SimpleNamespace(costs=lambda: wanted, image_size=None, prefix="")
    steps: Any = SimpleNamespace(step=nullcontext)
    search_costs.SearchCosts.of(Config(), model, settings, Path(), False, steps)
    assert bool(said) == says
    if says:
        assert "The MACs of Identity leave out aten._fft_r2c (2x)" in said[0]
