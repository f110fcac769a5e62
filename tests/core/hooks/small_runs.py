"""Runs of a few steps on sixteen images, for hooks that prune while training."""

import itertools

import torch
from mmengine.runner import Runner


class Data(torch.utils.data.Dataset):
    metainfo = {"classes": ("a", "b")}

    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        self.images = torch.randn(16, 3, 8, 8, generator=generator)

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return {"inputs": self.images[index], "data_samples": index % 2}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def ema_of(runner):
    return next(h for h in runner.hooks if hasattr(h, "ema_model")).ema_model


def runner_factory(folder, hook, **defaults):
    """Return a function that builds a Runner with a folder of its own.

    Args:
        folder: Work folders are made in it.
        hook: Config of the hook under test.
        **defaults: ``by_epoch``, ``length`` and ``interval`` (of checkpoints by step)
            if a call gives none.
    """
    count = itertools.count()

    def build(model, work_dir="run", hooks=(), **settings):
        settings = {**defaults, **settings}
        by_epoch, length = settings.pop("by_epoch"), settings.pop("length")
        interval = 1 if by_epoch else settings["interval"]
        del settings["interval"]
        unit = "max_epochs" if by_epoch else "max_iters"
        checkpoint = dict(type="CheckpointHook", interval=interval, by_epoch=by_epoch)
        return Runner(
            model,
            str(folder / work_dir),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=Data(),
                sampler=dict(type="DefaultSampler", shuffle=False),
            ),
            train_cfg=dict(by_epoch=by_epoch, **{unit: length}),
            optim_wrapper=settings.pop("optim_wrapper", None)
            or dict(optimizer=dict(type="SGD", lr=0.05, momentum=0.9)),
            default_hooks=dict(checkpoint=checkpoint),
            custom_hooks=[hook, *hooks],
            experiment_name=f"{folder.name}_{next(count)}",
            default_scope="mmrazor",
            **settings,
        )

    return build
