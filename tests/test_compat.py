from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mmengine.utils
import pytest
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE, _get_cfg_metainfo
from mmengine.fileio import load
from mmengine.registry import MODELS, DefaultScope, Registry

from mmrazor import compat

RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
PSPNET = "pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, so that no other test has imported hosts."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[1],
    )


def test_apply_again_changes_nothing() -> None:
    table, finders = dict(MODULE2PACKAGE), list(sys.meta_path)
    compat.apply()
    compat.apply()
    assert table == MODULE2PACKAGE
    assert finders == sys.meta_path


def test_config_paths_of_the_hosts_resolve() -> None:
    # With the maintained fork, plain mmengine fails on the second of these.
    for path in (
        RETINANET,
        "mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py",
        "mmpretrain::resnet/resnet18_8xb32_in1k.py",
        "mmcls::resnet/resnet18_8xb32_in1k.py",
    ):
        file = compat.find_config(path)
        assert file.is_file()
        assert "model" in Config.fromfile(str(file))


def test_base_of_mmcls_and_mmseg_resolve(tmp_path) -> None:
    for base in (
        "mmcls::resnet/resnet18_8xb32_in1k.py",
        "mmseg::_base_/models/pspnet_r50-d8.py",
    ):
        file = tmp_path / "config.py"
        file.write_text(f"_base_ = ['{base}']\n")
        assert Config.fromfile(str(file)).model


def test_metafiles_of_a_host_are_parsed_once(monkeypatch) -> None:
    compat._load_once.cache_clear()
    parsed = []
    monkeypatch.setattr(compat, "load", lambda path: parsed.append(path) or load(path))
    for _ in range(2):
        assert _get_cfg_metainfo(str(compat.config_dir("mmseg").parents[1]), PSPNET)
    assert len(parsed) > 10
    assert len(parsed) == len(set(parsed))


def test_suffix_may_be_left_out() -> None:
    assert compat.find_config(RETINANET[:-3]) == compat.find_config(RETINANET)


def test_mmcls_types_are_those_of_mmpretrain() -> None:
    pytest.importorskip("mmpretrain")
    wanted = MODELS.get("mmpretrain.ImageClassifier")
    assert wanted is not None
    assert MODELS.get("mmcls.ImageClassifier") is wanted
    built = MODELS.build(dict(type="ResNet", depth=18, _scope_="mmcls"))
    assert type(built).__module__.startswith("mmpretrain.")


def test_class_registered_later_is_seen_under_both_names() -> None:
    registry = pytest.importorskip("mmpretrain.registry").MODELS
    assert MODELS.get("mmcls.ResNet") is not None

    @registry.register_module()
    class LateComer:
        pass

    try:
        assert MODELS.get("mmcls.LateComer") is LateComer
    finally:
        del registry.module_dict["LateComer"]


def test_mmcls_modules_are_not_loaded_twice() -> None:
    done = run_python(
        "import mmrazor, mmcls.models, mmpretrain.models\n"
        "assert mmcls.models is mmpretrain.models\n"
        "assert mmcls.models.ImageClassifier is mmpretrain.models.ImageClassifier\n"
        "assert mmpretrain.models.__name__ == 'mmpretrain.models'\n"
    )
    assert done.returncode == 0, done.stderr


