from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmrazor.core.graph import example_inputs
from mmrazor.core.space import Subnet
from mmrazor.models.architectures import (
    SubnetModelError,
    architecture_config,
    build_architecture,
    slimmed,
    subnet_model,
)
from mmrazor.models.architectures.resolve import is_pruned, pruned_from
from mmrazor.models.pruners import Pruned, prune_model
from tests.tiny_models import TINY, classifier

pytest.importorskip("mmcv")


@dataclass
class Made:
    """A pruned model and its files."""

    cfg: dict[str, Any]
    pruned: Pruned
    inputs: dict[str, Any]
    subnet: Path
    weights: Path

    def spec(self, **changes: Any) -> dict[str, Any]:
        return {
            "type": "mmrazor.SubnetModel",
            "architecture": self.cfg,
            "subnet": str(self.subnet),
            "checkpoint": str(self.weights),
            **changes,
        }


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Made]:
    """Return a function that prunes a tiny model and writes its files."""

    def make(scope: str = "mmpretrain", **changes: Any) -> Made:
        torch.manual_seed(0)
        cfg = TINY[scope](**changes)
        model = build_architecture(cfg)
        inputs = example_inputs(model, (64, 64))
        pruned = prune_model(model, inputs, {"macs": 0.5})
        path = pruned.subnet.dump(tmp_path / "subnet.yaml")
        torch.save(pruned.model.state_dict(), tmp_path / "pruned.pth")
        return Made(cfg, pruned, inputs, path, tmp_path / "pruned.pth")

    return make


def same_outputs(a: nn.Module, b: nn.Module, inputs: dict[str, Any]) -> bool:
    with torch.no_grad():
        first, second = (flat(model.eval()(**inputs)) for model in (a, b))
    return len(first) > 0 and all(map(torch.equal, first, second))


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in flat(item)]


@pytest.mark.parametrize("scope", TINY)
def test_the_hosts_own_model_comes_back_exactly(scope: str, made) -> None:
    one = made(scope)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(Config(one.spec())._cfg_dict)
    dense = build_architecture(one.cfg)
    assert type(model) is type(dense)
    assert list(model.state_dict()) == list(dense.state_dict())
    assert type(model.data_preprocessor) is type(dense.data_preprocessor)
    params = sum(p.numel() for p in model.parameters())
    assert params == one.pruned.cost.params < one.pruned.dense_cost.params
    assert same_outputs(model, one.pruned.model, one.inputs)


@pytest.mark.parametrize("scope", TINY)
def test_it_is_an_architecture_like_any_other(scope: str, made, tmp_path: Path) -> None:
    one = made(scope)
    # Neither the dict nor the run says which library the model is of.
    inner = {**one.cfg, "type": one.cfg["type"].partition(".")[2]}
    file = tmp_path / "pruned.py"
    file.write_text(
        f"default_scope = '{scope}'\nmodel = {one.spec(architecture=inner)}"
    )
    for source in (str(file), Config.fromfile(str(file)), one.spec()):
        found = architecture_config(source)
        assert is_pruned(found.model)
        assert found.scope == scope
        assert found.checkpoint == str(one.weights)
        assert pruned_from(found).model["type"].endswith(inner["type"])
        assert same_outputs(build_architecture(source), one.pruned.model, one.inputs)


def test_weights_named_outside_go_before_its_own(made, tmp_path: Path) -> None:
    one = made()
    file = tmp_path / "pruned.py"
    file.write_text(f"model = {one.spec(checkpoint=str(tmp_path / 'gone.pth'))}")
    state = {key: value + 1 for key, value in one.pruned.model.state_dict().items()}
    torch.save(state, tmp_path / "tuned.pth")
    spec = dict(cfg_path=str(file), checkpoint=str(tmp_path / "tuned.pth"))
    model = build_architecture(spec)
    assert all(map(torch.equal, model.state_dict().values(), state.values()))


