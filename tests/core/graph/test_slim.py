from __future__ import annotations

import copy
import io
import json

import pytest
import torch
from torch import nn

from mmrazor.core.graph import Cuts, channel_graph, slim, slim_
from tests.core.graph.checking import run
from tests.core.graph.toys import conv, image, net


def model() -> nn.Module:
    return net(
        lambda m, x: m.o(m.n(m.a(x)).relu()),
        a=conv(3, 8),
        n=nn.BatchNorm2d(8),
        o=conv(8, 2),
    )


KEPT = {"a.out": [1, 5, 6]}


def cuts_of(dense: nn.Module) -> Cuts:
    return channel_graph(dense, image()).cuts(KEPT)


def test_cuts_say_what_stays() -> None:
    dense = model()
    cuts = cuts_of(dense)
    assert cuts.slots == {
        "a.weight": {0: [1, 5, 6]},
        "a.bias": {0: [1, 5, 6]},
        "n.weight": {0: [1, 5, 6]},
        "n.bias": {0: [1, 5, 6]},
        "n.running_mean": {0: [1, 5, 6]},
        "n.running_var": {0: [1, 5, 6]},
        "o.weight": {1: [1, 5, 6]},
    }
    assert cuts.attributes == {
        "a": {"out_channels": 3},
        "n": {"num_features": 3},
        "o": {"in_channels": 3},
    }
    assert not cuts.replaced


def test_cuts_of_nothing_change_nothing() -> None:
    dense = model()
    cuts = channel_graph(dense, image()).cuts({})
    assert cuts == Cuts()
    assert torch.equal(run(slim(dense, cuts), image()), run(dense, image()))


def test_the_original_is_left_as_it_was() -> None:
    dense = model()
    before = copy.deepcopy(dense.state_dict())
    small = slim(dense, cuts_of(dense))
    small.a.weight.data.zero_()
    small.o.bias.data.zero_()
    assert dense.a.out_channels == 8
    for name, value in dense.state_dict().items():
        assert torch.equal(value, before[name])


def test_values_flags_and_hooks_survive() -> None:
    dense = model().double()
    dense.train()
    dense.n.eval()
    dense.a.bias.requires_grad_(False)
    calls = []
    dense.a.register_forward_hook(lambda *_: calls.append(1))
    graph = channel_graph(dense, image().double())
    small = slim(dense, graph.cuts(KEPT))
    assert torch.equal(small.a.weight, dense.a.weight[KEPT["a.out"]])
    assert torch.equal(small.n.running_var, dense.n.running_var[KEPT["a.out"]])
    assert small.n.num_batches_tracked == dense.n.num_batches_tracked
    assert small.training
    assert not small.n.training
    assert small.a.weight.requires_grad
    assert not small.a.bias.requires_grad
    assert small.o.weight.dtype == torch.float64
    assert isinstance(small.a.weight, nn.Parameter)
    calls.clear()
    small(image().double())
    assert calls == [1]


def test_a_slimmed_model_trains_and_is_saved() -> None:
    dense = model()
    small = slim(dense, cuts_of(dense)).train()
    small(image()).square().mean().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in small.parameters()
    )
    file = io.BytesIO()
    torch.save(small.state_dict(), file)
    file.seek(0)
    again = slim(model(), cuts_of(dense))
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(run(again, image()), run(small, image()))


def test_in_place_keeps_the_parameters() -> None:
    dense = model()
    expected = slim(dense, cuts_of(dense))
    parameters = dict(dense.named_parameters())
    optimizer = torch.optim.SGD(dense.parameters(), 0.1)
    dense(image()).sum().backward()
    result = slim_(dense, cuts_of(dense))
    assert result is dense
    for name, parameter in dense.named_parameters():
        assert parameter is parameters[name]
        assert torch.equal(parameter, expected.get_parameter(name))
    assert dense.a.weight.grad is None
    assert torch.equal(run(dense, image()), run(expected, image()))
    dense(image()).sum().backward()
    optimizer.step()


def test_cuts_of_another_model() -> None:
    dense = model()
    cuts = cuts_of(dense)
    with pytest.raises(
        ValueError, match=r"name 'a.weight', which Linear does not have"
    ):
        slim(nn.Linear(3, 3), cuts)
    narrow = net(lambda m, x: m.o(m.a(x)), a=conv(3, 4), o=conv(4, 2))
    with pytest.raises(
        ValueError, match=r"\[1, 5, 6\].* of axis 0 of 'a.weight', which"
    ):
        slim(narrow, cuts)


def test_cuts_are_plain_data() -> None:
    cuts = cuts_of(model())
    assert Cuts.from_dict(cuts.to_dict()) == cuts
    assert json.loads(json.dumps(cuts.to_dict())) == cuts.to_dict()
    # indices are written as ranges; keys of JSON objects are text
    text = {"slots": {"w": {"0": "1 3-5 9"}}, "attributes": {}, "replaced": {}}
    assert Cuts.from_dict(text).slots == {"w": {0: [1, 3, 4, 5, 9]}}
    assert Cuts.from_dict(text).to_dict() == text


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"slots": {}},
        {"slots": [], "attributes": {}, "replaced": {}},
        {"slots": {"w": {"x": "1"}}, "attributes": {}, "replaced": {}},
        {"slots": {"w": {0: None}}, "attributes": {}, "replaced": {}},
        {"slots": {"w": {0: "1-b"}}, "attributes": {}, "replaced": {}},
    ],
    ids=str,
)
def test_damaged_cuts(data: dict) -> None:
    with pytest.raises(ValueError, match="cuts of a pruned model are damaged"):
        Cuts.from_dict(data)


def test_a_buffer_made_from_parameters_is_copied_by_value() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model.register_buffer("norm", model[0].weight.norm(dim=1))  # as CLRNet's priors
    small = slim(model, Cuts({"0.weight": {0: [0, 2]}, "1.weight": {1: [0, 2]}}, {}))
    assert small[0].weight.shape == (2, 4)
    assert torch.equal(small.norm, model.norm)
    assert small.norm.is_leaf
