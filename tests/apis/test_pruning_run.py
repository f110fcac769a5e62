"""What a pruner adds to a run's config."""

import pytest
from mmengine.config import Config

from mmrazor.apis import pruning_run
from mmrazor.apis.pruning_run import set_pruning_
from mmrazor.apis.run_config import run_config
from tests.tiny_models import classifier, detector

HOOK = {"type": "mmrazor.PruningScheduleHook"}


def config(model, pipeline=(), **settings):
    pruner = dict(type="Pruner", budget=dict(macs=0.5))
    loader = dict(dataset=dict(type="CustomDataset", pipeline=list(pipeline)))
    return Config(
        dict(
            model=dict(type="mmrazor.Compress", architecture=model, pruner=pruner),
            test_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            **settings,
        )
    )


def test_hook_and_image_size_are_added_once():
    crop = dict(type="CenterCrop", crop_size=96)
    cfg = run_config(config(classifier(), [crop], custom_hooks=[dict(type="EMAHook")]))
    kinds = [hook["type"] for hook in cfg.custom_hooks]
    assert kinds[:2] == ["EMAHook", HOOK["type"]]
    assert cfg.model.pruner.image_size == [96, 96]
    again = run_config(cfg)
    assert [hook["type"] for hook in again.custom_hooks] == kinds


def test_the_architecture_says_how_images_are_padded():
    resize = dict(type="Resize", scale=(100, 90), keep_ratio=True)
    cfg = config(detector(), [resize])
    set_pruning_(cfg)
    assert cfg.model.pruner.image_size == [96, 128]


def test_what_is_given_stays():
    cfg = config(classifier(), [dict(type="CenterCrop", crop_size=96)])
    cfg.model.pruner.update(image_size=[64, 64])
    cfg.custom_hooks = [dict(type="PruningScheduleHook", priority="NORMAL")]
    set_pruning_(cfg)
    assert cfg.model.pruner.image_size == [64, 64]
    assert len(cfg.custom_hooks) == 1


def test_a_test_needs_the_hook_but_no_size():
    cfg = config(classifier(), [dict(type="CenterCrop", crop_size=96)])
    cfg.pop("train_cfg")
    set_pruning_(cfg)
    assert cfg.custom_hooks == [HOOK]
    assert "image_size" not in cfg.model.pruner


def test_an_unknown_size_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(pruning_run, "print_log", lambda text, **_: said.append(text))
    cfg = config(classifier())
    set_pruning_(cfg)
    assert "image_size" not in cfg.model.pruner
    assert "images of 224 x 224" in said[0]


@pytest.mark.parametrize(
    "pruner", [None, dict(type="mmrazor.SemiStructuredPruner"), dict(type="Unknown")]
)
def test_other_pruners_ask_for_nothing(pruner):
    cfg = config(classifier())
    cfg.model.pruner = pruner
    set_pruning_(cfg)
    assert "custom_hooks" not in cfg