def test_weights_of_the_architecture_are_cut(made, tmp_path: Path) -> None:
    one = made()
    torch.manual_seed(0)
    dense = build_architecture(one.cfg)  # with the weights that were pruned
    torch.save(dense.state_dict(), tmp_path / "dense.pth")
    cfg = {**one.cfg, "checkpoint": str(tmp_path / "dense.pth")}
    model = subnet_model(cfg, one.subnet)
    assert same_outputs(model, one.pruned.model, one.inputs)
    model.init_weights()  # as the Runner does
    assert same_outputs(model, one.pruned.model, one.inputs)


def test_settings_and_preprocessor_reach_the_architecture(made) -> None:
    one = made("mmseg")
    cfg = dict(one.cfg)
    preprocessor = {**cfg.pop("data_preprocessor"), "mean": [1.0, 2.0, 3.0]}
    model = MODELS.build(
        one.spec(
            architecture=cfg,
            data_preprocessor=preprocessor,
            test_cfg=dict(mode="slide", crop_size=(32, 32), stride=(16, 16)),
            train_cfg=None,
        )
    )
    assert model.data_preprocessor.mean.flatten().tolist() == [1.0, 2.0, 3.0]
    assert model.test_cfg.mode == "slide"
    assert model.train_cfg is None
    with pytest.raises(TypeError, match=r"ReLU is built already, so \['train_cfg'\]"):
        subnet_model(nn.ReLU(), one.subnet, train_cfg=dict())


def test_published_weights_of_the_dense_model_are_not_loaded(made, caplog) -> None:
    one = made()
    backbone = dict(
        **one.cfg["backbone"],
        init_cfg=[
            dict(type="Kaiming", layer="Conv2d"),
            dict(type="Pretrained", checkpoint="torchvision://resnet18"),
        ],
    )
    model = subnet_model({**one.cfg, "backbone": backbone}, one.subnet)
    assert model.backbone.init_cfg == [dict(type="Kaiming", layer="Conv2d")]
    model.init_weights()  # would look for the file
    weights = dict(type="Pretrained", checkpoint=str(one.weights))
    model = subnet_model(one.cfg, one.subnet, init_cfg=weights)
    model.init_weights()
    assert same_outputs(model, one.pruned.model, one.inputs)


def test_a_pruned_student_is_distilled(made) -> None:
    one = made()
    algorithm = MODELS.build(
        dict(
            type="mmrazor.SingleTeacherDistill",
            architecture=one.spec(),
            teacher={**one.cfg, "pretrained": False},
            distiller=dict(
                losses=dict(
                    kd=dict(
                        type="KLDivergence",
                        student="output:head.fc",
                        teacher="output:head.fc",
                    )
                )
            ),
        )
    )
    assert isinstance(algorithm, BaseModel)
    assert same_outputs(algorithm.architecture, one.pruned.model, one.inputs)
    losses = algorithm(**{**one.inputs, "mode": "loss"})
    assert set(losses) == {"loss", "distill.loss_kd"}
    sum(losses.values()).backward()
    assert algorithm.architecture.backbone.conv1.weight.grad is not None


