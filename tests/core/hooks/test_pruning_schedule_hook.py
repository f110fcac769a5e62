"""The hook in small runs: averages, checkpoints, resuming, files, errors."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.apis import load_subnet
from mmrazor.core.hooks import PruningScheduleHook
from mmrazor.core.protocols import PRUNING_KEY
from mmrazor.models.algorithms import Algorithm
from tests.core.hooks.small_runs import assert_equal, ema_of, runner_factory

HOOK = dict(type="mmrazor.PruningScheduleHook")
LINEAR = dict(type="LinearSchedule", begin=0, end=6, interval=3)


class Net(BaseModel):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Conv2d(8, 12, 3, padding=1)
        self.head = nn.Linear(12, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        inputs = inputs if torch.is_tensor(inputs) else torch.stack(list(inputs))
        x = self.body(self.norm(self.stem(inputs)).relu()).relu()
        logits = self.head(x.mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.as_tensor(data_samples))}
        return logits


class Watch(Hook):
    """Keeps weights, momenta and kept channels of every step, after prunings."""

    priority = "LOWEST"

    def __init__(self):
        self.begun, self.done = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.begun.append(self.look(runner))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.done.append(self.look(runner))

    def look(self, runner):
        model = runner.model
        state = runner.optim_wrapper.optimizer.state
        named = dict(model.architecture.named_parameters())
        kept = model.pruner.state.kept
        return {
            "weights": {name: p.detach().clone() for name, p in named.items()},
            "momenta": {
                name: state[p]["momentum_buffer"].clone()
                for name, p in named.items()
                if p in state
            },
            "stem": kept.get("stem.out", list(range(8))),
            "body": kept.get("body.out", list(range(12))),
        }


def left(tensors, step, stem, body):
    """Return by hand what is left of one step's tensors on channels of the original."""
    on = [step["stem"].index(i) for i in stem]
    at = [step["body"].index(i) for i in body]
    return {
        **{n: tensors[n][on] for n in ("stem.weight", "stem.bias")},
        **{n: tensors[n][on] for n in ("norm.weight", "norm.bias")},
        "body.weight": tensors["body.weight"][at][:, on],
        "body.bias": tensors["body.bias"][at],
        "head.weight": tensors["head.weight"][:, at],
        "head.bias": tensors["head.bias"],
    }


def algorithm(net=None, **pruner):
    settings = dict(type="Pruner", budget=dict(macs=0.5), image_size=(8, 8))
    return Algorithm(Net() if net is None else net, pruner={**settings, **pruner})


@pytest.fixture
def runner_of(tmp_path):
    """Return a function that builds a Runner in a folder of its own."""
    return runner_factory(tmp_path, HOOK, by_epoch=False, length=8, interval=2)


def test_the_run_shrinks_the_model_when_the_schedule_says(runner_of, tmp_path):
    watch = Watch()
    runner = runner_of(algorithm(schedule=LINEAR), hooks=[watch])
    parameters = dict(runner.model.architecture.named_parameters())
    runner.train()
    sizes = [sum(w.numel() for w in step["weights"].values()) for step in watch.begun]
    # steps 0 to 2, 3 to 5 and from 6 on are of one size each
    assert [sizes.index(size) for size in sizes] == [0, 0, 0, 3, 3, 3, 6, 6]
    assert sizes[0] > sizes[3] > sizes[6]
    now = dict(runner.model.architecture.named_parameters())
    assert all(now[name] is p for name, p in parameters.items())
    files = [(tmp_path / f"run/iter_{i}.pth").stat().st_size for i in (2, 4, 8)]
    assert files[0] > files[1] > files[2]


def test_weights_and_momenta_of_surviving_channels_stay(runner_of):
    watch = Watch()
    runner_of(algorithm(schedule=LINEAR), hooks=[watch]).train()
    for time in (3, 6):
        before, after = watch.done[time - 1], watch.begun[time]
        stem, body = after["stem"], after["body"]
        assert len(stem) + len(body) < len(before["stem"]) + len(before["body"])
        for kind in ("weights", "momenta"):
            assert_equal(after[kind], left(before[kind], before, stem, body))


