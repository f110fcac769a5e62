"""DMCP's chains and costs against plain enumeration over all widths."""

import itertools
import math

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmrazor.core.graph import channel_graph, slim
from mmrazor.models.pruners import DMCPPruner, PruningStateError, cost_table
from mmrazor.models.pruners.dmcp import expected_scores
from mmrazor.models.pruners.dmcp_chain import MarkovChains, level_widths
from mmrazor.models.pruners.dmcp_cost import ExpectedCost, cost_penalty
from mmrazor.models.pruners.dmcp_supernet import MarkovSupernet
from tests.models.pruners.toy_dmcp import IMAGES, Net

WIDTHS = {"stem.out": [1, 3, 4, 6], "wide.out": [2, 4]}
ALPHAS = torch.tensor([[0.3, -0.7, 1.1], [-0.2, 5.0, 5.0]])


def chains():
    made = MarkovChains(WIDTHS)
    made.alphas.copy_(ALPHAS)
    return made


def supernet(model=None):
    graph = channel_graph(model or Net(), IMAGES)
    assert {g.name: g.size for g in graph.groups} == {"stem.out": 6, "wide.out": 4}
    dense = cost_table(graph).dense
    limits = {"macs": (0, dense.macs / 2), "params": (0, dense.params / 2)}
    return MarkovSupernet(graph, chains(), limits)


def level_probabilities(row, count):
    """Return P(exactly this level): kept so far, and the next one is not."""
    p = [1 / (1 + math.exp(-float(a))) for a in ALPHAS[row][: count - 1]]
    ends = [*(1 - q for q in p), 1.0]
    return [math.prod(p[:k]) * ends[k] for k in range(count)]


def all_subnets():
    """Yield every choice of widths and its probability."""
    lines = [
        list(zip(widths, level_probabilities(row, len(widths)), strict=True))
        for row, widths in enumerate(WIDTHS.values())
    ]
    for (a, p), (b, q) in itertools.product(*lines):
        yield {"stem.out": a, "wide.out": b}, p * q


def test_marginals_are_products_of_transitions():
    p = torch.sigmoid(ALPHAS.double())
    found = chains().marginals()
    expected = [1, p[0, 0], p[0, 0] * p[0, 1], p[0, 0] * p[0, 1] * p[0, 2]]
    torch.testing.assert_close(found[0], torch.tensor(expected).double())
    torch.testing.assert_close(found[1, :2], torch.tensor([1, p[1, 0]]).double())


def test_moments_and_expected_widths_by_enumeration():
    moments = chains().moments(3)
    for power in (1, 2, 3):
        for row, widths in enumerate(WIDTHS.values()):
            pairs = zip(widths, level_probabilities(row, len(widths)), strict=True)
            expected = sum(w**power * p for w, p in pairs)
            assert float(moments[power - 1, row]) == pytest.approx(expected, rel=1e-9)


def test_expected_costs_are_those_of_the_enumerated_chain():
    net = supernet()
    table = cost_table(net.graph)
    subnets = list(all_subnets())
    assert sum(p for _, p in subnets) == pytest.approx(1, rel=1e-12)
    for name, found in net.expected().items():
        costs = [getattr(table.cost(counts), name) * p for counts, p in subnets]
        assert float(found) == pytest.approx(sum(costs), rel=1e-9)
    # the tied convolution needs the square: the product of expectations is another
    stem = net.chains.expected()["stem.out"]
    square = sum(c["stem.out"] ** 2 * p for c, p in all_subnets())
    assert abs(square - stem**2) > 0.1


def test_gradient_of_the_expected_cost_is_the_difference_quotient():
    net, step = supernet(), 1e-3
    alphas = ALPHAS.double().requires_grad_()
    (found,) = torch.autograd.grad(net.expected(alphas)["macs"], alphas)
    for place in [(0, 0), (0, 2), (1, 0)]:
        moved = [ALPHAS.double() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (float(net.expected(a)["macs"]) for a in moved)
        assert float(found[place]) == pytest.approx((high - low) / 2 / step, rel=1e-4)
    assert found[1, 1:].tolist() == [0, 0]  # levels that the short chain has not


def test_sums_of_groups_and_constants_by_enumeration():
    both = (2, {"a": 3, "b": 1, "c": 2})
    terms = [("x", 5, (both, both, (0, {"a": 1}))), ("y", 7, ()), ("z", 1, (both,))]
    table = {"a": [1, 2, 5], "b": [3, 4]}
    made = MarkovChains(table, init_alpha=0.4)
    cost = ExpectedCost(terms, list(table), {"c": 6})
    assert cost.degree == 3
    p = 1 / (1 + math.exp(-0.4))
    chances = {"a": [1 - p, p * (1 - p), p * p], "b": [1 - p, p]}
    expected = 0.0
    for i, j in itertools.product(range(3), range(2)):
        a, b = table["a"][i], table["b"][j]
        size = 2 + 3 * a + b + 2 * 6
        value = 5 * size * size * a + 7 + size
        expected += chances["a"][i] * chances["b"][j] * value
    found = float(cost(made.moments(cost.degree)))
    assert found == pytest.approx(expected, rel=1e-6)


def test_samples_follow_the_chains():
    made, generator = chains(), torch.Generator().manual_seed(0)
    drawn = [made.sample(generator) for _ in range(4000)]
    for counts, chance in all_subnets():
        share = sum(one == counts for one in drawn) / len(drawn)
        assert share == pytest.approx(chance, abs=4 * math.sqrt(chance / 4000) + 1e-3)
    uniform = [made.uniform(generator) for _ in range(4000)]
    for name, widths in WIDTHS.items():
        for width in widths:
            share = sum(one[name] == width for one in uniform) / 4000
            assert share == pytest.approx(1 / len(widths), abs=0.03)
    assert made.narrowest() == {"stem.out": 1, "wide.out": 2}


def test_adam_is_torch_s():
    made = chains()
    other = nn.Parameter(ALPHAS.clone())
    optimizer = torch.optim.Adam([other], 0.02, betas=(0.8, 0.9), weight_decay=0.1)
    for k in range(3):
        gradient = torch.sin(ALPHAS + k)
        made.adam_(gradient, 0.02, (0.8, 0.9), 0.1)
        other.grad = gradient
        optimizer.step()
    torch.testing.assert_close(made.alphas, other.detach())
    again = chains()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.adam_square, made.adam_square)