def test_import_is_light_and_says_nothing() -> None:
    done = run_python(
        "import sys, mmrazor\n"
        "hosts = ('mmdet', 'mmseg', 'mmpretrain', 'mmcv', 'onnx', 'onnxruntime')\n"
        "assert not [name for name in hosts if name in sys.modules]\n"
        "assert 'mmengine.runner' not in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


def test_importing_hosts_keeps_the_default_scope_and_says_nothing() -> None:
    done = run_python(
        "from mmrazor import compat\n"
        "from mmengine.registry import DefaultScope, MODELS\n"
        "for host in compat.HOSTS: compat.import_host(host)\n"
        "assert DefaultScope.get_current_instance() is None\n"
        "assert 'RetinaNet' in MODELS.children['mmdet'].module_dict\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_host_scope_ends_with_the_block() -> None:
    before = DefaultScope.get_current_instance()
    with compat.host_scope("mmseg"):
        current = DefaultScope.get_current_instance()
        assert current is not None
        assert current.scope_name == "mmseg"
    after = DefaultScope.get_current_instance()
    assert (after is None) == (before is None)


def test_unknown_config_lists_near_names() -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"ships no config 'retinanet/retinanet_r50_fpn_1x_coc.py'.*Near names: "
        r"retinanet/retinanet_r50_fpn_1x_coco.py",
    ):
        compat.find_config("mmdet::retinanet/retinanet_r50_fpn_1x_coc.py")


def test_config_in_another_folder_is_found_by_its_name() -> None:
    with pytest.raises(FileNotFoundError, match="retinanet/retinanet_r50_fpn_1x_coco"):
        compat.find_config("mmdet::retina/retinanet_r50_fpn_1x_coco.py")


def test_unknown_library() -> None:
    with pytest.raises(ValueError, match=r"unknown library 'mmdett'.*mmdet"):
        compat.find_config("mmdett::retinanet/a.py")


def test_missing_file_lists_its_neighbours(tmp_path) -> None:
    (tmp_path / "student.py").write_text("")
    with pytest.raises(FileNotFoundError, match=r"no config file.*student.py"):
        compat.find_config(tmp_path / "students.py")


def test_host_that_is_not_installed() -> None:
    with pytest.raises(
        ModuleNotFoundError, match=r"'mmyolo' is not installed.*mmrazor\[mm\]"
    ):
        compat.find_config("mmyolo::yolov5/a.py")
    with pytest.raises(ModuleNotFoundError, match=r"'mmyolo' is not installed"):
        compat.import_host("mmyolo")


def test_mmcv_without_operators(monkeypatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'mmcv._ext'", name="mmcv._ext")

    monkeypatch.setattr(compat.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match=r"compiled operators.*rebuild mmcv"):
        compat.import_host("mmdet")


def test_a_missing_dependency_of_a_host_is_named(monkeypatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'ftfy'", name="ftfy")

    monkeypatch.setattr(compat.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match=r"'mmseg'.*is not: 'ftfy'"):
        compat.import_host("mmseg")


def test_nothing_is_ever_installed(monkeypatch) -> None:
    from mmengine.hub import get_config

    def refuse(command: list[str]) -> None:
        raise AssertionError(f"ran {command}")

    monkeypatch.setattr(mmengine.utils.package_utils, "call_command", refuse)
    monkeypatch.setattr(mmengine.utils.package_utils.subprocess, "check_call", refuse)
    compat.apply()
    with pytest.raises(ModuleNotFoundError, match="'mmyolo' is not installed"):
        get_config("mmyolo::yolov5/a.py")
    assert get_config("mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py")


def test_pretrained_url() -> None:
    url = compat.pretrained_url("mmcls::resnet/resnet18_8xb32_in1k.py")
    assert url.startswith("https://")
    assert url.endswith("resnet18_8xb32_in1k_20210831-fbbb1da6.pth")


def test_no_published_weights(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"No weights are published.*checkpoint="):
        compat.pretrained_url("mmdet::_base_/models/retinanet_r50_fpn.py")
    (tmp_path / "own.py").write_text("model = dict(type='A')\n")
    with pytest.raises(ValueError, match=r"is none of them.*checkpoint='weights.pth'"):
        compat.pretrained_url(tmp_path / "own.py")


def test_registry_of_mmcls_does_not_shadow_its_parent() -> None:
    pytest.importorskip("mmpretrain")
    MODELS.get("mmcls.ResNet")
    alias = MODELS.children["mmcls"]
    assert isinstance(alias, Registry)
    assert alias.module_dict is MODELS.children["mmpretrain"].module_dict