def test_plain_torch_models_too(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    pruned = prune_model(net, torch.rand(1, 4), {"macs": 0.5})
    small = slimmed(net, pruned.subnet)
    assert same_outputs(small, pruned.model, {"input": torch.rand(3, 4)})
    assert net[0].out_features == 8
    with pytest.raises(SubnetModelError, match="plain torch module, which has no init"):
        subnet_model(net, pruned.subnet, init_cfg=dict(type="Kaiming"))


def test_another_number_of_classes_is_the_same_model(made) -> None:
    one = made()
    model = subnet_model(classifier(num_classes=7), one.subnet)
    assert model.head.fc.weight.shape[0] == 7
    assert model(**one.inputs).shape == (1, 7)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            dict(backbone=dict(base_channels=8), head=dict(in_channels=64)),
            r"another model than this ImageClassifier: \d+ have another size "
            r"\(backbone.layer1.0.conv1.weight is \[8, 4, 3, 3\] in the model and was "
            r"\[4, 4, 3, 3\]; .*Pass the config it was made with",
        ),
        (
            dict(backbone=dict(depth=34)),
            r"it has \d+ that are unknown there \(backbone.layer1.2.conv1.weight, ",
        ),
        (
            dict(
                backbone=dict(
                    num_stages=3,
                    out_indices=(2,),
                    strides=(1, 2, 2),
                    dilations=(1, 1, 1),
                ),
                head=dict(in_channels=16),
            ),
            r"it lacks \d+ of the tensors that are cut \(backbone.layer4.0.conv1.we",
        ),
        (
            dict(head=dict(type="StackedLinearClsHead", mid_channels=[8])),
            r"lacks 1 of the tensors that are cut \(head.fc.weight\)",
        ),
    ],
)
def test_subnet_of_another_model(changes: dict[str, Any], match: str, made) -> None:
    one = made()
    cfg = Config(one.cfg)
    cfg.merge_from_dict(changes)
    with pytest.raises(SubnetModelError, match=match):
        subnet_model(cfg._cfg_dict.to_dict(), one.subnet)


def test_missing_and_damaged_files(made, tmp_path: Path) -> None:
    one = made()
    with pytest.raises(
        FileNotFoundError,
        match=r"no subnet file '.*subnets.yaml'. '.*' holds subnet.yaml",
    ):
        subnet_model(one.cfg, tmp_path / "subnets.yaml")
    with pytest.raises(FileNotFoundError, match="no checkpoint file.*pruned.pth"):
        subnet_model(one.cfg, one.subnet, tmp_path / "prune.pth")
    (tmp_path / "broken.yaml").write_text("format: [")
    with pytest.raises(SubnetModelError, match="broken.yaml' cannot be read as YAML"):
        subnet_model(one.cfg, tmp_path / "broken.yaml")
    searched = Subnet("3f2a91c0", {"op": "mb_k5_e6"})
    with pytest.raises(SubnetModelError, match="3f2a91c0' has no slots"):
        subnet_model(one.cfg, searched)
    slots = {**one.pruned.subnet.slots, "slots": {"backbone.conv1.weight": 3}}
    damaged = Subnet("3f2a91c0", {}, slots)
    with pytest.raises(SubnetModelError, match="cuts of a pruned model are damaged"):
        subnet_model(one.cfg, damaged)
    with pytest.raises(ValueError, match="needs 'architecture', the model before"):
        architecture_config(dict(type="mmrazor.SubnetModel", subnet="a.yaml"))


def test_weights_of_another_model(made, tmp_path: Path) -> None:
    one = made()
    dense = build_architecture(one.cfg)
    state = {f"architecture.{k}": v for k, v in dense.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "dense.pth")
    with pytest.raises(SubnetModelError, match="holds the weights from before the"):
        subnet_model(one.cfg, one.subnet, tmp_path / "dense.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(SubnetModelError, match="does not fit ImageClassifier"):
        subnet_model(one.cfg, one.subnet, tmp_path / "other.pth")


def test_files_without_shapes_are_still_checked(made) -> None:
    one = made()
    slots = {k: v for k, v in one.pruned.subnet.slots.items() if k != "shapes"}
    old = Subnet(one.pruned.subnet.space, one.pruned.subnet.choices, slots)
    assert same_outputs(
        slimmed(build_architecture(one.cfg), old, one.weights),
        one.pruned.model,
        one.inputs,
    )
    narrow = Config(one.cfg)
    narrow.merge_from_dict(dict(backbone=dict(base_channels=2)))
    narrow.merge_from_dict(dict(head=dict(in_channels=16)))
    with pytest.raises(SubnetModelError, match=r"index \d+ of axis 0 is to be kept"):
        subnet_model(narrow._cfg_dict.to_dict(), old)
