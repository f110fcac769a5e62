"""Two streams: who gets what, in which order, and the same again after a resume."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

import mmrazor  # noqa: F401 - registers
from mmrazor.core.space import Subnet
from mmrazor.models.algorithms import DSNAS, SPOS, Darts
from tests.models.algorithms.nas.toys import Net

KIND = "mmrazor.SeparateOptimWrapperConstructor"
OPTIM = dict(
    constructor=KIND,
    architecture=dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9)),
    mutator=dict(optimizer=dict(type="Adam", lr=0.05)),
)


class Numbers(Dataset):
    """Sample ``i`` has the label ``i % 2`` and ``i`` in its inputs, with noise."""

    metainfo: dict = {}

    def __init__(self, begin, count):
        self.begin, self.count = begin, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        number = self.begin + index
        inputs = torch.tensor([number / 10, float(index % 2), torch.rand(()).item()])
        return {"inputs": inputs, "data_samples": index % 2, "number": number}


class Watch(Hook):
    """Notes the samples of both streams, and takes them off the batches."""

    priority = "LOWEST"

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        streams = data_batch if isinstance(data_batch, list) else [data_batch]
        self.seen.append([batch.pop("number").tolist() for batch in streams])
        self.seen[-1] += [batch["inputs"][:, 2].tolist() for batch in streams]


def loader(begin, count, batch_size=2):
    return dict(
        batch_size=batch_size,
        num_workers=0,
        collate_fn=dict(type="default_collate"),
        sampler=dict(type="DefaultSampler", shuffle=True),
        dataset=Numbers(begin, count),
    )


@pytest.fixture
def run(tmp_path):
    """Return a function that trains in a folder of its own."""

    def train(
        model, name, epochs, second=None, optim=OPTIM, hooks=(), seed=3, **settings
    ):
        watch = Watch()
        loop = dict(by_epoch=True, max_epochs=epochs)
        if second is not None:
            loop = dict(
                type="mmrazor.BilevelLoop", max_epochs=epochs, mutator_dataloader=second
            )
        runner = Runner(
            model,
            str(tmp_path / name),
            train_dataloader=loader(0, 12),
            train_cfg=loop,
            optim_wrapper=optim,
            custom_hooks=[dict(type="mmrazor.RandomStateHook"), watch, *hooks],
            experiment_name=f"{tmp_path.name}{name}{epochs}{settings}",
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
            randomness=dict(seed=seed),
            **settings,
        )
        runner.train()
        return runner, watch

    return train


def test_the_second_stream_begins_anew_and_never_ends(run):
    second = dict(dataset=Numbers(100, 8))  # the rest is as in train_dataloader
    _, watch = run(Darts(Net()), "a", 2, second)
    assert len(watch.seen) == 12
    first = [[n for step in watch.seen[e : e + 6] for n in step[0]] for e in (0, 6)]
    assert all(sorted(epoch) == list(range(12)) for epoch in first)
    other = [[n for step in watch.seen[e : e + 6] for n in step[1]] for e in (0, 6)]
    passes = [epoch[:8] for epoch in other]
    assert all(sorted(one) == list(range(100, 108)) for one in passes)
    assert passes[0] != passes[1]
    assert all(len(set(epoch[8:])) == 4 for epoch in other)


def test_one_dataset_in_both_streams_comes_in_two_orders(run):
    _, watch = run(Darts(Net()), "a", 1, dict(dataset=Numbers(0, 12)))
    assert [step[0] for step in watch.seen] != [step[1] for step in watch.seen]
    noise = [[x for step in watch.seen for x in step[place]] for place in (2, 3)]
    assert not set(noise[0]) & set(noise[1])  # its own random stream


@pytest.mark.parametrize("kind", ["darts", "second order", "dsnas", "spos"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(run, kind):
    def build():
        if kind == "spos":
            return SPOS(Net("one_shot", norm=True), seed=1)
        if kind == "dsnas":
            return DSNAS(Net("one_hot", norm=True), seed=1)
        return Darts(Net(norm=True), unroll=kind != "darts")

    second = None if kind in ("dsnas", "spos") else dict(dataset=Numbers(100, 8))
    optim = OPTIM
    if kind == "spos":
        optim = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9))
    settings = dict(second=second, optim=optim)
    whole, seen = run(build(), "whole", 3, **settings)
    run(build(), "parts", 1, **settings)
    last = f"{whole.work_dir[: -len('whole')]}parts/epoch_1.pth"
    # the seed is that of the checkpoint, as if it had been drawn by chance
    resumed, after = run(
        build(), "parts", 3, load_from=last, resume=True, seed=99, **settings
    )
    assert after.seen == seen.seen[6:]
    state = whole.model.state_dict()
    assert int(state["search_steps"]) == 18
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_the_derived_subnet_is_written(run):
    hook = dict(type="mmrazor.DumpSubnetHook", interval=2)
    second = dict(dataset=Numbers(100, 8))
    runner, _ = run(Darts(Net()), "a", 3, second, hooks=[hook])
    folder = runner.work_dir
    subnet = Subnet.load(f"{folder}/subnet.yaml")
    assert dict(subnet.choices) == runner.model.derived()
    assert subnet.space == runner.model.space.fingerprint()
    Subnet.load(f"{folder}/subnet_epoch_2.yaml").check(runner.model.space)
    plain = runner.model.subnet_model(subnet.choices)
    assert not any("candidates" in name for name in plain.state_dict())


def test_an_empty_second_stream_is_refused(run):
    second = dict(dataset=Numbers(100, 1), drop_last=True)
    with pytest.raises(ValueError, match="mutator_dataloader gives no batch"):
        run(Darts(Net()), "a", 1, second)
