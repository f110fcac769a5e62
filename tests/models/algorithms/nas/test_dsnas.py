"""DSNAS: a path at a time; its gradient of alpha written out; the three parts."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub

from mmrazor.models.algorithms import DSNAS
from tests.models.algorithms.nas.toys import FIRST, Net, two

PLACES = ("first", "last")


@pytest.fixture
def at():
    """Return a function that says which epoch it is."""
    hub = MessageHub.get_current_instance()

    def say(epoch, max_epochs=10):
        hub.update_info("epoch", epoch)
        hub.update_info("max_epochs", max_epochs)

    say(0)
    yield say
    hub.runtime_info.clear()


def dsnas(**settings):
    return DSNAS(Net("one_hot"), **settings).train()


def alphas_of(algorithm):
    return [algorithm.architecture.get_submodule(p).alpha for p in PLACES]


def test_one_backward_gives_the_search_gradient_and_the_subnet_s(at):
    algorithm = dsnas()
    with torch.no_grad():
        for alpha in alphas_of(algorithm):
            alpha.copy_(torch.tensor([0.5, -0.4, 0.2]))
    values = algorithm.drawn()
    plain = algorithm.subnet_model(values)
    outputs = []
    for place in PLACES:
        plain.get_submodule(place).register_forward_hook(
            lambda *found: outputs.append(found[2])
        )
    loss = plain(**FIRST, mode="loss")["loss"]
    upstream = torch.autograd.grad(loss, outputs, retain_graph=True)
    loss.backward()
    loss = loss.detach()
    wanted = []
    shares = torch.tensor([0.5, -0.4, 0.2]).softmax(0)
    for place, out, grad in zip(PLACES, outputs, upstream, strict=True):
        one_hot = torch.tensor([float(k == values[f"{place}.op"]) for k in "abc"])
        # d log softmax(alpha)[k] / d alpha = one_hot(k) - softmax(alpha)
        wanted.append((out * grad).sum().detach() * (one_hot - shares))
    before = [alpha.detach().clone() for alpha in alphas_of(algorithm)]
    logs = algorithm.train_step(FIRST, two(algorithm, alpha_lr=0.3, lr=0.2))
    for alpha, old, grad in zip(alphas_of(algorithm), before, wanted, strict=True):
        torch.testing.assert_close(alpha.detach(), old - 0.3 * grad)
    with torch.no_grad():
        for weight in plain.parameters():
            weight -= 0.2 * weight.grad
    after = algorithm.subnet_model(values).state_dict()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(after[name], value)
    assert logs["loss"].item() == pytest.approx(float(loss))
    assert all(p.grad is None for p in algorithm.parameters())


def test_paths_are_drawn_with_their_probabilities(at):
    algorithm = dsnas(seed=1)
    with torch.no_grad():
        alphas_of(algorithm)[0].copy_(torch.tensor([0.7, 0.2, 0.1]).log())
    counts = dict.fromkeys("abc", 0)
    for _ in range(2000):
        counts[algorithm.drawn()["first.op"]] += 1
        algorithm.count_step_()
    for key, share in zip("abc", (0.7, 0.2, 0.1), strict=True):
        assert abs(counts[key] - 2000 * share) < 5 * (2000 * share * (1 - share)) ** 0.5


def test_the_three_parts_of_a_run(at):
    algorithm = dsnas(pretrain_epochs=2, finetune_epochs=3)
    parts = []
    for epoch in range(10):
        at(epoch)
        parts.append(algorithm.part())
    assert parts == ["pretrain"] * 2 + ["search"] * 5 + ["finetune"] * 3
    at(1)
    optim = two(algorithm, alpha_lr=1.0)
    before = copy.deepcopy(alphas_of(algorithm))
    algorithm.train_step(FIRST, optim)
    assert all(map(torch.equal, before, alphas_of(algorithm)))
    at(2)
    algorithm.train_step(FIRST, optim)
    assert not any(map(torch.equal, before, alphas_of(algorithm)))
    at(7)
    before = copy.deepcopy(algorithm)
    kept = algorithm.derived()
    for _ in range(8):
        algorithm.train_step(FIRST, optim)
    assert all(map(torch.equal, alphas_of(before), alphas_of(algorithm)))
    for place in PLACES:
        for key in "abc":
            old, new = (
                one.architecture.get_submodule(place).candidates[key].weight
                for one in (before, algorithm)
            )
            assert torch.equal(old, new) == (key != kept[f"{place}.op"])


def test_search_learns_which_layer_helps(at):
    algorithm = dsnas(pretrain_epochs=1)
    last = algorithm.architecture.last
    with torch.no_grad():
        for key in "ab":
            last.candidates[key].weight.zero_()
            last.candidates[key].bias.zero_()
            last.candidates[key].requires_grad_(False)
    optim = two(algorithm, alpha_lr=0.2, lr=0.3)
    for step in range(200):
        at(step // 100)
        algorithm.train_step(FIRST, optim)
    assert algorithm.derived()["last.op"] == "c"


def test_faults_are_explained(at):
    with pytest.raises(ValueError, match="OneHotMutableOP, and got.*DiffMutableOP"):
        DSNAS(Net("diff"))
    with pytest.raises(ValueError, match="finetune_epochs=-1 must be at least 0"):
        dsnas(finetune_epochs=-1)
    algorithm = dsnas()
    optim = two(algorithm)
    optim["architecture"].loss_scaler = object()
    with pytest.raises(ValueError, match="scaled losses for optim_wrapper.arch"):
        algorithm.train_step(FIRST, optim)