def test_the_soft_network_reads_scaled_channels():
    model = Net()
    net = supernet(model)
    alphas = ALPHAS.double().requires_grad_()
    with net.softly(alphas):
        found = model(IMAGES)
    kept = net.chains.marginals(alphas).float()
    stem = kept[0][[0, 1, 1, 2, 3, 3]][:, None, None]  # widths 1, 3, 4, 6
    wide = kept[1][[0, 0, 1, 1]][:, None, None]
    x = model.norm(model.stem(IMAGES)).relu()
    x = x + model.tied(x * stem).relu()
    y = model.depth(model.wide(x * stem).relu()).relu()
    expected = model.head(torch.cat([x * stem, y * wide], 1).mean((2, 3)))
    torch.testing.assert_close(found, expected)
    one, two = (
        torch.autograd.grad(v.square().sum(), alphas)[0] for v in (found, expected)
    )
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert one[0].abs().min() > 0


def test_drawn_widths_run_as_the_slimmed_copy():
    model = Net()
    net = supernet(model)
    for counts, _ in all_subnets():
        kept = {name: range(count) for name, count in counts.items()}
        with net.at(counts):
            found = model(IMAGES)
        assert torch.equal(found, slim(model, net.graph.cuts(kept))(IMAGES))


def test_penalty_is_the_paper_s_up_to_a_constant():
    for value in (50.0, 110.0, 300.0):
        x = torch.tensor(value, requires_grad=True)
        (found,) = torch.autograd.grad(cost_penalty(x, 100.0, 0.05), x)
        (paper,) = torch.autograd.grad((x - 100.0).abs().log(), x)
        torch.testing.assert_close(found, paper)
    assert float(cost_penalty(torch.tensor(97.0), 100.0, 0.05)) == 0


def test_scores_above_one_are_the_rounded_expected_width():
    for expected in (1.0, 2.4, 2.6, 7.9):
        scores = expected_scores(8, expected)
        assert int((scores > 1).sum()) == round(expected)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("ladder", "size", "expected"),
    [
        (range(10, 101), 100, list(range(10, 101, 10))),
        (range(2, 5), 4, [2, 3, 4]),
        (range(8, 49, 8), 50, [8, 16, 24, 32, 40, 50]),
        (range(4, 33), 32, [4, 7, 10, 13, 16, 19, 22, 25, 28, 32]),
    ],
)
def test_levels(ladder, size, expected):
    assert level_widths(ladder, size, 10) == expected


def pruner(**changes):
    schedule = dict(type="LinearSchedule", begin=1, end=3)
    settings = dict(budget=dict(macs=0.5), schedule=schedule, inputs=IMAGES)
    return DMCPPruner(**{**settings, **changes})


def test_the_pruner_keeps_scaled_expected_widths_within_the_budget():
    model, made = Net(), pruner()
    made(model)
    made.prepare(model)
    assert made.decide(model, 0.0, 1) is None
    assert made.chains.searching
    made.chains.alphas[0].fill_(-2.0)
    made.chains.alphas[1].fill_(4.0)
    step = made.decide(model, 1.0, 3)
    cost, dense = step.state.cost().macs, step.state.dense_cost().macs
    assert cost <= dense / 2
    kept = step.state.kept
    assert all(units == list(range(len(units))) for units in kept.values())
    assert len(kept["wide.out"]) == 4 > len(kept["stem.out"])
    made.cut_(model, step.cuts)
    made.take_(step.state)
    assert made.finished
    assert model(IMAGES).shape == (2, 3)
    fresh = pruner(budget=dict(macs=0.01, params=0.9))
    other = Net()
    fresh(other)
    with pytest.raises(PruningStateError, match="to a larger budget"):
        fresh.load_state_(other, made.state_dict())


def test_channels_that_no_weights_read_are_left_alone():
    class Product(BaseModel):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(4, 6)
            self.c, self.d = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, inputs, data_samples=None, mode="tensor"):
            inner = self.a(inputs) @ self.b(inputs).t()
            return inner.sum(1, keepdim=True) + self.d(self.c(inputs).relu())

    made = pruner(inputs=torch.randn(3, 4))
    made(Product())
    assert made.chains.names == ["c.out"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(schedule=None), "no time between"),
        (dict(schedule=dict(type="LinearSchedule", begin=3, end=3)), "no time between"),
        (dict(levels=1), "levels=1"),
    ],
)
def test_bad_settings(changes, text):
    with pytest.raises(ValueError, match=text):
        pruner(**changes)
