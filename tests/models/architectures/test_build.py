from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmrazor.models.architectures import architecture_config, build_architecture
from tests.tiny_models import TINY, classifier, detector

RESNET = "mmpretrain::resnet/resnet18_8xb32_in1k.py"


def current_scope() -> str | None:
    """By name: mmengine copies the instances when it puts a scope back."""
    instance = DefaultScope.get_current_instance()
    return None if instance is None else instance.scope_name


@pytest.mark.parametrize("scope", TINY)
def test_model_dict_of_each_host(scope: str) -> None:
    before = current_scope()
    model = build_architecture(TINY[scope]())
    assert type(model).__module__.startswith(f"{scope}.")
    # A bare ``ResNet`` inside is the host's own.
    assert type(model.backbone).__module__.startswith(f"{scope}.")
    assert current_scope() == before


@pytest.mark.parametrize("scope", TINY)
def test_scope_by_key_by_default_scope_and_by_search(scope: str) -> None:
    plain = TINY[scope]()
    plain["type"] = plain["type"].split(".")[1]
    wanted = type(build_architecture(TINY[scope]()))
    assert type(build_architecture({**plain, "_scope_": scope})) is wanted
    with DefaultScope.overwrite_default_scope(scope):
        assert type(build_architecture(plain)) is wanted
    # Nobody names the library: only one has such a class.
    assert architecture_config(plain).scope == scope


def test_scope_of_the_model_wins_over_that_of_the_run() -> None:
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = build_architecture(detector())
    assert type(model.backbone).__module__.startswith("mmdet.")


def test_mmcls_means_mmpretrain() -> None:
    model = build_architecture(classifier(type="mmcls.ImageClassifier"))
    assert type(model).__module__.startswith("mmpretrain.")
    assert architecture_config("mmcls::resnet/resnet18_8xb32_in1k.py").scope == (
        "mmpretrain"
    )


def test_ambiguous_type_asks_for_the_library() -> None:
    with pytest.raises(ValueError, match=r"'ResNet' exists in .*type='mm\w+.ResNet'"):
        build_architecture(dict(type="ResNet", depth=18))


def test_unknown_type_lists_near_names() -> None:
    with pytest.raises(ValueError, match=r"'RetinaNett' is not registered.*RetinaNet"):
        build_architecture(dict(type="RetinaNett"))


def test_class_of_the_user() -> None:
    @MODELS.register_module()
    class OwnNet(nn.Linear):
        pass

    try:
        spec = dict(type="OwnNet", in_features=2, out_features=3)
        assert isinstance(build_architecture(spec), OwnNet)
        assert architecture_config(spec).scope is None
    finally:
        del MODELS.module_dict["OwnNet"]


def test_module_is_returned_as_it_is() -> None:
    model = nn.Linear(2, 3)
    assert build_architecture(model) is model


def test_cfg_path_file_and_config_give_the_same(tmp_path) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"_base_ = ['{RESNET}']\n")
    by_path = architecture_config(RESNET)
    assert by_path.scope == "mmpretrain"
    assert by_path.cfg_path == RESNET
    assert by_path.model["data_preprocessor"]["num_classes"] == 1000
    for other in (file, str(file), Config.fromfile(str(file)), dict(cfg_path=RESNET)):
        found = architecture_config(other)
        assert found.scope == "mmpretrain"
        assert found.model["backbone"]["depth"] == by_path.model["backbone"]["depth"]
        assert found.model["data_preprocessor"]["mean"] == [123.675, 116.28, 103.53]


def test_overrides_are_merged_into_the_model() -> None:
    spec = dict(
        cfg_path=RESNET,
        pretrained=False,
        backbone=dict(stem_channels=4, base_channels=4),
        head=dict(_delete_=True, type="LinearClsHead", num_classes=7, in_channels=32),
    )
    found = architecture_config(spec)
    assert found.model["backbone"]["depth"] == 18
    assert "topk" not in found.model["head"]
    model = build_architecture(spec)
    assert model.head.fc.weight.shape == (7, 32)
    # The spec is not changed: it is built again for the teacher, for export...
    assert spec["head"]["_delete_"] is True


def test_precedence_of_the_data_preprocessor() -> None:
    run = dict(type="ClsDataPreprocessor", mean=[1.0], std=[1.0])
    own = dict(type="ClsDataPreprocessor", mean=[2.0], std=[2.0])

    def mean(cfg, argument=None):
        return architecture_config(cfg, argument).model["data_preprocessor"]["mean"]

    assert mean(RESNET) == [123.675, 116.28, 103.53]
    assert mean(RESNET, run) == [1.0]
    assert mean(dict(cfg_path=RESNET, data_preprocessor=own), run) == [2.0]
    assert mean(classifier(data_preprocessor=own), run) == [2.0]
    bare = classifier()
    del bare["data_preprocessor"]
    assert mean(bare, run) == [1.0]


def test_setting_called_pretrained_of_a_segmentor_is_left_to_it() -> None:
    path = "mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py"
    ours = architecture_config(dict(cfg_path=path, pretrained=False))
    assert ours.model["pretrained"] == "open-mmlab://resnet18_v1c"
    theirs = architecture_config(dict(cfg_path=path, pretrained=None))
    assert theirs.model["pretrained"] is None
    assert not theirs.pretrained


def test_dict_that_is_no_architecture() -> None:
    with pytest.raises(ValueError, match=r"needs 'type'.*or 'cfg_path'.*\['depth'\]"):
        build_architecture(dict(depth=18))
    with pytest.raises(TypeError, match="not int"):
        build_architecture(3)  # type: ignore[arg-type]


def test_config_without_model(tmp_path) -> None:
    file = tmp_path / "data.py"
    file.write_text("data_root = 'data'\n")
    with pytest.raises(ValueError, match=r"has no 'model' dict.*data_root"):
        build_architecture(file)


def test_two_sets_of_weights() -> None:
    with pytest.raises(ValueError, match="two sets of weights"):
        build_architecture(RESNET, pretrained=True, checkpoint="a.pth")


def test_pretrained_needs_a_cfg_path() -> None:
    for cfg in (classifier(), nn.Linear(1, 1), classifier(pretrained=True)):
        with pytest.raises(ValueError, match=r"needs a cfg_path.*checkpoint="):
            build_architecture(cfg, pretrained=True)


def test_pretrained_without_network(monkeypatch, tmp_path) -> None:
    def unreachable(url: str, path: str, prefix: str | None) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(
        ConnectionError, match=r"Cannot download.*resnet18_8xb32_in1k.*checkpoint="
    ):
        build_architecture(RESNET, pretrained=True)


def test_checkpoint_of_a_spec_is_loaded_and_kept(tmp_path) -> None:
    source = build_architecture(classifier())
    torch.save(source.state_dict(), tmp_path / "w.pth")
    model = build_architecture(classifier(checkpoint=str(tmp_path / "w.pth")))
    assert isinstance(model, BaseModule)
    model.init_weights()  # must not start over
    for key, value in model.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])
