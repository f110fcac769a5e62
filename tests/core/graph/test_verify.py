"""The comparison with the silenced original sees mistakes; the model stays."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.core.graph import (
    Cuts,
    channel_graph,
    relative_difference,
    slim,
    verify,
    verify_cuts,
)
from mmrazor.core.graph.difference import compared, finite_share, sampled
from mmrazor.core.graph.silence import silenced_output
from tests.core.graph.checking import run
from tests.core.graph.toys import Net, conv, image, net, tokens

NAN = float("nan")


def plain() -> Net:
    return net(
        lambda m, x: m.o(m.n(m.a(x)).relu()),
        a=conv(3, 8),
        n=nn.BatchNorm2d(8),
        o=conv(8, 2),
    )


def with_norm() -> Net:
    return net(
        lambda m, x: m.o(m.n(m.a(x))),
        a=nn.Linear(4, 8),
        n=nn.LayerNorm(8),
        o=nn.Linear(8, 2),
    )


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [
        ([2.0, -4.0], [2.0, -4.0], 0.0),
        ([2.0, -4.0], [3.0, -4.0], 0.25),
        ([0.0, 0.0], [0.0, 1e-13], 0.1),  # what is next to nothing is compared to 1e-12
        ([1.0, NAN], [1.0, NAN], 0.0),
        ([1.0, NAN], [1.0, 2.0], float("inf")),
        ([1.0, 2.0], [1.0, NAN], float("inf")),
        ([1.0, float("inf")], [1.0, float("inf")], 0.0),
        ([1.0, float("inf")], [1.0, 5.0], float("inf")),
    ],
)
def test_relative_difference(
    expected: list[float], actual: list[float], difference: float
) -> None:
    a, b = (torch.tensor(v, dtype=torch.float64) for v in (expected, actual))
    assert relative_difference(a, b) == pytest.approx(difference)
    assert relative_difference({"x": [a, 3]}, {"x": [b, 3]}) == pytest.approx(
        difference
    )


def test_outputs_of_other_shapes_or_numbers() -> None:
    one, two = torch.ones(1), torch.ones(2)
    assert relative_difference(one, two) == float("inf")
    assert relative_difference([one, one], [one]) == float("inf")
    assert relative_difference(torch.tensor([1]), torch.tensor([2])) == 0  # no floats


def test_share_of_finite_numbers() -> None:
    assert finite_share([torch.tensor([1.0, NAN]), torch.tensor([3])]) == 0.5
    assert finite_share(torch.tensor([1])) == 0
    assert finite_share(None) == 0


@pytest.mark.parametrize(("model", "x"), [(plain(), image()), (with_norm(), tokens())])
def test_right_cuts_pass(model: Net, x: Tensor) -> None:
    graph = channel_graph(model, x)
    kept = {"a.out": [1, 5]}
    cuts = graph.cuts(kept)
    assert verify_cuts(graph, kept, cuts, slim(model, cuts), x) <= 1e-6


@pytest.mark.parametrize(("model", "x"), [(plain(), image()), (with_norm(), tokens())])
@pytest.mark.parametrize(
    "slot", ["a.weight", "a.bias", "n.weight", "n.bias", "o.weight"]
)
def test_one_wrong_slot_is_seen(model: Net, x: Tensor, slot: str) -> None:
    graph = channel_graph(model, x)
    kept = {"a.out": [1, 5]}
    cuts = graph.cuts(kept)
    (axis,) = cuts.slots[slot]
    wrong = dataclasses.replace(cuts, slots={**cuts.slots, slot: {axis: [1, 4]}})
    assert verify(graph, kept, slim(model, wrong), x) > 1e-2
    assert verify_cuts(graph, kept, wrong, slim(model, wrong), x) > 1e-2


def test_a_missing_slot_is_seen() -> None:
    """A norm of a part of the channels is another norm, though all shapes fit."""
    model = net(
        lambda m, x: m.o(F.layer_norm(m.a(x), (len(m.a.bias),))),
        a=nn.Linear(4, 8),
        o=nn.Linear(8, 2),
    )
    x = tokens()
    graph = channel_graph(model, x)
    kept = {"a.out": list(range(6))}
    zeroed = copy.deepcopy(model)  # what silencing by zeros alone would give
    with torch.no_grad():
        zeroed.a.weight[6:] = 0
        zeroed.a.bias[6:] = 0
        zeroed.o.weight[:, 6:] = 0
    small = slim(model, graph.cuts(kept))
    assert verify(graph, kept, small, x) <= 1e-6
    assert relative_difference(run(zeroed, x), run(small, x)) > 1e-2


def test_weights_that_hide_mistakes() -> None:
    """A head of zeros makes every output equal; random weights tell."""
    model, x = plain(), image()
    model.o.weight.data.zero_()
    graph = channel_graph(model, x)
    kept = {"a.out": [1, 5]}
    cuts = graph.cuts(kept)
    wrong = dataclasses.replace(cuts, slots={**cuts.slots, "o.weight": {1: [0, 1]}})
    assert verify(graph, kept, slim(model, wrong), x) == 0
    assert verify_cuts(graph, kept, wrong, slim(model, wrong), x) > 1e-2
    assert verify_cuts(graph, kept, cuts, slim(model, cuts), x) <= 1e-6


def test_float32_may_be_too_coarse() -> None:
    """A difference of large numbers is noise in float32; float64 tells."""
    model = net(
        lambda m, x: (m.o(m.a(x)) + m.large) - m.large,
        a=conv(3, 8),
        o=conv(8, 2),
        large=nn.Parameter(torch.zeros(1)),
    )
    model.large.data.fill_(2.0**20)
    x = image()
    graph = channel_graph(model, x)
    kept = {"a.out": [1, 5, 7]}
    cuts = graph.cuts(kept)
    small = slim(model, cuts)
    assert verify_cuts(graph, kept, cuts, small, x) <= 1e-4
    assert model.large.dtype == torch.float32
    assert model.large == 2.0**20


@pytest.mark.parametrize(("model", "x"), [(plain(), image()), (with_norm(), tokens())])
def test_the_model_is_left_as_it_was(model: Net, x: Tensor) -> None:
    model.train()
    before = copy.deepcopy(model.state_dict())
    pointers = [p.data_ptr() for p in model.parameters()]
    graph = channel_graph(model, x)
    kept = {"a.out": [1, 5]}
    silenced_output(graph, kept, x)
    cuts = graph.cuts(kept)
    verify_cuts(graph, kept, cuts, slim(model, cuts), x)
    assert pointers == [p.data_ptr() for p in model.parameters()]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert model.training


def test_values_come_back_after_an_error() -> None:
    model, x = plain(), image()
    before = copy.deepcopy(model.state_dict())
    graph = channel_graph(model, x)
    with pytest.raises(RuntimeError):
        silenced_output(graph, {"a.out": [0]}, image(5))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_random_state_is_left_as_it_was() -> None:
    model, x = plain(), image()
    graph = channel_graph(model, x)
    state = torch.get_rng_state()
    cuts = graph.cuts({"a.out": [0]})
    verify_cuts(graph, {"a.out": [0]}, cuts, slim(model, cuts), x)
    assert torch.equal(state, torch.get_rng_state())


def test_nothing_dropped_is_the_original() -> None:
    for model, x in ((plain(), image()), (with_norm(), tokens())):
        graph = channel_graph(model, x)
        assert torch.equal(silenced_output(graph, {}, x), run(model, x))
        assert verify(graph, {}, slim(model, Cuts()), x) == 0


def test_what_modules_return_is_compared() -> None:
    model, x = plain(), image()
    other = copy.deepcopy(model)
    with sampled(model) as first:
        run(model, x)
    with sampled(other) as second:
        run(other, x)
    same = compared(first, second)
    assert same.worst == 0
    assert same.numbers == 2 * 6 * 6 * (8 + 8 + 2 + 2)  # a, n, o and the model itself
    other.n.bias.data[3] += 1
    with sampled(other) as third:
        run(other, x)
    assert compared(first, third).worst > 1e-2
    assert not any(m._forward_hooks for m in model.modules())


def test_modules_of_other_widths_are_not_compared() -> None:
    model, x = plain(), image()
    graph = channel_graph(model, x)
    small = slim(model, graph.cuts({"a.out": [0, 1]}))
    with sampled(model) as first:
        run(model, x)
    with sampled(small) as second:
        run(small, x)
    assert compared(first, second).numbers == 2 * 6 * 6 * (2 + 2)
