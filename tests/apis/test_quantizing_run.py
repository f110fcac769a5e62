"""What run_config adds for a model with a quantizer."""

import pytest
from mmengine.config import Config

from mmrazor.apis.quantizing_run import set_quantizing_

LSQ = dict(type="LearnedStepSize", observer="LSQObserver", symmetric=True)
CROPPED = dict(dataset=dict(pipeline=[dict(type="CenterCrop", crop_size=32)]))


def config(quantizer=None, kind="mmrazor.Quantize", **keys):
    model = dict(type=kind, architecture=dict(type="mmpretrain.ImageClassifier"))
    if quantizer is not None:
        model["quantizer"] = quantizer
    optimizer = dict(type="SGD", lr=0.1, weight_decay=1e-4)
    keys = {"train_cfg": {}, "test_dataloader": CROPPED, **keys}
    cfg = Config(dict(model=model, optim_wrapper=dict(optimizer=optimizer), **keys))
    cfg.train_cfg = dict(by_epoch=True)
    return cfg


def test_the_hook_and_the_image_size_are_added_once():
    cfg = config()
    for _ in range(2):
        set_quantizing_(cfg)
        assert [hook.type for hook in cfg.custom_hooks] == ["mmrazor.CalibrateHook"]
        assert cfg.model.quantizer.image_size == [32, 32]
    assert "paramwise_cfg" not in cfg.optim_wrapper


def test_what_the_config_says_holds():
    hook = dict(type="CalibrateHook", batches=3)
    cfg = config(dict(image_size=[8, 8]), "mmrazor.Compress", custom_hooks=[hook])
    set_quantizing_(cfg)
    assert cfg.custom_hooks == [hook]
    assert cfg.model.quantizer.image_size == [8, 8]


def test_learned_steps_get_no_weight_decay():
    cfg = config(dict(weight=LSQ))
    set_quantizing_(cfg)
    expected = {"quantizer.": {"decay_mult": 0.0}}
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == expected
    given = dict(custom_keys={"quantizer": dict(lr_mult=0.1), "head": dict(lr_mult=2)})
    cfg = config(dict(weight=LSQ))
    cfg.optim_wrapper.paramwise_cfg = given
    set_quantizing_(cfg)
    assert cfg.optim_wrapper.paramwise_cfg == given


def test_other_models_are_left_alone():
    cfg = config(kind="mmrazor.Compress")
    before = cfg.to_dict()
    set_quantizing_(cfg)
    assert cfg.to_dict() == before


def test_faults_of_the_quantizer_are_found_before_anything_is_built():
    with pytest.raises(ValueError, match="There is no backend 'coreml'"):
        set_quantizing_(config(dict(backend="coreml")))
    with pytest.raises(ValueError, match="takes activations of 8 bits, not 4"):
        set_quantizing_(config(dict(activation=dict(bits=4))))
