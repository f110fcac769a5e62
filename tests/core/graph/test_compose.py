"""Cuts in turn equal one cut; cuts are taken back exactly."""

import copy

import pytest
import torch
from torch import nn

from mmrazor.core.graph import (
    Cuts,
    PrunedMultiheadAttention,
    channel_graph,
    slim,
    slim_,
)
from mmrazor.core.graph.compose import Undo, composed


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 16, 5),
    ), torch.randn(2, 3, 4, 4)


def attention():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0, batch_first=True)
    return nn.Sequential(layer, nn.Linear(16, 3)), torch.randn(2, 5, 16)


def cuts_of(model, inputs, share):
    """Cuts that keep the last units of every group."""
    graph = channel_graph(model, inputs)
    assert graph.groups
    return graph.cuts(
        {
            g.name: range(g.size - max(1, int(g.size * share)), g.size)
            for g in graph.groups
        }
    )


@pytest.mark.parametrize("make", [convolutions, attention])
def test_two_cuts_in_turn_equal_one(make):
    model, inputs = make()
    model.eval()
    first = cuts_of(model, inputs, 0.75)
    once = slim(model, first)
    second = cuts_of(once, inputs, 0.67)
    twice = slim(once, second)
    both = slim(model, composed(first, second))
    assert str(both) == str(twice)
    assert len(twice.state_dict()) == len(both.state_dict())
    for name, value in twice.state_dict().items():
        assert torch.equal(both.state_dict()[name], value), name
    assert torch.equal(both(inputs), twice(inputs))
    assert sum(p.numel() for p in twice.parameters()) < sum(
        p.numel() for p in once.parameters()
    )


def test_heads_were_cut_in_both():
    model, inputs = attention()
    first = cuts_of(model, inputs, 0.75)
    once = slim(model, first)
    twice = slim(once, cuts_of(once, inputs, 0.67))
    assert isinstance(twice[0].self_attn, PrunedMultiheadAttention)
    assert (once[0].self_attn.num_heads, twice[0].self_attn.num_heads) == (3, 2)


def test_nothing_then_cuts_is_the_cuts():
    cuts = Cuts({"w": {0: [1]}}, {"": {"n": 1}}, {"a": "PrunedMultiheadAttention"})
    assert composed(Cuts(), cuts) == cuts == composed(cuts, Cuts())


@pytest.mark.parametrize("make", [convolutions, attention])
def test_undo_puts_everything_back(make):
    model, inputs = make()
    model.eval()
    before = copy.deepcopy(model)
    parameters = dict(model.named_parameters())
    cuts = cuts_of(model, inputs, 0.5)
    undo = Undo(model, cuts)
    slim_(model, cuts)
    assert str(model) != str(before)
    undo.apply_(model)
    assert str(model) == str(before)
    for name, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert all(p is parameters[name] for name, p in model.named_parameters())
    assert torch.equal(model(inputs), before(inputs))


def test_undo_follows_the_model_to_another_type():
    model, inputs = attention()
    cuts = cuts_of(model, inputs, 0.5)
    undo = Undo(model, cuts)
    slim_(model, cuts)
    model.double()
    undo.apply_(model)
    assert model(inputs.double()).dtype == torch.float64
    assert {p.dtype for p in model.parameters()} == {torch.float64}
