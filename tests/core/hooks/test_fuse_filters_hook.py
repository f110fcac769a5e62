"""DCFF in small runs: places, resuming, averages, files, errors."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from mmrazor.apis import build_architecture, count_cost, load_subnet
from mmrazor.core.protocols import PRUNING_KEY
from mmrazor.models.algorithms import Algorithm
from mmrazor.models.algorithms.pruning import DCFF
from mmrazor.models.architectures import load_weights
from mmrazor.models.ops import FuseConv2d, annealed_inverse_temperature
from mmrazor.models.pruners.pruning_state import PruningStateError
from tests.core.hooks.small_runs import assert_equal, ema_of, runner_factory

FUSED = {"stem", "body", "side", "deep"}


class Net(BaseModel):
    """A residual sum, a depthwise convolution, a concatenation and a linear layer."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.side = nn.Conv2d(8, 12, 3, padding=1)
        self.deep = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.head = nn.Linear(20, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        inputs = inputs if torch.is_tensor(inputs) else torch.stack(list(inputs))
        x = self.norm(self.stem(inputs)).relu()
        x = (x + self.body(x)).relu()
        y = self.deep(self.side(x).relu()).relu()
        logits = self.head(torch.cat([x, y], 1).mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.as_tensor(data_samples))}
        return logits


class Watch(Hook):
    """Keeps what the network is at every step."""

    priority = "LOWEST"

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        layers = fused_layers(model)
        self.seen.append(
            {
                "temperature": {m.inverse_temperature for m in layers.values()},
                "places": {n: m.representatives.tolist() for n, m in layers.items()},
                "weights": {n: m.weight.detach().clone() for n, m in layers.items()},
            }
        )


def fused_layers(model):
    named = model.architecture.named_modules()
    return {name: m for name, m in named if isinstance(m, FuseConv2d)}


def algorithm(net=None, **pruner):
    settings = dict(budget=dict(macs=0.5), image_size=(8, 8), **pruner)
    return DCFF(Net() if net is None else net, pruner=settings)


def output(model, images):
    """Return what the Architecture makes of images in eval mode."""
    model.eval()
    with torch.no_grad():
        result = model.architecture(images)
    model.train()
    return result


@pytest.fixture
def runner_of(tmp_path):
    """Return a function that builds a Runner in a folder of its own."""
    return runner_factory(
        tmp_path,
        dict(type="mmrazor.FuseFiltersHook"),
        by_epoch=True,
        length=4,
        interval=1,
    )


def test_a_run_is_compact_from_the_first_step_and_plain_in_the_end(runner_of):
    watch = Watch()
    model = algorithm()
    parameters = dict(model.architecture.named_parameters())
    dense = count_cost(Net(), torch.zeros(1, 3, 8, 8)).macs
    runner_of(model, hooks=[watch]).train()
    first = watch.seen[0]
    assert set(first["places"]) == FUSED
    # one choice for all convolutions of a group
    assert first["places"]["stem"] == first["places"]["body"]
    assert first["places"]["side"] == first["places"]["deep"]
    assert len(first["places"]["stem"]) < 8
    assert len(first["places"]["side"]) < 12
    # all filters are trained, each of the compact number of inputs
    width = len(first["places"]["stem"])
    assert first["weights"]["body"].shape == (8, width, 3, 3)
    assert not fused_layers(model)
    assert all(type(m) is not FuseConv2d for m in model.modules())
    cost = count_cost(model.architecture, torch.zeros(1, 3, 8, 8)).macs
    assert cost == model.pruner.state.cost().macs
    assert 0.3 < cost / dense <= 0.5
    now = dict(model.architecture.named_parameters())
    assert all(now[name] is p for name, p in parameters.items())


def test_the_temperature_is_that_of_each_epoch(runner_of):
    watch = Watch()
    runner_of(algorithm(rate=0.5, temperatures=(2, 50)), hooks=[watch]).train()
    expected = [
        {annealed_inverse_temperature(epoch, 3, 2, 50, 0.5)} for epoch in range(4)
    ]
    assert [step["temperature"] for step in watch.seen[::4]] == expected
    assert expected[0] == {2}
    assert expected[3] == {50}
    assert watch.seen[4]["temperature"] == watch.seen[7]["temperature"]


def divergence_by_loops(rows, inverse_temperature):
    flat = rows.double().flatten(1)
    p = torch.stack([(f - flat).square().sum(1).sqrt() for f in flat])
    p = torch.exp(-inverse_temperature * p)
    p = p / p.sum(1, keepdim=True)
    return torch.stack([(a * (a / p).log()).sum() for a in p]) / len(p)


