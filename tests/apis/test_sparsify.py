"""A checkpoint goes in; a plain checkpoint with zeros and a report come out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmrazor.apis.calibration_batches import calibration_batches, calibration_loader
from mmrazor.apis.run_config import RunConfigError, run_config
from mmrazor.apis.sparsify import sparsify
from mmrazor.models.architectures import build_architecture, load_weights
from mmrazor.models.pruners.semi_structured import CalibrationError, semi_structured_
from tests.tiny_models import classifier

pytest.importorskip("mmpretrain")

CLASSES = ("ant", "bee", "cat")


def write_images(folder: Path, num: int = 4) -> None:
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(num):
            pixels = rng.integers(0, 256, size=(40, 48, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def loader(pipeline, **dataset):
    return dict(
        batch_size=5,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=True),
        dataset=dict(
            type="CustomDataset",
            metainfo=dict(classes=CLASSES),
            pipeline=[
                dict(type="LoadImageFromFile"),
                *pipeline,
                dict(type="PackInputs"),
            ],
            **dataset,
        ),
    )


def write_run(folder: Path, wrapped: bool = False, **pruner) -> tuple[Path, Path]:
    """Write a config, images and a dense checkpoint as an Algorithm leaves it."""
    write_images(folder / "images")
    train = loader(
        [dict(type="RandomResizedCrop", scale=32)], data_root=str(folder / "images")
    )
    if wrapped:
        train["dataset"] = dict(type="RepeatDataset", times=2, dataset=train["dataset"])
    model = dict(type="mmrazor.Algorithm", architecture=classifier())
    if pruner:
        model["pruner"] = dict(type="mmrazor.SemiStructuredPruner", **pruner)
    cfg = dict(
        default_scope="mmpretrain",
        model=model,
        train_dataloader=train,
        val_dataloader={
            **loader([dict(type="Resize", scale=(32, 32))], data_root="nowhere"),
            "batch_size": 3,
        },
        val_cfg=dict(),
        val_evaluator=dict(type="Accuracy"),
    )
    Config(cfg).dump(folder / "dense.py")
    torch.manual_seed(0)
    state = build_architecture(classifier()).state_dict()
    content = {
        "meta": {"dataset_meta": {"classes": CLASSES}, "epoch": 3},
        "state_dict": {f"architecture.{name}": value for name, value in state.items()},
    }
    torch.save(content, folder / "epoch_3.pth")
    return folder / "dense.py", folder / "epoch_3.pth"


def zeros_by_group(weight, m=4):
    return (weight.flatten(1) == 0).unflatten(1, (-1, m)).sum(-1)


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_writes_a_plain_checkpoint_and_a_report(tmp_path, method):
    config, checkpoint = write_run(tmp_path)
    info = sparsify(config, checkpoint, method=method, calib_batches=2)
    assert info.checkpoint == tmp_path / "sparse" / f"dense_{method}.pth"
    stored = torch.load(info.checkpoint, weights_only=True)
    assert stored["meta"] == {"dataset_meta": {"classes": CLASSES}}
    model = build_architecture(classifier())
    assert set(stored["state_dict"]) == set(model.state_dict())
    load_weights(model, info.checkpoint)
    report = json.loads(info.report_file.read_text())
    names = [layer["name"] for layer in report["layers"]]
    assert len(names) == 20  # all but the first convolution
    assert set(report["dense"]) == {"backbone.conv1.weight"}
    for name in names:
        assert (zeros_by_group(stored["state_dict"][name]) == 2).all(), name
    # On maps of one pixel most of a 3x3 kernel meets padding: nothing is lost there.
    assert all(0 <= layer["error"] < 1 for layer in report["layers"])
    assert sum(layer["error"] > 0 for layer in report["layers"]) > 10
    assert (report["method"], report["calib_batches"]) == (method, 2)
    assert report["checkpoint"] == str(checkpoint)


def test_equals_the_function_on_the_same_batches(tmp_path):
    config, checkpoint = write_run(tmp_path)
    info = sparsify(config, checkpoint, method="sparsegpt", calib_batches=2, seed=3)
    model = build_architecture(classifier())
    load_weights(model, checkpoint)
    batches = calibration_batches(run_config(config), 2, seed=3)
    report = semi_structured_(
        model, batches, "sparsegpt", run=lambda net, data: net.val_step(data)
    )
    assert report == info.report
    stored = torch.load(info.checkpoint, weights_only=True)["state_dict"]
    assert all(stored[k].equal(v) for k, v in model.state_dict().items())


def test_another_seed_takes_other_images(tmp_path):
    config, checkpoint = write_run(tmp_path)
    reports = [
        sparsify(config, checkpoint, calib_batches=1, seed=seed).report
        for seed in (0, 0, 1)
    ]
    assert reports[0] == reports[1] != reports[2]


def test_settings_come_from_the_configs_pruner_unless_given(tmp_path):
    config, checkpoint = write_run(tmp_path, n=1, m=2, skip=["head"])
    info = sparsify(config, checkpoint, method="magnitude", calib_batches=0)
    assert str(info.report.pattern) == "1:2"
    assert info.report.dense["head.fc.weight"] == "skip has 'head'"
    assert all(layer.error is None for layer in info.report.layers)
    info = sparsify(
        config,
        checkpoint,
        tmp_path / "out",
        method="magnitude",
        m=4,
        skip=[],
        calib_batches=0,
        name="quarter",
    )
    assert str(info.report.pattern) == "1:4"
    assert "head.fc.weight" not in info.report.dense
    assert info.checkpoint == tmp_path / "out" / "quarter.pth"


def test_training_goes_on_with_the_pattern_of_the_file(tmp_path):
    config, checkpoint = write_run(tmp_path, n=2, m=4)
    info = sparsify(config, checkpoint, method="wanda", calib_batches=1)
    cfg = run_config(config)
    cfg.model.architecture.checkpoint = str(info.checkpoint)
    model = build_architecture(cfg)
    stored = torch.load(info.checkpoint, weights_only=True)["state_dict"]
    found = model.architecture.state_dict()
    assert all(found[name].equal(value) for name, value in stored.items())


@pytest.mark.parametrize("wrapped", [False, True])
def test_calibration_takes_training_images_through_the_validation_pipeline(
    tmp_path, wrapped
):
    config, _ = write_run(tmp_path, wrapped=wrapped)
    batch = next(iter(calibration_loader(run_config(config))))
    assert len(batch["inputs"]) == 3
    image, sample = batch["inputs"][0], batch["data_samples"][0]
    assert sample.img_path.startswith(str(tmp_path / "images"))
    with Image.open(sample.img_path) as file:
        expected = np.array(file.resize((32, 32), Image.Resampling.BILINEAR))
    # BGR, and another library's resize: alike, not a random crop.
    difference = image.numpy()[::-1].transpose(1, 2, 0).astype(int) - expected
    assert np.abs(difference).mean() < 30


def test_faults_of_the_data(tmp_path):
    config, checkpoint = write_run(tmp_path)
    options = {"train_dataloader.dataset.data_root": str(tmp_path / "gone")}
    with pytest.raises(RunConfigError, match="The training set is not there"):
        sparsify(config, checkpoint, cfg_options=options)
    with pytest.raises(RunConfigError, match="has no train_dataloader"):
        sparsify(config, checkpoint, cfg_options={"train_dataloader": None})
    options = {"val_dataloader.dataset.pipeline.1.type": "Resise"}
    with pytest.raises(RunConfigError, match="type='Resise'.*Near names: Resize"):
        sparsify(config, checkpoint, cfg_options=options)


def test_faults_of_the_settings(tmp_path):
    config, checkpoint = write_run(tmp_path)
    with pytest.raises(ValueError, match="method='wanda' needs calibration batches"):
        sparsify(config, checkpoint, calib_batches=0)
    with pytest.raises(ValueError, match="calib_batches=-1 must be at least 0"):
        sparsify(config, checkpoint, calib_batches=-1)
    with pytest.raises(FileNotFoundError, match="In that folder lie: epoch_3.pth"):
        sparsify(config, tmp_path / "epoch_4.pth")
    assert not (tmp_path / "sparse").exists()


def test_weights_that_blow_up_name_the_layer(tmp_path):
    config, checkpoint = write_run(tmp_path)
    stored = torch.load(checkpoint, weights_only=True)
    stored["state_dict"]["architecture.backbone.bn1.bias"].fill_(float("inf"))
    torch.save(stored, checkpoint)
    match = "input of 'backbone.layer1.0.conv1' is NaN or infinite"
    with pytest.raises(CalibrationError, match=match):
        sparsify(config, checkpoint, calib_batches=1)


def test_fewer_images_than_asked_for(tmp_path, caplog):
    config, checkpoint = write_run(tmp_path)
    info = sparsify(config, checkpoint, calib_batches=50)
    assert info.num_batches == 4  # 12 images, 3 in a batch
