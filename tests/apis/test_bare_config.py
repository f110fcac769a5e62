from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmrazor.apis.bare_config import bare_config
from tests.tiny_models import classifier, detector

RESNET = "mmpretrain::resnet/resnet18_8xb32_in1k.py"


def algorithm_config(folder: Path, text: str = "") -> Config:
    file = folder / "kd.py"
    file.write_text(
        f"_base_ = ['{RESNET}']\n"
        "model = dict(_delete_=True, type='mmrazor.SingleTeacherDistill',\n"
        f"    architecture=dict(cfg_path='{RESNET}', pretrained=False,\n"
        "    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth'))),\n"
        f"    teacher=dict(cfg_path='{RESNET}'), distiller=dict(losses=dict()))\n"
        "val_cfg = dict(_delete_=True, type='mmrazor.DistillValLoop')\n"
        "custom_hooks = [dict(type='mmrazor.StopDistillHook', epoch=3)]\n"
        "custom_imports = dict(imports=['mmrazor', 'json'])\n" + text
    )
    return Config.fromfile(str(file), import_custom_modules=False)


def test_algorithm_becomes_its_architecture(tmp_path: Path) -> None:
    bare = bare_config(algorithm_config(tmp_path))
    assert bare.default_scope == "mmpretrain"
    assert bare.model.type == "ImageClassifier"
    assert bare.model.backbone.depth == 18
    assert bare.model.backbone.init_cfg is None
    assert bare.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert bare.val_cfg == {}
    assert bare.custom_imports.imports == ["json"]
    assert "custom_hooks" not in bare
    assert "train_dataloader" not in bare
    assert "mmrazor" not in bare.pretty_text
    for stage in ("val", "test"):
        assert bare[f"{stage}_dataloader"].dataset.type == "ImageNet"
        assert bare[f"{stage}_evaluator"].type == "Accuracy"


def test_host_config_is_kept(tmp_path: Path) -> None:
    bare = bare_config(Config.fromfile(str(algorithm_config(tmp_path).filename)))
    again = bare_config(bare)
    assert again._cfg_dict == bare._cfg_dict


def test_preprocessor_of_the_run_and_of_the_algorithm(tmp_path: Path) -> None:
    cfg = algorithm_config(
        tmp_path, "data_preprocessor = dict(_delete_=True, mean=[1.0], std=[1.0])\n"
    )
    assert bare_config(cfg).model.data_preprocessor.mean == [1.0]
    cfg.model.data_preprocessor = dict(mean=[2.0], std=[1.0])
    assert bare_config(cfg).model.data_preprocessor.mean == [2.0]


def test_test_settings_fall_back_to_those_of_validation(tmp_path: Path) -> None:
    cfg = algorithm_config(tmp_path)
    for key in ("test_dataloader", "test_evaluator", "test_cfg"):
        cfg.pop(key)
    bare = bare_config(cfg)
    assert bare.test_dataloader == bare.val_dataloader
    assert bare.test_cfg == {}


def test_run_of_another_scope_is_marked() -> None:
    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=dict(type="mmrazor.Algorithm", architecture=detector()),
            test_dataloader=dict(dataset=dict(type="CustomDataset")),
            test_evaluator=[dict(type="Accuracy"), dict(type="mmdet.CocoMetric")],
            visualizer=dict(type="UniversalVisualizer"),
        )
    )
    bare = bare_config(cfg)
    assert bare.default_scope == "mmdet"
    assert bare.test_dataloader.dataset._scope_ == "mmpretrain"
    assert bare.visualizer._scope_ == "mmpretrain"


def test_renamed_library_is_written_under_its_present_name() -> None:
    model = classifier(type="mmcls.ImageClassifier")
    model["backbone"]["_scope_"] = "mmcls"
    model["head"]["type"] = "mmcls.LinearClsHead"
    bare = bare_config(Config(dict(model=dict(architecture=model))))
    assert bare.model.type == "mmpretrain.ImageClassifier"
    assert bare.model.head.type == "mmpretrain.LinearClsHead"
    assert "mmcls" not in bare.pretty_text


def test_parts_of_ours_that_cannot_go_are_named(tmp_path: Path) -> None:
    cfg = algorithm_config(tmp_path)
    cfg.test_evaluator = dict(type="mmrazor.OwnMetric")
    with pytest.raises(ValueError, match=r"need mmrazor for \['mmrazor.OwnMetric'\]"):
        bare_config(cfg)


def test_config_without_model() -> None:
    with pytest.raises(ValueError, match="has no 'model' dict"):
        bare_config(Config(dict(data_root="data")))
