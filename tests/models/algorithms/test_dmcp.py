"""DMCP's steps against what slimmed copies and plain formulas give."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.nn import functional as F

from mmrazor.core.graph import slim
from mmrazor.models.algorithms import DMCP
from tests.core.graph.kept_parts import parts_of
from tests.models.pruners.toy_dmcp import IMAGES, Net

LABELS = [0, 2]
DATA = dict(inputs=IMAGES, data_samples=LABELS)
SOFT = dict(
    losses=dict(
        kd=dict(
            type="KLDivergence",
            tau=1.0,
            student="output:head",
            teacher="output:head",
        )
    )
)


def dmcp(searching=False, **changes):
    schedule = dict(type="LinearSchedule", begin=2, end=6)
    pruner = dict(budget=dict(macs=0.5), schedule=schedule, inputs=IMAGES, levels=4)
    pruner["type"] = "DMCPPruner"
    algorithm = DMCP(Net(), pruner, **changes).train()
    algorithm.prepare_pruning()
    algorithm.pruner.driven = True
    if searching:
        assert algorithm.next_step(0.0, 2) is None
    return algorithm


def sgd(algorithm, lr=0.1):
    return OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=lr))


@pytest.mark.parametrize("soft", [True, False])
def test_weights_get_the_sum_of_the_gradients_of_all_widths(soft):
    algorithm = dmcp(self_distiller=SOFT if soft else None)
    net = algorithm.architecture
    graph = algorithm.pruner.supernet(net).graph
    widths = algorithm.drawn_widths()
    assert len(widths) == 3
    assert widths[0] == algorithm.chains.narrowest()
    before = copy.deepcopy(net)
    expected = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    wide = slim(net, graph.cuts({}))
    task = wide(**DATA, mode="loss")["loss"]
    task.backward()
    teacher = slim(net, graph.cuts({}))(IMAGES).detach()
    for name, parameter in wide.named_parameters():
        expected[name] += parameter.grad
    for counts in widths:
        kept = {name: range(count) for name, count in counts.items()}
        cuts = graph.cuts(kept)
        small = slim(net, cuts)
        if soft:
            logits = small(IMAGES)
            loss = F.kl_div(
                logits.log_softmax(1), teacher.softmax(1), reduction="batchmean"
            )
        else:
            loss = small(**DATA, mode="loss")["loss"]
        loss.backward()
        for name, parameter in small.named_parameters():
            place = parts_of(cuts, name, expected[name])
            expected[name][place] += parameter.grad
    logs = algorithm.train_step(DATA, sgd(algorithm))
    for name, parameter in net.named_parameters():
        wanted = before.get_parameter(name) - 0.1 * expected[name]
        torch.testing.assert_close(parameter, wanted, rtol=1e-5, atol=1e-6)
    assert logs["loss"].item() == pytest.approx(task.item())
    # the statistics are the widest network's after its one pass
    once = slim(before, graph.cuts({}))
    once(IMAGES)
    assert torch.equal(net.norm.running_mean, once.norm.running_mean)
    assert int(algorithm.chains.steps) == 1
    assert "alpha_loss" not in logs


def test_chains_take_adam_s_step_on_task_and_cost():
    algorithm = dmcp(searching=True, cost_weight=0.7, alpha_lr=0.05)
    optim = sgd(algorithm, lr=0.0)
    chains, net = algorithm.chains, algorithm.architecture
    alphas = chains.alphas.clone().requires_grad_()
    p = alphas.double().sigmoid().cumprod(1)
    m = torch.cat([torch.ones(2, 1), p.float()], 1)
    stem_widths, wide_widths = chains.widths.tolist()
    assert (stem_widths, wide_widths) == ([1, 2, 4, 6], [1, 2, 3, 4])
    stem = m[0][[0, 1, 2, 2, 3, 3]][:, None, None]
    wide = m[1][[0, 1, 2, 3]][:, None, None]
    twin = copy.deepcopy(net)
    x = twin.norm(twin.stem(IMAGES)).relu()
    x = x + twin.tied(x * stem).relu()
    y = twin.depth(twin.wide(x * stem).relu()).relu()
    logits = twin.head(torch.cat([x * stem, y * wide], 1).mean((2, 3)))
    task = F.cross_entropy(logits, torch.tensor(LABELS))
    n, w = m[0] @ torch.tensor([1.0, 1, 2, 2]), m[1].sum()
    square = m[0] @ torch.tensor([1.0, 3, 12, 20])  # 1, 4, 16, 36
    macs = 64 * (27 * n + 9 * square + n * w + 9 * w) + 3 * (n + w)
    dense = 64 * (27 * 6 + 9 * 36 + 24 + 36) + 30
    loss = task + 0.7 * (macs - dense / 2).abs().log()
    (gradient,) = torch.autograd.grad(loss, alphas)
    logs = algorithm.train_step(DATA, optim)
    reached = macs.detach() / (dense / 2)
    wanted = torch.optim.Adam([alphas], lr=0.05)
    alphas.grad = gradient
    wanted.step()
    torch.testing.assert_close(chains.alphas, alphas.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(chains.adam_mean, 0.1 * gradient, rtol=1e-3, atol=1e-6)
    assert reached > 1.05  # outside the tolerance
    assert float(logs["expected_macs"]) < reached


def test_draws_depend_on_seed_and_step_alone():
    one, two, other = dmcp(seed=3), dmcp(seed=3), dmcp(seed=4)
    lines = []
    for algorithm in (one, two, other):
        torch.manual_seed(len(lines))
        line = []
        for _ in range(6):
            line.append(algorithm.drawn_widths())
            algorithm.chains.steps += 1
        lines.append(line)
    assert lines[0] == lines[1] != lines[2]
    assert len({str(step) for step in lines[0]}) > 1


def test_search_reaches_the_budget_and_training_goes_on():
    algorithm = dmcp(searching=True, cost_weight=1.0, alpha_lr=0.2, self_distiller=SOFT)
    optim = sgd(algorithm, lr=0.01)
    for _ in range(40):
        logs = algorithm.train_step(DATA, optim)
    assert 0.9 < float(logs["expected_macs"]) < 1.1
    step = algorithm.next_step(1.0, 6)
    algorithm.shrink_(step.cuts)
    algorithm.pruner.take_(step.state)
    state = algorithm.pruner.state
    assert 0.35 < state.cost().macs / state.dense_cost().macs <= 0.5
    steps = int(algorithm.chains.steps)
    optim = sgd(algorithm, lr=0.01)
    assert set(algorithm.train_step(DATA, optim)) == {"loss"}
    assert int(algorithm.chains.steps) == steps


def test_a_teacher_may_help():
    algorithm = dmcp(searching=True, teacher=Net(), distiller=SOFT)
    logs = algorithm.train_step(DATA, sgd(algorithm))
    assert {"distill.loss_kd", "alpha_loss", "narrow_loss"} <= set(logs)


def test_what_cannot_work_is_said():
    with pytest.raises(ValueError, match="cost_weight=-1"):
        dmcp(cost_weight=-1)
    with pytest.raises(TypeError, match="chains of a DMCPPruner; Pruner has none"):
        DMCP(Net(), dict(type="Pruner", budget=dict(macs=0.5), inputs=IMAGES))
    algorithm = dmcp()
    optim = OptimWrapper(
        torch.optim.SGD(algorithm.parameters(), lr=0.1), accumulative_counts=2
    )
    with pytest.raises(ValueError, match="Remove accumulative_counts"):
        algorithm.train_step(DATA, optim)
    algorithm.pruner.driven = False
    with pytest.raises(RuntimeError, match="nothing prunes it"):
        algorithm.train_step(DATA, sgd(algorithm))