@pytest.mark.parametrize("update_buffers", [False, True])
def test_the_average_is_that_of_the_surviving_channels(runner_of, update_buffers):
    watch = Watch()
    ema = dict(type="EMAHook", momentum=0.3, update_buffers=update_buffers)
    model = algorithm(schedule=LINEAR)
    runner = runner_of(model, hooks=[ema, watch])
    runner.train()
    average = ema_of(runner).module.architecture
    assert str(average) == str(model.architecture)
    last = watch.done[-1]
    expected = None  # a_0 = w_0, a_t = 0.7 a + 0.3 w
    for step in watch.done:
        now = left(step["weights"], step, last["stem"], last["body"])
        expected = expected or now
        expected = {n: 0.7 * expected[n] + 0.3 * value for n, value in now.items()}
    for name, parameter in average.named_parameters():
        torch.testing.assert_close(parameter.data, expected[name])
    assert len(average.norm.running_mean) == len(last["stem"])


@pytest.mark.parametrize(
    ("by_epoch", "schedule", "resume_at"),
    [
        (False, LINEAR, "iter_2.pth"),
        (False, LINEAR, "iter_4.pth"),
        (False, LINEAR, "iter_6.pth"),
        (True, dict(LINEAR, end=2, interval=1, by_epoch=True), "epoch_1.pth"),
        (True, dict(LINEAR, end=2, interval=1, by_epoch=True), "epoch_2.pth"),
    ],
)
def test_a_run_resumed_before_between_and_after_prunings(
    runner_of, tmp_path, by_epoch, schedule, resume_at
):
    kwargs = dict(
        by_epoch=by_epoch,
        length=4 if by_epoch else 8,
        hooks=[dict(type="EMAHook", update_buffers=True)],
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.01)),
    )
    whole = runner_of(algorithm(schedule=schedule), **kwargs)
    whole.train()
    again = runner_of(
        algorithm(schedule=schedule),
        "again",
        load_from=str(tmp_path / "run" / resume_at),
        resume=True,
        **kwargs,
    )
    again.train()
    assert again.model.pruner.state == whole.model.pruner.state
    assert_equal(again.model.state_dict(), whole.model.state_dict())
    assert_equal(ema_of(again).state_dict(), ema_of(whole).state_dict())
    for first, second in zip(
        again.optim_wrapper.optimizer.state.values(),
        whole.optim_wrapper.optimizer.state.values(),
        strict=True,
    ):
        assert_equal(first, second)


def test_files_after_training_rebuild_the_model(runner_of, tmp_path):
    runner = runner_of(algorithm(schedule=LINEAR), hooks=[dict(type="EMAHook")])
    runner.train()
    small = load_subnet(
        Net(), tmp_path / "run/subnet.yaml", tmp_path / "run/pruned.pth"
    )
    average = ema_of(runner).module.architecture
    assert str(small) == str(average)
    assert_equal(dict(small.state_dict()), dict(average.state_dict()))
    stored = torch.load(tmp_path / "run" / "pruned.pth", weights_only=True)
    assert stored["meta"]["dataset_meta"] == {"classes": ["a", "b"]}


def test_a_summary_is_logged(runner_of, tmp_path):
    runner = runner_of(algorithm(schedule=LINEAR))
    runner.train()
    text = next((tmp_path / "run").glob("*/*.log")).read_text()
    state = runner.model.pruner.state
    assert text.count("Pruned at iteration") == 2
    for share in (state.cost().macs / state.dense_cost().macs, 1):
        assert f"{share:.1%}" in text


def test_a_checkpoint_is_tested_in_a_model_built_anew(runner_of, tmp_path):
    runner_of(algorithm(schedule=LINEAR)).train()
    path = tmp_path / "run/iter_8.pth"
    stored = torch.load(path, weights_only=False)
    model = algorithm(schedule=LINEAR)
    runner = runner_of(model, "test")
    runner.load_checkpoint(str(path))
    assert_equal(dict(model.state_dict()), dict(stored["state_dict"]))
    assert stored["meta"][PRUNING_KEY]["finished"]


