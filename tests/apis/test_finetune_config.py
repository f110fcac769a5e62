from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mmrazor.apis.bare_config import architecture_of
from mmrazor.apis.finetune_config import finetune_config, write_config
from tests.tiny_models import classifier

FILES = ("{{ fileDirname }}/subnet.yaml", "{{ fileDirname }}/small.pth")


def tuned(**cfg: Any) -> Config:
    given = Config(dict(dict(default_scope="mmpretrain"), **cfg))
    return finetune_config(given, architecture_of(given), *FILES)


def test_a_plain_model_is_exchanged_and_the_rest_stays() -> None:
    model = classifier(type="ImageClassifier")
    preprocessor = model.pop("data_preprocessor")
    init = dict(type="Pretrained", checkpoint="torchvision://resnet18")
    model["backbone"] = {**model["backbone"], "init_cfg": init}
    cfg = tuned(
        model=model,
        data_preprocessor=preprocessor,
        load_from="dense.pth",
        resume=True,
        work_dir="here",
        train_cfg=dict(max_epochs=3),
    )
    assert cfg.model.type == "mmrazor.SubnetModel"
    assert (cfg.model.subnet, cfg.model.checkpoint) == FILES
    inner = cfg.model.architecture
    assert inner.type == "mmpretrain.ImageClassifier"
    assert inner.data_preprocessor == preprocessor
    assert inner.backbone.init_cfg is None
    assert cfg.train_cfg.max_epochs == 3
    assert not {"load_from", "resume", "work_dir"} & set(cfg)


def test_an_algorithm_keeps_its_parts_but_for_a_training_pruner() -> None:
    teacher = dict(cfg_path="teacher.py")
    parts = dict(type="mmrazor.Compress", architecture=classifier(), teacher=teacher)
    cfg = tuned(model=dict(**parts, pruner=dict(type="mmrazor.Pruner", budget={})))
    assert cfg.model.architecture.type == "mmrazor.SubnetModel"
    assert cfg.model.teacher == teacher
    assert "pruner" not in cfg.model
    cfg = tuned(model=dict(**parts, pruner=dict(budget={})))
    assert "pruner" not in cfg.model
    semi = dict(type="mmrazor.SemiStructuredPruner", n=2, m=4)
    cfg = tuned(model=dict(**parts, pruner=semi))
    assert cfg.model.pruner == semi


@pytest.mark.parametrize("method", ["DMCP", "DCFF", "NetworkSlimming", "GroupFisher"])
def test_what_a_method_needs_to_prune_goes_with_its_pruner(method: str) -> None:
    teacher = dict(cfg_path="teacher.py")
    model = dict(
        type=f"mmrazor.{method}",
        architecture=classifier(),
        pruner=dict(budget=dict(macs=0.5)),
        teacher=teacher,
        sparsity_weight=1e-4,
    )
    cfg = tuned(model=model)
    assert cfg.model.type == "mmrazor.Compress"
    assert set(cfg.model) == {"type", "architecture", "teacher"}
    assert cfg.model.architecture.type == "mmrazor.SubnetModel"


def test_classes_of_a_pure_python_config_are_named(tmp_path: Path) -> None:
    from mmpretrain.models import ImageClassifier

    given = Config(dict(model=classifier(type=ImageClassifier), default_scope=None))
    given._cfg_dict["optim_wrapper"] = dict(optimizer=dict(type=torch.optim.SGD))
    cfg = finetune_config(given, architecture_of(given), *FILES)
    read = Config.fromfile(str(write_config(tmp_path / "small.py", cfg, "")))
    assert read.model.architecture.type == (
        f"{ImageClassifier.__module__}.ImageClassifier"
    )
    assert read.optim_wrapper.optimizer.type == "torch.optim.sgd.SGD"
    assert architecture_of(read).scope == "mmpretrain"


def test_a_file_reads_as_it_was(tmp_path: Path) -> None:
    cfg = tuned(model=classifier(), scales=[(1, 2.5), None, True])
    path = write_config(tmp_path / "new" / "small.py", cfg, "one\ntwo")
    text = path.read_text()
    assert text.startswith("# one\n# two\n")
    read = Config.fromfile(str(path))
    assert read.model.subnet == str(path.parent / "subnet.yaml")
    assert read.scales == cfg.scales
    assert read.model.architecture == cfg.model.architecture


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"a": [1, torch.ones(1)]}, r"'extra.a\[1\]' is tensor\(\[1.\]\)"),
        (len, r"'extra' is <built-in function len>"),
        (float("inf"), r"'extra' is inf. A file holds dicts"),
        ({"two words": 1, "a": "{{ fileBasename }}"}, r"\['extra'\] would read diff"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(
    value: Any, match: str, tmp_path: Path
) -> None:
    cfg = tuned(model=classifier())
    cfg._cfg_dict["extra"] = value
    with pytest.raises(ValueError, match=match):
        write_config(tmp_path / "small.py", cfg, "")
    assert list(tmp_path.iterdir()) == []
