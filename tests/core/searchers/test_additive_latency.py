"""Latency of Subnets, fitted to some of them."""

from __future__ import annotations

import numpy as np
import pytest

from mmrazor.core.searchers.additive_latency import AdditiveLatency
from mmrazor.core.space import KeepChannels, SearchSpace
from tests.core.searchers.toys import toy_space


def true_ms(values):
    return 5.0 + sum(i * v**0.5 for i, v in enumerate(values.values(), 1))


def test_a_sum_is_found_exactly():
    space, measured = toy_space(), []

    def measure(values):
        measured.append(values)
        return true_ms(values)

    latency = AdditiveLatency.fitted(space, measure)
    assert len(measured) == 3 * (5 * 3 + 1)
    assert latency.error < 1e-9
    rng = np.random.default_rng(9)
    for values in (space.sample(rng) for _ in range(20)):
        assert latency(values) == pytest.approx(true_ms(values))
    ends = [true_ms(dict.fromkeys("abcde", width)) for width in (1, 4)]
    assert latency.range() == pytest.approx(tuple(ends))


def test_the_error_is_that_of_subnets_that_were_not_fitted():
    noise = np.random.default_rng(1)

    def measure(values):
        return true_ms(values) * noise.uniform(0.9, 1.1)

    latency = AdditiveLatency.fitted(toy_space(), measure, 100)
    assert 0.01 < latency.error < 0.12


def test_round_trip(tmp_path):
    space = toy_space()
    latency = AdditiveLatency.fitted(space, true_ms)
    file = latency.save(tmp_path / "latency.json")
    loaded = AdditiveLatency.load(file, space)
    values = dict.fromkeys("abcde", 2)
    assert loaded(values) == latency(values)
    assert (loaded.error, loaded.range()) == (latency.error, latency.range())
    with pytest.raises(ValueError, match="of space .* not .* Measure this space anew"):
        AdditiveLatency.load(file, toy_space(("a", "b")))
    for text in ("", "[]", "{}"):
        file.write_text(text)
        with pytest.raises(ValueError, match="holds no latency of Subnets"):
            AdditiveLatency.load(file, space)


def test_what_cannot_be_fitted():
    with pytest.raises(ValueError, match="num_subnets=18 is too few to fit 16 numbers"):
        AdditiveLatency.fitted(toy_space(), true_ms, 18)
    with pytest.raises(ValueError, match="times must be above 0 and finite"):
        AdditiveLatency.fitted(toy_space(), lambda values: float("nan"))
    keep = SearchSpace([KeepChannels("out", 4)])
    with pytest.raises(ValueError, match="'out' is a KeepChannels, .* Bound macs or"):
        AdditiveLatency.fitted(keep, true_ms)
    with pytest.raises(ValueError, match="a number for each value of a Choice"):
        AdditiveLatency(toy_space(), 1.0, {"a": [1.0]}, 0.0)