def test_representatives_are_the_filters_that_differ_most(runner_of):
    watch = Watch()
    settings = dict(rate=0.1, temperatures=(1, 3))
    runner_of(algorithm(**settings), hooks=[watch], length=3).train()
    for step in (4, 8):
        before, now = watch.seen[step - 1]["places"], watch.seen[step]
        (temperature,) = now["temperature"]
        for names in (("stem", "body"), ("side", "deep")):
            weights = [now["weights"][name] for name in names]
            scores = sum(divergence_by_loops(w, temperature) for w in weights)
            places = now["places"][names[0]]
            best = scores.argsort(descending=True)[: len(places)].tolist()
            assert sorted(places) == sorted(best)
            stay = [a == b for a, b in zip(places, before[names[0]], strict=True)]
            kept = set(places) & set(before[names[0]])
            assert sum(stay) == len(kept)


def test_trained_weights_keep_their_norms_and_readers(runner_of):
    model, net = algorithm(), Net()
    watch = Watch()
    with torch.no_grad():
        net.norm.weight.copy_(torch.arange(8.0))
    model.architecture.load_state_dict(net.state_dict())
    model.architecture.is_init = True
    found = {}

    class Look(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if not found:
                state = runner.model.architecture.state_dict()
                found.update({k: v.clone() for k, v in state.items()})

    runner_of(model, hooks=[Look(), watch], length=1).train()
    stem, side = watch.seen[0]["places"]["stem"], watch.seen[0]["places"]["side"]
    assert found["norm.weight"].tolist() == stem
    columns = [*stem, *(8 + i for i in side)]
    assert torch.equal(found["head.weight"], net.head.weight[:, columns])
    assert torch.equal(found["body.weight"], net.body.weight[:, stem])
    assert torch.equal(found["stem.weight"], net.stem.weight)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("temperatures", [(1, 1e4), (0.5, 2)])
def test_the_plain_network_equals_the_fused_one(runner_of, optimizer, temperatures):
    images = torch.randn(4, 3, 8, 8)
    fused = []

    class Look(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            fused.append(output(runner.model, images))

    settings = dict(type=optimizer, lr=0.01)
    model = algorithm(temperatures=temperatures, rate=0.3)
    runner = runner_of(
        model, hooks=[Look()], optim_wrapper=dict(optimizer=settings), length=3
    )
    runner.train()
    assert len(fused) == 12
    torch.testing.assert_close(output(model, images), fused[-1], rtol=1e-5, atol=1e-6)
    if optimizer == "AdamW":
        for parameter, state in runner.optim_wrapper.optimizer.state.items():
            assert state["exp_avg"].shape == parameter.shape


CASES = [
    (True, f"epoch_{epoch}.pth", buffers) for epoch in (1, 3) for buffers in (0, 1)
] + [(False, f"iter_{step}.pth", 0) for step in (1, 2, 4)]


@pytest.mark.parametrize(("by_epoch", "resume_at", "buffers"), CASES)
def test_a_resumed_run_equals_the_whole(
    runner_of, tmp_path, by_epoch, resume_at, buffers
):
    kwargs = dict(
        by_epoch=by_epoch,
        length=4,
        hooks=[dict(type="EMAHook", momentum=0.2, update_buffers=bool(buffers))],
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.01)),
    )
    settings = dict(by_epoch=by_epoch, interval=1 if by_epoch else 2)
    settings.update(rate=0.2, temperatures=(1, 4))
    whole = runner_of(algorithm(**settings), **kwargs)
    whole.train()
    path = str(tmp_path / "run" / resume_at)
    again = runner_of(
        algorithm(**settings), "again", load_from=path, resume=True, **kwargs
    )
    again.train()
    assert again.model.pruner.state == whole.model.pruner.state
    assert again.model.pruner.finished
    assert_equal(again.model.state_dict(), whole.model.state_dict())
    assert_equal(ema_of(again).state_dict(), ema_of(whole).state_dict())
    for first, second in zip(
        again.optim_wrapper.optimizer.state.values(),
        whole.optim_wrapper.optimizer.state.values(),
        strict=True,
    ):
        assert_equal(first, second)


