"""FisherImportance outside a run: what it divides by, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmrazor.core.cost import count_cost
from mmrazor.core.graph import channel_graph
from mmrazor.models.pruners import FisherImportance, ImportanceError, prune_model
from mmrazor.models.pruners.importances.savings import channel_savings
from tests.models.pruners.toy_groups import toy_groups, toy_model


class Net(nn.Module):
    """Depthwise, shared and flattened layers, for images of 8 x 8."""

    def __init__(self, wide=6, flat=4):
        super().__init__()
        torch.manual_seed(0)
        self.wide = nn.Conv2d(3, wide, 1)
        self.deep = nn.Conv2d(wide, wide, 3, stride=2, padding=1, groups=wide)
        self.flat = nn.ConvTranspose2d(wide, flat, 2, stride=2)
        self.fc = nn.Linear(flat * 64, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x):
        x = self.deep(self.wide(x).relu()).relu()
        return self.last(self.fc(self.flat(x).relu().flatten(1)).relu())


IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def graph_of(net):
    return channel_graph(net, IMAGES[:1])


def test_savings_in_macs_are_what_narrower_models_cost_less():
    dense = count_cost(Net(), IMAGES[:1]).macs
    savings = channel_savings(graph_of(Net()), "macs", lambda: None)
    assert savings["wide.out"] == dense - count_cost(Net(wide=5), IMAGES[:1]).macs
    assert savings["flat.out"] == dense - count_cost(Net(flat=3), IMAGES[:1]).macs


def test_savings_in_activations_are_the_elements_that_layers_return():
    net = Net()
    graph = graph_of(net)
    savings = channel_savings(graph, "activations", lambda: net(IMAGES[:1]))
    # 8 x 8 of 'wide' and 4 x 4 of 'deep'; 8 x 8 of 'flat'; one of 'fc'
    assert savings == {"wide.out": 64 + 16, "flat.out": 64, "fc.out": 1}
    assert not any(module._forward_hooks for module in net.modules())
    assert set(channel_savings(graph, None, lambda: None).values()) == {1.0}


@pytest.mark.parametrize("normalize", ["macs", "activations", None])
def test_scores_are_squares_over_savings(normalize):
    net = Net()
    graph = graph_of(net)
    fisher = FisherImportance(normalize)
    with fisher.reading(graph, IMAGES[:1]):
        net(IMAGES).square().sum().backward()
    group = graph["fc.out"]
    maps = net.flat(net.deep(net.wide(IMAGES).relu()).relu()).relu()
    mask = torch.ones(4, 5, requires_grad=True)
    outputs = net.last(net.fc(maps.flatten(1)).relu() * mask)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), mask)
    expected = gradient.double().square().sum(0)
    saved = {"macs": 4 * 64 + 2, "activations": 1, None: 1}[normalize]
    torch.testing.assert_close(fisher(group), expected / saved)


def test_a_plain_model_is_pruned_by_what_was_read():
    net = Net()
    fisher = FisherImportance()
    with fisher.reading(graph_of(net)):
        for image in IMAGES:
            net(image[None]).square().sum().backward()
    pruned = prune_model(net, IMAGES[:1], dict(macs=0.5), fisher, ranking="local")
    for group in graph_of(net).groups:
        kept = pruned.kept[group.name]
        best = fisher(group).argsort(descending=True)[: len(kept)]
        assert kept == best.sort().values.tolist()


def test_groups_that_save_nothing_or_cannot_be_masked_are_named():
    class Functional(Net):
        def forward(self, x):
            x = self.deep(nn.functional.conv2d(x, self.wide.weight).relu()).relu()
            return self.last(self.fc(self.flat(x).relu().flatten(1)).relu())

    net = Functional()
    graph = graph_of(net)
    fisher = FisherImportance("activations")
    with fisher.reading(graph, IMAGES[:1]):
        net(IMAGES).sum().backward()
    with pytest.raises(ImportanceError, match="'wide.out' saves nothing .*ignore"):
        fisher(graph["wide.out"])
    assert fisher(graph["flat.out"]).shape == (4,)


@pytest.mark.parametrize(
    ("squares", "match"),
    [
        ({"x": torch.ones(3)}, r"'conv.out' has no squared mask .* 1 other"),
        ({"conv.out": torch.ones(4)}, r"has 3 channels, but .* shape \(4,\)"),
    ],
)
def test_errors(squares, match):
    fisher = FisherImportance().filled(squares, {"conv.out": 1.0})
    with pytest.raises(ImportanceError, match=match):
        fisher(toy_groups(toy_model())["conv.out"])


def test_bad_settings():
    with pytest.raises(ValueError, match="normalize='flops'; use one of"):
        FisherImportance("flops")
    with (
        pytest.raises(ValueError, match=r"Give reading\(graph, inputs\)"),
        FisherImportance("activations").reading(graph_of(Net())),
    ):
        pass
