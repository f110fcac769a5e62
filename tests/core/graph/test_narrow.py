"""A model that runs on views against the slimmed copy of it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import Cuts, channel_graph, slim
from mmrazor.core.graph.narrow import Widths, narrow_plan, running_narrow
from mmrazor.core.graph.swap import running_scaled, scratch_buffers
from tests.core.graph import (
    attention_blocks,
    conv_blocks,
    image_blocks,
    norm_blocks,
    part_blocks,
    token_blocks,
)
from tests.core.graph.checking import random_kept, with_random_values
from tests.core.graph.kept_parts import parts_of
from tests.core.graph.networks import ImageNet, TokenNet
from tests.core.graph.toys import Net, conv, image, net

IMAGES = (conv_blocks, norm_blocks, part_blocks, image_blocks)
TOKENS = (attention_blocks, token_blocks)
BLOCKS = {
    name: (ImageNet if module in IMAGES else TokenNet, block)
    for module in (*IMAGES, *TOKENS)
    for name, block in inspect.getmembers(module, inspect.isclass)
    if hasattr(block, "prunable") and block.__module__ == module.__name__
}


def assert_runs_like_slim(
    model: nn.Module, x: Any, cuts: Cuts, tolerance: float = 0.0
) -> None:
    """Compare output, gradients (to a tolerance) and buffers of one step."""
    small = slim(model, cuts)
    before = copy.deepcopy(model)
    old = {name: id(p) for name, p in model.named_parameters()}
    torch.manual_seed(1)
    expected = small(x)
    expected.square().sum().backward()
    torch.manual_seed(1)
    with running_narrow(narrow_plan(model, cuts)):
        found = model(x)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    assert old == {name: id(p) for name, p in model.named_parameters()}
    of_small = dict(small.named_parameters())
    for name, parameter in model.named_parameters():
        gradient = torch.zeros_like(parameter)
        assert parameter.shape == before.get_parameter(name).shape
        if of_small[name].grad is not None:
            gradient[parts_of(cuts, name, parameter)] = of_small[name].grad
        else:
            assert parameter.grad is None
            continue
        close = {"rtol": tolerance, "atol": tolerance}
        torch.testing.assert_close(parameter.grad, gradient, **close)
    of_small = dict(small.named_buffers())
    for name, buffer in model.named_buffers():
        wanted = before.get_buffer(name).clone()
        if wanted.dim():
            wanted[parts_of(cuts, name, wanted)] = of_small[name]
        else:
            wanted = of_small[name]
        assert torch.equal(buffer, wanted), name
    for module, twin in zip(model.modules(), before.modules(), strict=True):
        assert vars(module).keys() == vars(twin).keys()
        numbers = {k: v for k, v in vars(twin).items() if isinstance(v, (int, tuple))}
        assert {k: vars(module)[k] for k in numbers} == numbers


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "any"])
@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_computes_what_its_slimmed_copy_does(
    name: str, prefix: bool
) -> None:
    kind, block = BLOCKS[name]
    model = with_random_values(kind([block]))
    x = model.inputs()
    graph = channel_graph(model, x)
    kept = random_kept(graph, 3)
    if prefix:
        kept = {name: list(range(len(units))) for name, units in kept.items()}
    # matrix products with a weight of larger strides may round otherwise backwards
    tolerance = 0.0 if kind is ImageNet else 1e-5
    assert_runs_like_slim(model.train(), x, graph.cuts(kept), tolerance)


def toy() -> Net:
    return net(
        lambda m, x: m.o(m.n(m.a(x)).relu()),
        a=conv(3, 8),
        n=nn.BatchNorm2d(8),
        o=conv(8, 2),
    ).train()


def test_a_prefix_is_a_view() -> None:
    model = toy()
    plan = narrow_plan(model, channel_graph(model, image()).cuts({"a.out": range(3)}))
    storage = model.a.weight.data_ptr()
    with running_narrow(plan):
        assert model.a.weight.data_ptr() == storage
        assert model.a.weight.shape == (3, 3, 1, 1)
        assert model.n.num_features == model.o.in_channels == 3
        model.n.running_mean.fill_(7)
    assert (model.n.running_mean == 7).tolist() == [True] * 3 + [False] * 5


def test_all_comes_back_after_an_error() -> None:
    model = toy()
    plan = narrow_plan(model, channel_graph(model, image()).cuts({"a.out": [1, 4]}))
    before = model.a.weight
    with pytest.raises(RuntimeError, match="expected input"), running_narrow(plan):
        model(image(channels=4))
    assert model.a.weight is before
    assert model.n.num_features == model.o.in_channels == 8


def test_a_tensor_and_a_module_in_two_places() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.twin(m.b(m.a(x)).relu()).relu()
        return m.o(y + m.a(x))

    model = net(forward, a=conv(3, 6), b=conv(6, 6), twin=conv(6, 6), o=conv(6, 2))
    model.twin.weight = model.b.weight
    model.again = model.o
    graph = channel_graph(model, image())
    assert_runs_like_slim(model, image(), graph.cuts(random_kept(graph, 1)))


def test_recurrent_modes_hooks_and_frozen_parameters() -> None:
    model = toy()
    model.n.eval()
    model.a.bias.requires_grad_(False)
    calls = []
    model.a.register_forward_hook(lambda *_: calls.append(1))
    assert_runs_like_slim(
        model, image(), channel_graph(model, image()).cuts({"a.out": [0, 5]})
    )
    assert len(calls) == 3  # the trace's, the copy's, the model's own


def test_attention_is_replaced_for_the_time() -> None:
    model = with_random_values(TokenNet([attention_blocks.TorchAttention]))
    graph = channel_graph(model, model.inputs())
    layer = model.blocks[0].attention if hasattr(model.blocks[0], "attention") else None
    kinds = [type(m) for m in model.modules()]
    cuts = graph.cuts(random_kept(graph, 0))
    assert cuts.replaced
    with running_narrow(narrow_plan(model, cuts)):
        assert [type(m) for m in model.modules()] != kinds
    assert [type(m) for m in model.modules()] == kinds
    assert layer is None or layer is model.blocks[0].attention


def test_plans_are_made_once_and_the_oldest_are_forgotten() -> None:
    model = toy()
    widths = Widths(channel_graph(model, image()), num_plans=2)
    first = widths.plan({"a.out": 3})
    widths.plan({"a.out": 4})
    assert widths.plan({"a.out": 3}) is first
    widths.plan({"a.out": 5})
    assert widths.plan({"a.out": 3}) is first
    with widths.at({"a.out": 4}):
        assert model(image()).shape == (2, 2, 6, 6)
        assert len(model.a.bias) == 4
    with torch.no_grad():
        model.a.weight.mul_(2)  # a plan holds no tensors
    with widths.at({"a.out": 3}):
        assert torch.equal(model.a.weight, widths.graph.model.a.weight)
        assert model.a.weight.data_ptr() == first.tensors[0].full().data_ptr()


def test_scaled_weights_equal_a_scaled_input() -> None:
    model, x = toy().eval(), image()
    factors = torch.rand(8, requires_grad=True)
    with running_scaled(model, {("o.weight", 1): factors}):
        found = model(x)
    hidden = model.n(model.a(x)).relu()
    other = factors.detach().clone().requires_grad_()
    expected = model.o(hidden * other[:, None, None])
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found.square().sum(), [factors, model.o.weight])
    wanted = torch.autograd.grad(expected.square().sum(), [other, model.o.weight])
    for one, two in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_scratch_buffers_forget() -> None:
    model = toy()
    before = copy.deepcopy(dict(model.named_buffers()))
    places = {name: id(buffer) for name, buffer in model.named_buffers()}
    graph = channel_graph(model, image())
    kept: Mapping[str, list[int]] = {"a.out": [0, 3]}
    plan = narrow_plan(model, graph.cuts(kept))
    with scratch_buffers(model), running_narrow(plan):
        model(image())
        assert not torch.equal(model.n.running_mean, before["n.running_mean"][[0, 3]])
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name])
        assert id(buffer) == places[name]
