"""What one run decides by rounding, another repeats, and nothing else."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import channel_graph, checked_slimming, slim, trace, verify_cuts
from mmrazor.core.graph.choices import noting_choices, picks, repeating

from .toys import conv, net

NOISE = 1e-6


def scores(count: int = 50) -> tuple[Tensor, Tensor]:
    """Return numbers that are nearly all alike, and the same with another rounding."""
    torch.manual_seed(0)
    same = 0.5 + NOISE * torch.rand(count)
    return same, same + NOISE * torch.rand(count)


CHOICES = {
    "topk": lambda x: x.topk(5)[1],
    "topk along a dim": lambda x: x.view(5, 10).topk(2, dim=0)[1],
    "sort": lambda x: x.sort(descending=True)[1],
    "sort by keyword": lambda x: torch.sort(x, stable=True, dim=0)[1],
    "largest": lambda x: x.view(5, 10).max(1)[1],
    "smallest": lambda x: x.view(5, 10).min(dim=0, keepdim=True)[1],
    "argmax": lambda x: x.argmax(),
    "rounded": lambda x: (x[:1] * 1e7).to(torch.int64),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_choices_among_what_is_alike_are_repeated(kind: str) -> None:
    first, second = scores()
    choose = CHOICES[kind]
    with noting_choices() as choices:
        expected = choose(first)
    assert not torch.equal(choose(second), expected)  # rounding decides
    with repeating(choices):
        assert torch.equal(choose(second), expected)


def test_values_are_those_of_the_second_run() -> None:
    first, second = scores()
    with noting_choices() as choices:
        _, places = first.topk(5)
    with repeating(choices):
        values, again = second.topk(5)
    assert torch.equal(again, places)
    assert torch.equal(values, second[places])


def test_choices_by_other_values_are_not_repeated() -> None:
    first = torch.tensor([0.1, 0.9, 0.5])
    second = torch.tensor([0.9, 0.1, 0.5])
    with noting_choices() as choices:
        first.topk(1)
        first.gt(0.4)
        first.sort()
    with repeating(choices):
        assert second.topk(1)[1].tolist() == [0]
        assert (second - 0.45).gt(0).tolist() == [True, False, True]
        assert second.sort()[1].tolist() == [1, 2, 0]


def test_runs_that_go_apart_are_left_alone() -> None:
    first, second = scores()
    with noting_choices() as choices:
        first.topk(5)
    with repeating(choices):
        assert torch.equal(second.sort()[1], second.clone().sort()[1])
        expected = second.topk(5)[1]
    assert torch.equal(second.topk(5)[1], expected)


def test_boxes_that_are_left_are_the_first_runs() -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch.manual_seed(0)
    boxes = torch.rand(20, 4).cumsum(1)
    first, second = scores(20)
    with noting_choices() as choices:
        kept = ops.nms(boxes, first, 0.5)
    assert not torch.equal(ops.nms(boxes, second, 0.5), kept)
    with repeating(choices):
        assert torch.equal(ops.nms(boxes, second, 0.5), kept)


def detector(model: SimpleNamespace, x: Tensor) -> Tensor:
    """Classify the best of many places, whose scores are nearly one number."""
    feature = model.stem(x).relu()
    score = model.score(feature).flatten(1) * NOISE + 1.0
    best = score.topk(4)[1]
    places = feature.flatten(2).transpose(1, 2)[0, best[0]]
    return model.head(places)


def picking() -> nn.Module:
    return net(detector, stem=conv(3, 16), score=conv(16, 1), head=nn.Linear(16, 2))


def test_a_detector_is_compared_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> float:
        raise AssertionError("compared in float64")

    # the package has a function of the module's name
    module = sys.modules["mmrazor.core.graph.verify"]
    monkeypatch.setattr(module, "_in_double", never)
    model, x = picking(), torch.rand(1, 3, 16, 16)
    assert picks(trace(model, x))
    assert not picks(trace(conv(3, 2), x))
    graph = channel_graph(model, x)
    checked = checked_slimming(graph, lambda g: {"stem.out": range(0, 16, 3)}, x)
    assert 0 < checked.max_difference < 1e-5
    assert checked.model.stem.out_channels == 6


def test_a_wrong_cut_of_a_detector_is_found() -> None:
    model, x = picking(), torch.rand(1, 3, 16, 16)
    graph = channel_graph(model, x)
    kept = {"stem.out": [0, 1, 2, 3]}
    right, wrong = graph.cuts(kept), graph.cuts(kept)
    wrong.slots["head.weight"][1] = [4, 5, 6, 7]
    assert verify_cuts(graph, kept, right, slim(model, right), x) < 1e-5
    assert verify_cuts(graph, kept, wrong, slim(model, wrong), x) > 1e-3