def test_one_shot_prunes_the_weights_that_are_loaded(runner_of, tmp_path):
    other = Net()
    with torch.no_grad():  # the last channels are the smallest, unlike Net()'s own
        for layer in (other.stem, other.body):
            size = torch.arange(len(layer.weight), 0, -1.0)
            layer.weight.copy_(size[:, None, None, None].expand_as(layer.weight))
    state = {f"architecture.{k}": v for k, v in other.state_dict().items()}
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "dense.pth")
    model = algorithm()
    at_building = model.pruner.state.kept
    watch = Watch()
    runner = runner_of(
        model,
        hooks=[watch, dict(type="EMAHook")],
        length=2,
        load_from=str(tmp_path / "dense.pth"),
    )
    runner.train()
    stem, body = watch.begun[0]["stem"], watch.begun[0]["body"]
    assert (stem, body) == (list(range(len(stem))), list(range(len(body))))
    assert len(stem) + len(body) < 20
    assert at_building["stem.out"] != stem
    assert_equal(
        watch.begun[0]["weights"],
        left(
            dict(other.named_parameters()),
            {"stem": list(range(8)), "body": list(range(12))},
            stem,
            body,
        ),
    )


def test_one_shot_prunes_the_weights_that_init_cfg_makes(runner_of):
    init = dict(type="Constant", layer="Conv2d", val=0.25)
    model = algorithm(Net(init_cfg=init))
    at_building = model.pruner.state.kept["stem.out"]
    watch = Watch()
    runner_of(model, hooks=[watch, dict(type="EMAHook")], length=2).train()
    first = watch.begun[0]
    assert bool((first["weights"]["stem.weight"] == 0.25).all())
    # equal weights: the first channels stay
    assert (first["stem"], first["body"]) == (
        list(range(len(first["stem"]))),
        list(range(len(first["body"]))),
    )
    assert at_building != first["stem"]
    assert len(first["stem"]) + len(first["body"]) < 20
    assert model.pruner.state.steps[0]["time"] is None


def test_weights_given_to_the_architecture_are_pruned_once(runner_of, tmp_path):
    net = Net()
    net.is_init = True  # as build_architecture(checkpoint=...) leaves it
    model = algorithm(net)
    cuts, weight = model.pruner.state.cuts, model.architecture.body.weight.clone()
    watch = Watch()
    runner_of(model, hooks=[watch], length=2).train()
    assert model.pruner.state.cuts is cuts
    assert torch.equal(watch.begun[0]["weights"]["body.weight"], weight)


