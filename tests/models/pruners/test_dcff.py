"""Which filters are fused, on any network, and what is refused."""

import pytest
import torch
from torch import nn

from mmrazor.core.cost import count_cost
from mmrazor.models.ops import FuseConv2d
from mmrazor.models.pruners import DCFFPruner, NothingPrunableError

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Own(nn.Conv2d):
    """A convolution of the user's."""


class Net(nn.Module):
    """All that a convolution can share its channels with."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.frozen = nn.Conv2d(8, 8, 1).requires_grad_(False)
        self.own = Own(8, 8, 1)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=2)
        self.halves = nn.Conv2d(16, 12, 1)
        self.up = nn.ConvTranspose2d(6, 10, 2, 2)
        self.hidden = nn.Linear(10, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.frozen(x) + self.own(x)
        first, second = self.halves(self.grouped(x).relu()).chunk(2, 1)
        x = self.up(first * second.sigmoid())
        return self.head(self.hidden(x.mean((2, 3))).relu())


def pruner_of(**settings):
    return DCFFPruner(**{"budget": {"macs": 0.5}, "inputs": IMAGES, **settings})


def fused(model, **settings):
    pruner = pruner_of(**settings)
    plan = pruner.plan(pruner.decide(model, 1.0))
    pruner.fuse_(model, *plan)
    return pruner


def test_trained_convolutions_of_one_group_are_fused_and_others_cut():
    model = Net()
    dense = count_cost(model, IMAGES).macs
    pruner = fused(model)
    found = {n for n, m in model.named_modules() if isinstance(m, FuseConv2d)}
    assert found == {"stem", "grouped", "halves"}
    kept = {name: len(units) for name, units in pruner.state.kept.items()}
    assert len(model.stem.weight) == 8 > model.stem.out_channels
    assert len(model.frozen.weight) == len(model.own.weight) == model.stem.out_channels
    rows = model.stem.rows()
    assert torch.equal(model.frozen.weight, Net().frozen.weight[rows][:, rows])
    assert len(model.halves.weight) == 12
    # of one group in two halves: a unit is one channel of each
    assert model.halves.units.tolist() == [[i, i + 6] for i in range(6)]
    assert model.up.weight.shape[:2] == (model.halves.out_channels // 2, 10)
    # what no convolution makes keeps its size
    assert model.hidden.weight.shape == (16, 10)
    assert "hidden.out" not in kept
    model(IMAGES).sum().backward()
    assert bool((model.stem.weight.grad.flatten(1).norm(dim=1) > 0).all())
    pruner.fix_(model)
    assert pruner.finished
    cost = count_cost(model, IMAGES)
    assert cost.macs == pruner.state.cost().macs
    assert cost.params == pruner.state.cost().params
    assert cost.macs <= 0.5 * dense


def test_shares_are_the_same_for_all_groups():
    model = nn.Sequential(
        *(nn.Conv2d(i, o, 1) for i, o in ((3, 40), (40, 80), (80, 40), (40, 2)))
    )
    fused(model)
    shares = [layer.out_channels / len(layer.weight) for layer in model[:3]]
    assert max(shares) - min(shares) < 2 / 40
    assert max(shares) < 1
    assert type(model[3]) is nn.Conv2d


def test_the_first_representatives_differ_most_in_the_dense_network():
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[[1, 4], [0, 1]] = 3.0  # alike all but two
    fused(model, budget={"params": 14})
    assert model[0].representatives.tolist() == [1, 4]


def test_the_same_parameter_in_two_layers_is_cut():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
            self.b.weight = self.a.weight
            self.c = nn.Conv2d(8, 8, 1)
            self.d = nn.Conv2d(8, 2, 1)

        def forward(self, x):
            return self.d(self.c(self.a(x) + self.b(x)))

    model = Tied()
    fused(model)
    found = {n for n, m in model.named_modules() if isinstance(m, FuseConv2d)}
    assert found == {"c"}
    model(IMAGES)


def test_a_layer_under_two_names_is_fused_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
            self.again = self.a

        def forward(self, x):
            return self.b(self.again(x) + self.a(x).relu())

    model = Twice()
    pruner = fused(model)
    assert model.a is model.again
    assert isinstance(model.a, FuseConv2d)
    pruner.fix_(model)
    assert model.a is model.again
    assert type(model.a) is nn.Conv2d


def test_a_network_without_convolutions_is_refused():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(NothingPrunableError, match="no convolution all of whose"):
        pruner_of(inputs=torch.zeros(1, 4)).decide(model, 1.0)


def test_ignored_layers_keep_their_size():
    model = Net()
    fused(model, ignore=["halves"], budget={"macs": 0.8})
    assert type(model.halves) is nn.Conv2d
    assert model.halves.out_channels == 12


@pytest.mark.parametrize(
    "settings",
    [
        {"interval": 0},
        {"rate": 0},
        {"temperatures": (0, 1)},
        {"temperatures": (3, 1)},
        {"temperatures": (1,)},
    ],
)
def test_values_out_of_range(settings):
    with pytest.raises(ValueError, match="give an interval of at least 1"):
        pruner_of(**settings)


def test_the_temperature_counts_intervals():
    pruner = pruner_of(interval=10, by_epoch=False, temperatures=(1, 5), rate=1e-6)
    found = [pruner.inverse_temperature(time, 45) for time in (0, 9, 10, 20, 44)]
    assert found == pytest.approx([1, 1, 2, 3, 5])
