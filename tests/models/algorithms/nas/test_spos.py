"""SPOS: uniform paths, a function of seed and step; the path's own step, no other."""

import copy
import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper

from mmrazor.core.hooks import CheckCheckpointHook
from mmrazor.core.protocols import Searchable
from mmrazor.models.algorithms import SPOS
from tests.models.algorithms.nas.toys import FIRST, Net


def sgd(model, **settings):
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, **settings))


def spos(**settings):
    return SPOS(Net("one_shot", norm=True), **settings).train()


def draws(algorithm, count):
    found = []
    for _ in range(count):
        found.append(tuple(algorithm.drawn().values()))
        algorithm.count_step_()
    return found


def test_draws_depend_on_seed_and_step_alone():
    lines = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(noise)
        np.random.seed(noise)
        lines.append(draws(spos(seed=seed), 40))
    assert lines[0] == lines[1] != lines[2]
    later = spos(seed=3)
    state = {**later.state_dict(), "search_steps": torch.tensor(25)}
    later.load_state_dict(state)
    assert draws(later, 15) == lines[0][25:]


def test_paths_are_uniform():
    counts = Counter(draws(spos(), 1800))
    assert set(counts) == set(itertools.product("abc", repeat=2))
    # 200 each; five standard deviations of a binomial
    assert max(abs(n - 200) for n in counts.values()) < 5 * (1800 / 9 * 8 / 9) ** 0.5


def test_a_step_is_the_plain_subnet_s_and_leaves_the_rest_alone():
    algorithm = spos()
    settings = dict(momentum=0.9, weight_decay=0.1)
    optim = sgd(algorithm, **settings)
    for _ in range(3):  # every candidate may have momentum by then
        before = copy.deepcopy(algorithm.architecture)
        values = algorithm.drawn()
        plain = algorithm.subnet_model(values).train()
        logs = algorithm.train_step(FIRST, optim)
        loss = plain(**FIRST, mode="loss")["loss"]
        loss.backward()
        assert float(logs["loss"]) == pytest.approx(float(loss), rel=1e-6)
        after = algorithm.subnet_model(values)
        assert torch.equal(after.norm.running_mean, plain.norm.running_mean)
        for path, key in zip(("first", "last"), values.values(), strict=True):
            for other in set("abc") - {key}:
                one = getattr(before, path).candidates[other].weight
                two = getattr(algorithm.architecture, path).candidates[other].weight
                assert torch.equal(one, two)
                assert two.grad is None
    first = spos()
    plain = first.subnet_model(first.drawn()).train()
    values = first.drawn()
    first.train_step(FIRST, sgd(first, **settings))
    optim = torch.optim.SGD(plain.parameters(), lr=0.1, **settings)
    plain(**FIRST, mode="loss")["loss"].backward()
    optim.step()
    for name, value in first.subnet_model(values).state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=0, atol=1e-7)


def test_training_leaves_the_selection_alone_and_counts_its_steps():
    algorithm = spos(seed=5)
    wanted = {"first.op": "b", "last.op": "c"}
    algorithm.select_(wanted)
    assert isinstance(algorithm, Searchable)
    for _ in range(4):
        algorithm.train_step(FIRST, sgd(algorithm))
    assert algorithm.space.selected() == wanted
    assert int(algorithm.search_steps) == algorithm.step() == 4


def test_space_cost_is_the_real_count():
    algorithm = spos()
    cost = algorithm.space_cost(FIRST["inputs"]).cost(algorithm.drawn())
    sizes = [3 * 4 + 4, 8, 4 * 4 + 4, 4 * 4 + 4, 4 * 2 + 2]
    assert (cost.params, cost.macs) == (sum(sizes), 4 * (12 + 16 + 16 + 8))


def test_a_plain_network_is_refused():
    net = Net("one_shot")
    net.first, net.last = torch.nn.Identity(), torch.nn.Identity()
    with pytest.raises(ValueError, match="has nothing to search"):
        SPOS(net)


def test_weights_of_the_bare_supernet_are_taken():
    source, algorithm = spos(), spos()
    source.train_step(FIRST, sgd(source))
    checkpoint = {"state_dict": source.architecture.state_dict()}
    CheckCheckpointHook().after_load_checkpoint(
        SimpleNamespace(model=algorithm), checkpoint
    )
    algorithm.load_state_dict(checkpoint["state_dict"], strict=False)
    weights = algorithm.architecture.state_dict()
    assert all(
        map(torch.equal, weights.values(), source.architecture.state_dict().values())
    )
