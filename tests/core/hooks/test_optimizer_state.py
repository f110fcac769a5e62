"""The state of surviving channels, by hand."""

import pytest
import torch
from torch import nn

from mmrazor.core.graph import Cuts
from mmrazor.core.hooks.optimizer_state import slice_state_
from mmrazor.models.pruners.cutting import cut_

CUTS = Cuts(
    {"0.weight": {0: [0, 2]}, "0.bias": {0: [0, 2]}, "1.weight": {1: [0, 2]}},
    {"0": {"out_features": 2}, "1": {"in_features": 2}},
)


def trained(make, steps=3):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    optimizer = make(net.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    return net, optimizer


def test_momentum_is_that_of_surviving_channels():
    net, optimizer = trained(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    old = {p: optimizer.state[p]["momentum_buffer"].clone() for p in net.parameters()}
    slice_state_(optimizer, cut_(net, CUTS))
    first, bias, second, last = (
        (old[p], optimizer.state[p]["momentum_buffer"]) for p in net.parameters()
    )
    assert first[1].tolist() == [first[0][0].tolist(), first[0][2].tolist()]
    assert bias[1].tolist() == [bias[0][0].item(), bias[0][2].item()]
    assert second[1].tolist() == [[row[0].item(), row[2].item()] for row in second[0]]
    assert torch.equal(last[0], last[1])


def test_moments_of_adam_and_its_step():
    net, optimizer = trained(lambda p: torch.optim.Adam(p, amsgrad=True))
    weight = net[0].weight
    old = {k: v.clone() for k, v in optimizer.state[weight].items()}
    slice_state_(optimizer, cut_(net, CUTS))
    new = optimizer.state[weight]
    assert set(new) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert new["step"] == old["step"] == 3
    for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        assert torch.equal(new[key], torch.stack([old[key][0], old[key][2]]))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        lambda p: torch.optim.AdamW(p),
        lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
        lambda p: torch.optim.RAdam(p),
    ],
)
def test_a_channel_without_any_part_in_the_net_changes_no_step(make):
    """A channel whose weights are zero trains nothing: without it, steps are equal."""

    def run(cut):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        with torch.no_grad():
            for tensor in (net[0].weight[1], net[0].bias[1:2], net[1].weight[:, 1]):
                tensor.zero_()
        optimizer = make(net.parameters())
        for step in range(6):
            if step == 3 and cut:
                optimizer.zero_grad()
                slice_state_(optimizer, cut_(net, CUTS))
            optimizer.zero_grad()
            net(torch.randn(5, 4)).square().sum().backward()
            optimizer.step()
        return net

    whole, small = run(False), run(True)
    torch.testing.assert_close(small[0].weight, whole[0].weight[[0, 2]])
    torch.testing.assert_close(small[1].weight, whole[1].weight[:, [0, 2]])
    torch.testing.assert_close(small[1].bias, whole[1].bias)


def test_factored_moments_lose_the_axis_that_they_have():
    net, optimizer = trained(lambda p: torch.optim.Adafactor(p))
    state = [optimizer.state[layer.weight] for layer in net]
    old = [{k: v.clone() for k, v in one.items()} for one in state]
    assert [tuple(old[0][k].shape) for k in ("row_var", "col_var")] == [(3, 1), (1, 4)]
    slice_state_(optimizer, cut_(net, CUTS))
    assert torch.equal(state[0]["row_var"], old[0]["row_var"][[0, 2]])
    assert torch.equal(state[0]["col_var"], old[0]["col_var"])
    assert torch.equal(state[1]["row_var"], old[1]["row_var"])
    assert torch.equal(state[1]["col_var"], old[1]["col_var"][:, [0, 2]])


def test_state_of_another_shape_is_refused():
    net, optimizer = trained(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    optimizer.state[net[0].weight]["sketch"] = torch.zeros(7)
    with pytest.raises(ValueError, match=r"SGD keeps 'sketch' of shape \(7,\)"):
        slice_state_(optimizer, cut_(net, CUTS))


def test_lists_are_refused():
    net, optimizer = trained(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    optimizer.state[net[0].weight]["old"] = [torch.zeros(3, 4)]
    with pytest.raises(ValueError, match="SGD keeps 'old' as a list"):
        slice_state_(optimizer, cut_(net, CUTS))


def test_a_backward_pass_works_while_an_old_loss_is_alive():
    net, _ = trained(lambda p: torch.optim.SGD(p, lr=0.01))
    loss = net(torch.randn(5, 4)).square().sum()
    loss.backward()
    cut_(net, CUTS)
    net(torch.randn(5, 4)).square().sum().backward()
    assert net[0].weight.grad.shape == (2, 4)
    assert net[1].weight.grad.shape == (2, 2)
    assert loss.grad_fn is not None