@pytest.mark.parametrize("kind", ["TaylorImportance", "FisherImportance"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_are_read_before_a_pruning(runner_of, accumulate, kind):
    model = algorithm(importance=kind, num_batches=4)
    counts = []

    class Count(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            counts.append(runner.model.pruner.scores.count)

    optimizer = dict(type="SGD", lr=0.05, momentum=0.9)
    wrapper = dict(optimizer=optimizer, accumulative_counts=accumulate)
    runner = runner_of(model, hooks=[Count()], optim_wrapper=wrapper)
    runner.train()
    steps = [1, 2, 3, 4] if accumulate == 1 else [0, 1, 1, 2]
    assert counts == [*steps, 0, 0, 0, 0]
    assert [step["time"] for step in model.pruner.state.steps] == [4]
    assert not runner.optim_wrapper.optimizer._optimizer_step_pre_hooks


class Scaler:
    """As torch's for half precision: it leaves one step out and halves its scale."""

    def __init__(self, skip_at):
        self.scale, self.skip_at, self.step = 64.0, skip_at, 0

    def get_scale(self):
        return self.scale


class Scaled(OptimWrapper):
    def __init__(self, skip_at, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = Scaler(skip_at)

    def backward(self, loss, **kwargs):
        super().backward(self.loss_scaler.scale * loss, **kwargs)

    def step(self, **kwargs):
        scaler = self.loss_scaler
        scaler.step += 1
        for parameter in self.optimizer.param_groups[0]["params"]:
            parameter.grad /= scaler.scale
        if scaler.step == scaler.skip_at:
            scaler.scale /= 2
        else:
            super().step(**kwargs)


def test_mask_gradients_of_steps_that_are_left_out_do_not_count(runner_of):
    def sums_of(work_dir, wrapper, **settings):
        model = algorithm(importance="FisherImportance", num_batches=4)
        found = []

        class Look(Hook):
            priority = "LOWEST"

            def after_train_iter(self, runner, *_, **__):
                scores = runner.model.pruner.scores
                found.append((scores.count, dict(scores.sums)))

        runner = runner_of(model, work_dir, hooks=[Look()], length=5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        runner.optim_wrapper = wrapper(optimizer=optimizer, **settings)
        runner.train()
        return found

    plain = sums_of("plain", OptimWrapper)
    scaled = sums_of("scaled", Scaled, skip_at=2)
    assert [count for count, _ in plain] == [1, 2, 3, 4, 0]
    assert [count for count, _ in scaled] == [1, 1, 2, 3, 0]
    for name, total in plain[3][1].items():
        skipped = plain[1][1][name] - plain[0][1][name]
        torch.testing.assert_close(scaled[3][1][name], total - skipped)


def test_masks_are_refused_in_a_compiled_run(runner_of):
    model = algorithm(importance="FisherImportance", schedule=LINEAR)
    runner = runner_of(model)
    runner.cfg.compile = True
    with pytest.raises(ValueError, match="not seen in a compiled model. Leave compile"):
        runner.train()


def test_gradients_are_read_at_the_end_of_an_epoch(runner_of):
    model = algorithm(
        importance="TaylorImportance",
        num_batches=3,
        schedule=dict(LINEAR, begin=1, end=3, interval=2, by_epoch=True),
    )
    counts = []

    class Count(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            counts.append(runner.model.pruner.scores.count)

    runner_of(model, by_epoch=True, length=4, hooks=[Count()]).train()
    # four steps an epoch; at epoch 1 the budget is still that of the dense network
    assert counts == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0]
    assert [step["time"] for step in model.pruner.state.steps] == [3]


def test_the_best_checkpoint_is_sought_anew_after_a_pruning(runner_of):
    runner = runner_of(algorithm(schedule=LINEAR))
    runner.message_hub.update_info("best_score", 99.0)
    runner.message_hub.update_info("best_ckpt", "best.pth")
    runner.train()
    assert "best_score" not in runner.message_hub.runtime_info
    assert "best_ckpt" in runner.message_hub.runtime_info


@pytest.mark.parametrize(
    ("schedule", "by_epoch", "text"),
    [
        (dict(LINEAR, end=8), False, "there are 8 iterations.*earlier end"),
        (dict(LINEAR, end=8, by_epoch=True), True, "there are 8 epochs"),
        (dict(LINEAR, by_epoch=True), False, "IterBasedTrainLoop has none"),
    ],
)
def test_a_schedule_that_does_not_fit_the_run(runner_of, schedule, by_epoch, text):
    runner = runner_of(algorithm(schedule=schedule), by_epoch=by_epoch)
    with pytest.raises(ValueError, match=text):
        runner.train()


@pytest.mark.parametrize("model", [Net, lambda: Algorithm(Net())])
def test_a_model_without_a_pruner_is_refused(runner_of, model):
    with pytest.raises(TypeError, match="needs an Algorithm with pruner=dict"):
        runner_of(model()).train()


def test_a_wrapper_that_cannot_take_in_other_sizes_is_refused(runner_of):
    runner = runner_of(algorithm(schedule=LINEAR))
    runner.model = nn.DataParallel(runner.model)
    with pytest.raises(TypeError, match="DataParallel cannot take in.*AlgorithmDDP"):
        PruningScheduleHook()._rebuild_wrapper(runner)


def test_faults_stop_the_run_before_its_first_step(runner_of):
    watch = Watch()
    model = algorithm(schedule=LINEAR, budget=dict(macs=0.001))
    with pytest.raises(ValueError, match="macs is at least"):
        runner_of(model, hooks=[watch]).train()
    assert watch.begun == []
