from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from mmrazor.core.cost import device_name, measure_latency


class Sleeper(nn.Module):
    """Takes 20 ms, its first pass ten times as long."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def forward(self, x):
        self.calls.append(len(x))
        time.sleep(0.2 if len(self.calls) == 1 else 0.02)
        assert not self.training
        return x


def test_milliseconds_without_the_warm_up() -> None:
    model = Sleeper()
    stats = measure_latency(model, torch.zeros(1), warmup=1, repeats=5)
    assert len(model.calls) == 6
    assert stats.repeats == 5
    assert 20 <= stats.min_ms <= stats.median_ms <= stats.max_ms < 150
    assert stats.min_ms <= stats.mean_ms <= stats.max_ms
    assert model.training


def test_single_pass_has_no_spread() -> None:
    stats = measure_latency(nn.Identity(), torch.zeros(1), warmup=0, repeats=1)
    assert stats.std_ms == 0.0


@pytest.mark.parametrize("counts", [dict(repeats=0), dict(warmup=-1)])
def test_counts_that_make_no_sense(counts) -> None:
    with pytest.raises(ValueError, match="at least"):
        measure_latency(nn.Identity(), torch.zeros(1), **counts)


def test_a_cpu_is_named_with_its_threads() -> None:
    assert device_name("cpu").endswith(f", {torch.get_num_threads()} threads")
    assert device_name("meta") == "meta"