@pytest.mark.parametrize("update_buffers", [False, True])
def test_the_average_is_of_all_filters(runner_of, update_buffers):
    model = algorithm(temperatures=(1, 2), rate=0.1)
    watched, average = [], []

    class Look(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            watched.append(model.architecture.stem.weight.detach().clone())
            module = ema_of(runner).module.architecture
            average.append(module.stem.weight.detach().clone())
            places = fused_layers(ema_of(runner).module)["stem"].representatives
            assert torch.equal(places, model.architecture.stem.representatives)

    ema = dict(type="EMAHook", momentum=0.3, update_buffers=update_buffers)
    runner = runner_of(model, hooks=[ema, Look()], length=2)
    runner.train()
    expected = watched[0]
    for now, found in zip(watched, average, strict=True):
        expected = 0.7 * expected + 0.3 * now
        torch.testing.assert_close(found, expected)
    assert str(ema_of(runner).module.architecture) == str(model.architecture)


@pytest.mark.parametrize("ema", [False, True])
def test_every_checkpoint_holds_the_compact_network(runner_of, tmp_path, ema):
    hooks = [dict(type="EMAHook", momentum=0.3)] if ema else []
    seen = {}
    images = torch.randn(2, 3, 8, 8)

    class Look(Hook):
        priority = "LOWEST"

        def after_train_epoch(self, runner):
            source = ema_of(runner).module if ema else runner.model
            seen[runner.epoch + 1] = output(source, images)

    settings = dict(temperatures=(1, 3), rate=0.2)
    runner = runner_of(algorithm(**settings), hooks=[*hooks, Look()], length=3)
    runner.train()
    for epoch in (1, 2, 3):
        path = tmp_path / f"run/epoch_{epoch}.pth"
        stored = torch.load(path, weights_only=False)
        assert stored["meta"][PRUNING_KEY]["finished"] is (epoch == 3)
        assert ("filter_fusion" in stored) is (epoch < 3)
        subnet = runner.model.pruner.state.subnet()
        small = load_subnet(build_architecture(Net()), subnet)
        load_weights(small, path)
        torch.testing.assert_close(small.eval()(images), seen[epoch])
        model = algorithm(**settings)
        runner_of(model, "test").load_checkpoint(str(path))
        assert not fused_layers(model)
        torch.testing.assert_close(output(model, images), seen[epoch])


def test_files_after_training_rebuild_the_network(runner_of, tmp_path):
    runner = runner_of(algorithm(), hooks=[dict(type="EMAHook")])
    runner.train()
    files = [tmp_path / "run" / name for name in ("subnet.yaml", "pruned.pth")]
    small = load_subnet(Net(), *files)
    average = ema_of(runner).module.architecture
    assert str(small) == str(average)
    assert_equal(dict(small.state_dict()), dict(average.state_dict()))


def test_a_run_that_is_stopped_early_ends_plain(runner_of, tmp_path):
    class Stop(Hook):
        def after_train_epoch(self, runner):
            runner.train_loop.stop_training = True

    runner = runner_of(algorithm(), hooks=[Stop()])
    runner.train()
    assert runner.epoch == 1
    assert runner.model.pruner.finished
    assert not fused_layers(runner.model)
    small = load_subnet(
        Net(), tmp_path / "run/subnet.yaml", tmp_path / "run/pruned.pth"
    )
    state = dict(runner.model.architecture.state_dict())
    assert_equal(dict(small.state_dict()), state)


def test_weights_that_init_cfg_makes_are_fused(runner_of):
    watch = Watch()
    init = dict(type="Constant", layer="Conv2d", val=0.25)
    runner_of(algorithm(Net(init_cfg=init)), hooks=[watch], length=1).train()
    first = watch.seen[0]
    assert bool((first["weights"]["body"] == 0.25).all())
    # equal filters: the first ones represent
    assert first["places"]["stem"] == list(range(len(first["places"]["stem"])))


def test_a_checkpoint_without_its_filters_is_refused(runner_of, tmp_path):
    runner_of(algorithm(), length=2).train()
    path = tmp_path / "run/epoch_1.pth"
    content = torch.load(path, weights_only=False)
    del content["filter_fusion"]
    torch.save(content, path)
    again = runner_of(algorithm(), "again", load_from=str(path), resume=True)
    with pytest.raises(PruningStateError, match="holds no filters to go on with"):
        again.train()


def test_a_loop_without_epochs_needs_iterations(runner_of):
    with pytest.raises(ValueError, match="DCFFPruner counts epochs"):
        runner_of(algorithm(), by_epoch=False).train()


def test_another_algorithm_is_refused(runner_of):
    pruner = dict(type="DCFFPruner", budget=dict(macs=0.5))
    with pytest.raises(TypeError, match="needs model=dict\\(type='mmrazor.DCFF'"):
        runner_of(Algorithm(Net(), pruner=pruner)).train()
