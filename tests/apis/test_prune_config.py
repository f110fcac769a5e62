"""A config and a checkpoint go in; files that stand on their own come out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from rich.console import Console

from mmrazor.apis.export import export_model
from mmrazor.apis.infer import inference, init_model
from mmrazor.apis.onnx import OnnxExportError
from mmrazor.apis.prune_config import prune_config
from mmrazor.apis.prune_report import PruneInfo, report
from mmrazor.apis.run_config import RunConfigError, load_config
from mmrazor.core.space import Subnet
from mmrazor.models.architectures import build_architecture
from mmrazor.models.pruners import BudgetError, NothingPrunableError
from tests.apis import test_export, test_sparsify
from tests.tiny_models import SCOPES, TINY, classifier

mmcv = pytest.importorskip("mmcv")

HALF = dict(macs=0.5)
PARTS = ("checkpoint", "subnet", "architecture", "type")


def write_plain(scope: str, folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Write the config of a host model, as its users have it, and a checkpoint."""
    config, checkpoint = test_export.write_run(scope, folder)
    cfg = Config.fromfile(str(config))
    cfg.model = {**cfg.model.architecture, **changes}
    cfg.val_cfg, cfg.custom_hooks = dict(), []
    cfg.work_dir, cfg.load_from = str(folder / "work"), "gone.pth"
    state = torch.load(checkpoint, weights_only=False)
    state["state_dict"] = {
        key.removeprefix("architecture."): value
        for key, value in state["state_dict"].items()
        if key.startswith("architecture.")
    }
    torch.save(state, folder / "plain.pth")
    cfg.dump(folder / "plain.py")
    return folder / "plain.py", folder / "plain.pth"


def halved(scope: str, folder: Path, **options: Any) -> PruneInfo:
    config, checkpoint = write_plain(scope, folder)
    options = {"budget": HALF, "onnx": False, **options}
    return prune_config(config, checkpoint, **options)


@pytest.fixture
def image(tmp_path: Path) -> str:
    pixels = np.random.RandomState(0).randint(0, 255, (64, 96, 3), np.uint8)
    mmcv.imwrite(pixels, str(tmp_path / "image.png"))
    return str(tmp_path / "image.png")


def values_of(scope: str, model: Any, image: str) -> list[float]:
    found = test_export.values_of(scope, inference(model, image))
    return test_export.flat(found)


@pytest.mark.parametrize("scope", TINY)
def test_files_stand_on_their_own(scope: str, tmp_path: Path, image: str) -> None:
    info = halved(scope, tmp_path, onnx=scope == "mmpretrain")
    folder = tmp_path / "work" / "pruned"
    names = ["plain_pruned.pth", "plain_pruned.py", "plain_pruned_subnet.yaml"]
    if info.onnx is not None:
        assert info.onnx.max_difference < 1e-3
        names.insert(0, "plain_pruned.onnx")
    assert sorted(path.name for path in folder.iterdir()) == names
    cost, dense = info.pruned.cost, info.pruned.dense_cost
    assert 0.45 * dense.macs < cost.macs <= 0.5 * dense.macs
    assert info.pruned.max_difference < 1e-4
    assert info.reload_difference == 0.0
    assert info.not_trained == ""
    assert info.image_size == (64, 64 if scope == "mmpretrain" else 96)

    content = torch.load(info.checkpoint, weights_only=True)  # no allow-list needed
    state, model = content["state_dict"], build_architecture(TINY[scope]())
    assert list(state) == list(model.state_dict())
    assert sum(state[k].numel() for k, _ in model.named_parameters()) == cost.params
    assert content["meta"]["dataset_meta"]["classes"] == test_export.CLASSES
    written, before = info.checkpoint.stat().st_size, (tmp_path / "plain.pth").stat()
    assert info.dense_bytes == pytest.approx(before.st_size, rel=0.05)
    assert written < before.st_size

    tuned = Config.fromfile(str(info.config))
    assert set(tuned.model) == set(PARTS)
    assert "load_from" not in tuned
    assert "work_dir" not in tuned
    assert tuned.val_evaluator.type == test_export.EVALUATORS[scope]["type"]
    expected = values_of(scope, _with_config(info.pruned.model, info.config), image)
    found = init_model(info.config, info.checkpoint, device="cpu")
    assert values_of(scope, found, image) == expected
    assert len(expected) > 2


