"""Importances that read gradients, against what the loss really does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmrazor.core.graph.channel_group import ChannelGroup, Slot
from mmrazor.models.pruners import ImportanceError, TaylorImportance
from tests.models.pruners.toy_groups import one_each, toy_groups, toy_model


@pytest.fixture
def model():
    return toy_model()


@pytest.fixture
def images():
    return torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(1))


def gate_gradient(model, place, images):
    """Gradient of the loss with respect to a mask of ones behind a module."""
    gate = torch.ones(model[place](model[:place](images)).shape[1], requires_grad=True)
    handle = model[place].register_forward_hook(
        lambda _m, _x, y: y * gate.reshape(-1, *[1] * (y.dim() - 2))
    )
    model(images).square().sum().backward()
    handle.remove()
    return gate.grad


def test_taylor_by_hand():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, -4.0]]))
    layer.weight.grad = torch.tensor([[0.5, -1.0], [2.0, 1.0]])
    slots = (Slot("0.weight", 0, one_each(2), "out"),)
    group = ChannelGroup("0.out", 2, slots, nn.Sequential(layer))
    assert TaylorImportance()(group).tolist() == [2.5, 10.0]
    assert TaylorImportance(multivariable=True)(group).tolist() == [2.25, 4.0]
    scaled = TaylorImportance(normalization="max")(group)
    assert scaled.tolist() == [0.25, 1.0]


def test_readers_hold_the_gradient_of_a_gate(model, images):
    gate = gate_gradient(model.eval(), 4, images)
    group = toy_groups(model)["deconv.out"]
    scores = TaylorImportance(multivariable=True, roles=("in",))(group)
    torch.testing.assert_close(scores.float(), gate.square(), rtol=1e-4, atol=1e-6)


def test_several_slots_go_together(model, images):
    # weights and bias of the makers: the same gate, in front of the activation
    gate = gate_gradient(model.eval(), 3, images)
    group = toy_groups(model)["deconv.out"]
    scores = TaylorImportance(multivariable=True, roles=("out", "shift"))(group)
    torch.testing.assert_close(scores.float(), gate.square(), rtol=1e-4, atol=1e-6)


def test_filters_before_a_batch_norm_say_nothing_together(model, images):
    model.train()(images).square().sum().backward()
    group = toy_groups(model)["conv.out"]
    together = TaylorImportance(multivariable=True)(group)
    assert together.sqrt().max() < 1e-3 * TaylorImportance()(group).min()


def test_taylor_without_gradients(model):
    match = r"'conv.out': '0.weight' has no gradient. .*loss.backward\(\) on a few"
    with pytest.raises(ImportanceError, match=match):
        TaylorImportance()(toy_groups(model)["conv.out"])


def test_taylor_of_frozen_weights(model, images):
    model[0].weight.requires_grad_(False)
    model(images).sum().backward()
    with pytest.raises(ImportanceError, match=r"\(requires_grad is False\)"):
        TaylorImportance()(toy_groups(model)["conv.out"])
