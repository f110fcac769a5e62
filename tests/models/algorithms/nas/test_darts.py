"""Darts' steps against a functional network and autograd written out by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper

from mmrazor.models.algorithms import Darts
from tests.models.algorithms.nas.toys import FIRST, SECOND, Net, two

PLACES = ("first", "last")


def functional_loss(weights, alphas, data):
    """Return the loss of ``Net``, written with weights by name and two alphas."""

    def layer(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = layer("stem", data["inputs"].to(weights["stem.weight"])).tanh()
    for place, alpha in zip(PLACES, alphas, strict=True):
        shares = alpha.exp() / alpha.exp().sum()
        outs = [layer(f"{place}.candidates.{key}", x) for key in "abc"]
        x = sum(s * out for s, out in zip(shares, outs, strict=True)).tanh()
    log_p = layer("head", x).log_softmax(1)
    return -log_p[range(4), data["data_samples"]].mean()


def parts(net, dtype=torch.float64):
    named = {n: p.detach().to(dtype) for n, p in net.named_parameters()}
    alphas = [named.pop(f"{place}.alpha") for place in PLACES]
    return named, [a.requires_grad_() for a in alphas]


def wanted_gradients(net, optimizer, unroll):
    """Return the gradients of the alphas in float64, through the step or without."""
    weights, alphas = parts(net)
    if unroll:
        group = optimizer.param_groups[0]
        buffers = {
            name: optimizer.state[p]["momentum_buffer"].double()
            for name, p in net.named_parameters()
            if p in optimizer.state
        }
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        loss = functional_loss(leaves, alphas, FIRST)
        grads = torch.autograd.grad(loss, leaves.values(), create_graph=True)
        weights = {
            name: w
            - group["lr"]
            * (group["momentum"] * buffers.get(name, 0) + g + group["weight_decay"] * w)
            for (name, w), g in zip(weights.items(), grads, strict=True)
        }
    loss = functional_loss(weights, alphas, SECOND)
    return torch.autograd.grad(loss, alphas), loss


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "with momentum"])
@pytest.mark.parametrize("unroll", [False, True], ids=["first", "second"])
def test_alpha_gradient_equals_autograd_written_out(unroll, warm):
    algorithm = Darts(Net(), unroll=unroll).train()
    with torch.no_grad():
        for place in PLACES:
            algorithm.architecture.get_submodule(place).alpha.copy_(
                torch.tensor([0.5, -0.3, 0.1])
            )
    optim = two(algorithm, lr=1.5, momentum=0.9, weight_decay=0.05)
    if warm:
        algorithm.train_step([FIRST, SECOND], optim)
    sgd = optim["architecture"]
    wanted, loss = wanted_gradients(algorithm.architecture, sgd.optimizer, unroll)
    before = copy.deepcopy(algorithm.state_dict())
    found, found_loss = algorithm.alpha_gradients(FIRST, SECOND, sgd)
    for one, other in zip(found, wanted, strict=True):
        scale = other.abs().max()
        assert scale > 1e-4
        assert (one - other).abs().max() < 1e-4 * scale
    assert float(found_loss) == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, value in algorithm.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in algorithm.parameters())


def test_the_second_order_is_another_gradient():
    found = []
    for unroll in (False, True):
        algorithm = Darts(Net(), unroll=unroll).train()
        optim = two(algorithm, lr=1.5)
        grads, _ = algorithm.alpha_gradients(FIRST, SECOND, optim["architecture"])
        found.append(torch.cat(grads))
    assert (found[0] - found[1]).norm() > 0.05 * found[0].norm()


def test_a_step_moves_alphas_first_and_weights_then():
    algorithm = Darts(Net()).train()
    net = algorithm.architecture
    alpha_grads, _ = wanted_gradients(net, None, unroll=False)
    weights, alphas = parts(net)
    moved = [a.detach() - 0.7 * g for a, g in zip(alphas, alpha_grads, strict=True)]
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    loss = functional_loss(leaves, moved, FIRST)
    grads = torch.autograd.grad(loss, leaves.values())
    logs = algorithm.train_step([FIRST, SECOND], two(algorithm, alpha_lr=0.7, lr=0.2))
    after, found = parts(net)
    for one, other in zip(found, moved, strict=True):
        torch.testing.assert_close(one.detach(), other, rtol=1e-5, atol=1e-6)
    for (name, w), g in zip(weights.items(), grads, strict=True):
        torch.testing.assert_close(after[name], w - 0.2 * g, rtol=1e-5, atol=1e-6)
    assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-5)
    # nothing is left for the next step
    assert all(p.grad is None for p in algorithm.parameters())


def test_statistics_are_those_of_the_first_stream():
    algorithm = Darts(Net(norm=True), unroll=True).train()
    twin = copy.deepcopy(algorithm.architecture)
    twin(**FIRST, mode="loss")
    algorithm.train_step([FIRST, SECOND], two(algorithm))
    norm = algorithm.architecture.norm
    torch.testing.assert_close(norm.running_mean, twin.norm.running_mean)
    assert int(norm.num_batches_tracked) == 1


def test_frozen_weights_stay():
    net = Net()
    net.stem.requires_grad_(False)
    algorithm = Darts(net, unroll=True).train()
    before = net.stem.weight.clone()
    algorithm.train_step([FIRST, SECOND], two(algorithm))
    assert torch.equal(net.stem.weight, before)


def test_search_finds_the_layer_that_helps():
    """The second stream rewards one candidate; the derived values say so."""
    net = Net()
    algorithm = Darts(net).train()
    with torch.no_grad():
        for key in "ab":  # layers that say nothing
            net.last.candidates[key].weight.zero_()
            net.last.candidates[key].bias.zero_()
            net.last.candidates[key].requires_grad_(False)
    optim = two(algorithm, alpha_lr=0.5, lr=0.2)
    for _ in range(60):
        algorithm.train_step([FIRST, FIRST], optim)
    assert algorithm.derived()["last.op"] == "c"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("data", "takes two batches in a step.*BilevelLoop"),
        ("one optimizer", "two optimizers.*SeparateOptimWrapperConstructor"),
        ("adam", "needs SGD for the weights.*Adam is another"),
        ("accumulation", "Remove accumulative_counts from optim_wrapper.mutator"),
    ],
)
def test_faults_are_explained(change, text):
    algorithm = Darts(Net(), unroll=True).train()
    optim, data = two(algorithm), [FIRST, SECOND]
    if change == "data":
        data = FIRST
    if change == "one optimizer":
        optim = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    if change == "adam":
        weights = optim["architecture"].optimizer.param_groups[0]["params"]
        optim["architecture"].optimizer = torch.optim.Adam(weights)
    if change == "accumulation":
        optim["mutator"]._accumulative_counts = 2
    with pytest.raises(ValueError, match=text):
        algorithm.train_step(data, optim)


def test_a_space_without_architecture_parameters_is_refused():
    with pytest.raises(ValueError, match="no architecture parameters.*SPOS"):
        Darts(Net("one_shot"))


def test_toy_loss_is_the_network_s():
    net = Net()
    weights, alphas = parts(net)
    mine = functional_loss(weights, alphas, FIRST)
    theirs = F.cross_entropy(net(FIRST["inputs"]), FIRST["data_samples"])
    assert float(mine) == pytest.approx(float(theirs), rel=1e-5)