def _with_config(model: Any, config: Path) -> Any:
    model.cfg = init_model(config, device="cpu").cfg
    return model


def test_the_folder_may_be_moved(tmp_path: Path, image: str) -> None:
    info = halved("mmpretrain", tmp_path)
    first = build_architecture(str(info.config))
    shutil.move(info.config.parent, tmp_path / "else where")
    moved = tmp_path / "else where" / info.config.name
    subnet = moved.with_name("plain_pruned_subnet.yaml")
    assert Config.fromfile(str(moved)).model.subnet == str(subnet)
    second = build_architecture(str(moved))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("scope", SCOPES)
def test_an_exported_pruned_model_works_in_the_host(
    scope: str, tmp_path: Path, image: str
) -> None:
    pruned = halved(scope, tmp_path)
    onnx = scope == "mmdet"
    info = export_model(pruned.config, pruned.checkpoint, tmp_path / "out", onnx=onnx)
    names = ["plain_pruned.onnx"] if onnx else []
    names += ["plain_pruned.pth", "plain_pruned.py", "plain_pruned_subnet.yaml"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert info.subnet == tmp_path / "out" / names[-1]
    assert info.cost.macs == pruned.pruned.cost.macs
    text = info.config.read_text()
    assert "a pruned model; needs" in text.splitlines()[0]
    assert "checkpoint=" not in text.split("model = ")[1].split("test_")[0]
    shutil.rmtree(pruned.config.parent)  # nothing of it is needed any more

    ours = init_model(info.config, info.checkpoint, device="cpu")
    expected = values_of(scope, ours, image)
    out = tmp_path / "bare.json"
    code = test_export.ENVELOPE.format(code=test_export.BARE[scope])
    code = code.replace("assert 'mmrazor' not in sys.modules\n", "")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [
            *(sys.executable, "-c", f"import sys; sys.path.append('{root}')\n{code}"),
            *map(str, (info.config, info.checkpoint, image, out)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found, classes = json.loads(out.read_text())
    assert classes == list(test_export.CLASSES)
    np.testing.assert_allclose(test_export.flat(found), expected, rtol=1e-5, atol=1e-6)


def test_an_algorithm_stays_and_its_student_is_pruned(tmp_path: Path) -> None:
    config, checkpoint = test_export.write_run("mmpretrain", tmp_path)
    info = prune_config(
        config, checkpoint, budget=HALF, onnx=False, work_dir=tmp_path, name="small"
    )
    assert info.config == tmp_path / "small.py"
    model = Config.fromfile(str(info.config)).model
    assert model.type == "mmrazor.SingleTeacherDistill"
    assert model.teacher.cfg_path == "gone.py"
    assert model.architecture.type == "mmrazor.SubnetModel"
    assert model.architecture.architecture.type == "mmpretrain.ImageClassifier"
    state = torch.load(info.checkpoint, weights_only=True)["state_dict"]
    assert not any(key.startswith("architecture.") for key in state)
    again = build_architecture(dict(model.architecture))
    assert all(map(torch.equal, again.state_dict().values(), state.values()))
    exported = export_model(info.config, info.checkpoint, tmp_path / "o", onnx=False)
    assert "SingleTeacherDistill" not in exported.config.read_text()


def test_a_pruned_model_is_pruned_again(tmp_path: Path) -> None:
    first = halved("mmdet", tmp_path, budget=dict(macs=0.7))
    second = prune_config(
        first.config,
        first.checkpoint,
        budget=dict(macs=0.7),
        onnx=False,
        work_dir=first.config.parent,  # the first subnet is overwritten
    )
    assert second.reload_difference == 0.0
    assert second.pruned.dense_cost.macs == first.pruned.cost.macs
    model = Config.fromfile(str(second.config)).model
    assert model.architecture.type == "mmdet.RetinaNet"
    assert (second.subnet, second.config) != (first.subnet, first.config)
    subnet = Subnet.load(second.subnet)
    dense = build_architecture(TINY["mmdet"]())
    weights = second.pruned.model.backbone.conv1.weight
    kept = subnet.choices["backbone.conv1.out"]
    assert len(kept) == weights.shape[0]
    original = torch.load(tmp_path / "plain.pth", weights_only=False)["state_dict"]
    assert torch.equal(weights, original["backbone.conv1.weight"][kept])
    assert weights.shape[0] < dense.backbone.conv1.weight.shape[0]


@pytest.mark.parametrize("importance", ["TaylorImportance", "FisherImportance"])
def test_importances_that_read_gradients(importance: str, tmp_path: Path) -> None:
    config, checkpoint = test_sparsify.write_run(tmp_path)
    prune = dict(budget=HALF, onnx=False, image_size=[32], calib_batches=2)
    found = [
        prune_config(
            config,
            checkpoint,
            importance=importance,
            seed=seed,
            work_dir=tmp_path / str(number),
            **prune,
        )
        for number, seed in enumerate((0, 0, 1))
    ]
    kept = [info.pruned.kept for info in found]
    assert kept[0] == kept[1] != kept[2]
    plain = prune_config(
        config, checkpoint, budget=HALF, onnx=False, image_size=[32], work_dir=tmp_path
    )
    assert plain.pruned.kept != kept[0]


def test_settings_reach_the_pruner(tmp_path: Path) -> None:
    config, checkpoint = write_plain("mmseg", tmp_path)
    info = prune_config(
        config,
        checkpoint,
        budget=dict(params=0.9),
        importance=dict(type="L2Importance", reduction="max"),
        ranking="local",
        divisor=2,
        min_keep=0.5,
        ignore=["backbone.layer4"],
        image_size=[48, 64],
        onnx=False,
        name="four",
        cfg_options={"val_dataloader.batch_size": 7},
    )
    assert info.config.name == "four.py"
    assert info.image_size == (48, 64)
    assert Config.fromfile(str(info.config)).val_dataloader.batch_size == 7
    dense = build_architecture(TINY["mmseg"]())
    small = info.pruned.model
    assert small.backbone.layer4[1].conv1.weight.shape[0] == 32
    for name, kept in info.pruned.kept.items():
        assert len(kept) >= info.pruned.sizes[name] / 2
        assert len(kept) * info.channels[name] % 2 == 0
    params = sum(p.numel() for p in dense.parameters())
    assert info.pruned.cost.params <= 0.9 * params


def test_report_tells_everything(tmp_path: Path) -> None:
    text = printed(halved("mmdet", tmp_path))
    for word in (
        "Channels of RetinaNet",
        "backbone.layer1.0.conv1.out",
        "neck.fpn_convs.0.conv.out",
        "Total, for one image of 64 x 96",
        "weights on disk",
        "Left alone",
        "is an output of the network",
        "bbox_head.retina_cls.out, bbox_head.retina_reg.out",
        "difference after reading the files back: 0e+00; a step of training runs",
        "python tools/train.py",
        "python tools/export.py",
    ):
        assert word in text, word
    assert "50.0%" in text or "49." in text


def test_macs_of_a_group_are_those_of_its_layers(tmp_path: Path) -> None:
    info = halved("mmpretrain", tmp_path)
    rows = [line.split() for line in printed(info).splitlines() if "conv1.out" in line]
    row = next(row for row in rows if "backbone.layer1.0.conv1.out" in row)
    kept = info.pruned.kept
    width = len(kept["backbone.layer1.0.conv1.out"])
    inputs = len(kept["backbone.conv1.out"])
    macs = 16 * 16 * 9 * inputs * width  # the layer's map is a quarter of 64 x 64
    assert row[3] == "4"
    assert row[5] == str(width)
    assert " ".join(row[9:]).startswith("36.9 k")
    assert f"{macs / 1e3:.3g}" in " ".join(row)


def test_onnx_that_fails_is_told_and_the_rest_stays(tmp_path, monkeypatch) -> None:
    def fail(*_: Any) -> None:
        raise OnnxExportError("No exporter takes it.")

    monkeypatch.setattr("mmrazor.apis.reading_back.export_onnx", fail)
    info = halved("mmpretrain", tmp_path, onnx=True)
    assert info.onnx is None
    assert info.config.is_file()
    assert "ONNX: not written. No exporter takes it." in printed(info)


def test_without_a_checkpoint_weights_are_random_and_that_is_said(
    tmp_path, monkeypatch
) -> None:
    lines = []
    monkeypatch.setattr(
        "mmrazor.apis.prune_source.print_log", lambda text, **_: lines.append(text)
    )
    config, checkpoint = write_plain("mmpretrain", tmp_path)
    info = prune_config(config, budget=HALF, onnx=False)
    assert info.reload_difference == 0
    assert lines[0].startswith("No checkpoint: the weights are random")
    # Weights that the config names for its architecture are taken.
    spec = dict(type="mmrazor.Algorithm", architecture=dict(cfg_path=str(config)))
    spec["architecture"]["checkpoint"] = str(checkpoint)
    cfg = load_config(config)
    cfg.model = spec
    info = prune_config(cfg, budget=HALF, onnx=False)
    assert len(lines) == 1
    weight = info.pruned.model.head.fc.bias
    given = torch.load(checkpoint, weights_only=False)["state_dict"]["head.fc.bias"]
    assert torch.equal(weight, given)


def test_budget_below_the_least(tmp_path: Path) -> None:
    with pytest.raises(
        BudgetError,
        match=r"macs is at least .* and may be .* Most of it is in groups 'backbone",
    ) as info:
        halved("mmpretrain", tmp_path, budget=dict(macs=0.01), min_keep=2)
    assert info.value.minimum["macs"] > 0
    assert not (tmp_path / "work").exists()


def test_nothing_prunable(tmp_path: Path) -> None:
    with pytest.raises(
        NothingPrunableError,
        match=r"Nothing in ImageClassifier can be pruned.*'backbone', which is ignored",
    ):
        halved("mmpretrain", tmp_path, ignore=["backbone"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            dict(importance="L3Importance"),
            r"'L3Importance' is no importance. Near names",
        ),
        (
            dict(divisor=64),
            r"divisor 64 is larger than group 'backbone.conv1.out' \(4 ",
        ),
        (dict(budget=dict(flops=0.5)), r"The budget has 'flops'; it may have \['macs'"),
        (dict(budget=dict(macs=-1)), r"budget macs=-1 is not above 0"),
        (dict(ranking="best"), r"ranking is 'best'; use one of"),
        (dict(ignore=["backbne"]), r"ImageClassifier has no module 'backbne'"),
        (
            dict(image_size=[1, 2, 3]),
            r"image_size=\[1, 2, 3\] must be height and width",
        ),
        (dict(calib_batches=4), r"L1Importance reads no gradients, so calib_batches=4"),
        (dict(calib_batches=-1), r"calib_batches=-1 must be at least 0"),
        (
            dict(importance="TaylorImportance", calib_batches=0),
            r"TaylorImportance reads gradients, which takes batches of the training",
        ),
    ],
)
def test_faults_of_settings(options: dict[str, Any], match: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=match):
        halved("mmpretrain", tmp_path, **options)
    assert not (tmp_path / "work").exists()


def test_a_model_that_refuses_the_example_inputs(tmp_path: Path) -> None:
    head = {**classifier()["head"], "in_channels": 33}
    config, _ = write_plain("mmpretrain", tmp_path, head=head)
    with pytest.raises(
        ValueError, match=r"ImageClassifier does not run on images of 64"
    ):
        prune_config(config, budget=HALF)


def test_files_that_are_not_there_or_do_not_fit(tmp_path: Path) -> None:
    config, checkpoint = write_plain("mmpretrain", tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint file.*plain.pth"):
        prune_config(config, tmp_path / "plane.pth", budget=HALF)
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not fit ImageClassifier"):
        prune_config(config, tmp_path / "other.pth", budget=HALF)
    with pytest.raises(FileNotFoundError, match="no config file"):
        prune_config(tmp_path / "plane.py", checkpoint, budget=HALF)
    with pytest.raises(RunConfigError, match="has no train_dataloader to calibrate"):
        prune_config(config, checkpoint, budget=HALF, importance="TaylorImportance")
    options = {"model.backbone.type": "ResNat"}
    with pytest.raises(RunConfigError, match="type='ResNat'.*Near names: ResNet"):
        prune_config(config, checkpoint, budget=HALF, cfg_options=options)
    cfg = load_config(config)
    cfg.pop("val_dataloader")
    with pytest.raises(ValueError, match="does not tell the size.*--image-size"):
        prune_config(cfg, checkpoint, budget=HALF)
    with pytest.raises(ValueError, match="has no 'model' dict"):
        prune_config(Config(dict(a=1)), budget=HALF)


def printed(info: PruneInfo) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(report(info), crop=False)
    return capture.get()
