"""Exported files against the host libraries alone, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from rich.console import Console

from mmrazor.apis.export import ExportInfo, export_model, summary_table
from mmrazor.apis.infer import inference, init_model
from mmrazor.apis.onnx import OnnxExportError
from mmrazor.models.architectures import build_architecture
from tests.tiny_models import SCOPES, TINY

mmcv = pytest.importorskip("mmcv")

CLASSES = ("ant", "bee", "cat")
LOAD = dict(type="LoadImageFromFile")
PIPELINES: dict[str, list[dict[str, Any]]] = {
    "mmpretrain": [
        LOAD,
        dict(type="ResizeEdge", scale=72, edge="short"),
        dict(type="CenterCrop", crop_size=64),
        dict(type="PackInputs"),
    ],
    "mmdet": [
        LOAD,
        dict(type="Resize", scale=(96, 64), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(
            type="PackDetInputs",
            meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        ),
    ],
    "mmseg": [
        LOAD,
        dict(type="Resize", scale=(96, 64), keep_ratio=True),
        dict(type="LoadAnnotations"),
        dict(type="PackSegInputs"),
    ],
}
DATASETS: dict[str, dict[str, Any]] = {
    "mmpretrain": dict(type="CustomDataset", data_root="images", with_label=False),
    "mmdet": dict(type="CocoDataset", ann_file="none.json", test_mode=True),
    "mmseg": dict(type="BaseSegDataset", data_root="images"),
}
EVALUATORS = {
    "mmpretrain": dict(type="Accuracy"),
    "mmdet": dict(type="CocoMetric", ann_file="none.json"),
    "mmseg": dict(type="IoUMetric", iou_metrics=["mIoU"]),
}
# What a user of the host library alone would write; mmrazor is not there.
BARE = {
    "mmpretrain": (
        "from mmpretrain import ImageClassificationInferencer as Inferencer\n"
        "predict = Inferencer(config, pretrained=weights, device='cpu')\n"
        "values = predict(image)[0]['pred_scores'].tolist()\n"
        "classes = list(predict.classes)\n"
    ),
    "mmdet": (
        "from mmdet.apis import inference_detector, init_detector\n"
        "model = init_detector(config, weights, device='cpu')\n"
        "found = inference_detector(model, image).pred_instances\n"
        "values = [found.bboxes.tolist(), found.scores.tolist()]\n"
        "classes = list(model.dataset_meta['classes'])\n"
    ),
    "mmseg": (
        "from mmseg.apis import inference_model, init_model\n"
        "model = init_model(config, weights, device='cpu')\n"
        "values = inference_model(model, image).seg_logits.data.tolist()\n"
        "classes = list(model.dataset_meta['classes'])\n"
    ),
}
ENVELOPE = (
    "import json, sys, warnings\n"
    "warnings.simplefilter('ignore')\n"
    "config, weights, image, out = sys.argv[1:]\n"
    "{code}"
    "assert 'mmrazor' not in sys.modules\n"
    "assert not [name for name in sys.modules if name.startswith('mmcls')]\n"
    "json.dump([values, classes], open(out, 'w'))\n"
)


def write_run(scope: str, folder: Path, **model: Any) -> tuple[Path, Path]:
    """Write what training an Algorithm leaves: its config and a checkpoint."""
    torch.manual_seed(0)
    architecture = TINY[scope](len(CLASSES))
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(
            **DATASETS[scope],
            metainfo=dict(classes=CLASSES),
            pipeline=PIPELINES[scope],
        ),
    )
    config = Config(
        dict(
            default_scope=scope,
            model=dict(
                type="mmrazor.SingleTeacherDistill",
                architecture=architecture,
                teacher=dict(cfg_path="gone.py"),
                **model,
            ),
            val_dataloader=loader,
            val_evaluator=EVALUATORS[scope],
            val_cfg=dict(type="mmrazor.DistillValLoop"),
            custom_hooks=[dict(type="mmrazor.StopDistillHook", epoch=2)],
        )
    )
    config_file = folder / "distilled.py"
    config_file.write_text(config.pretty_text)
    trained = build_architecture(architecture)
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    state = {f"architecture.{k}": v for k, v in trained.state_dict().items()}
    state["distiller.connectors.neck.weight"] = torch.ones(2)
    # The palette is an array, as some datasets have it.
    meta = dict(classes=CLASSES, palette=np.arange(9).reshape(3, 3))
    torch.save(
        {"state_dict": state, "meta": {"dataset_meta": meta, "epoch": 3}},
        folder / "epoch_3.pth",
    )
    return config_file, folder / "epoch_3.pth"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.RandomState(0).randint(0, 255, (64, 96, 3), np.uint8)
    mmcv.imwrite(pixels, str(tmp_path / "image.png"))
    return tmp_path / "image.png"


def values_of(scope: str, sample: Any) -> Any:
    if scope == "mmpretrain":
        return sample.pred_score.tolist()
    if scope == "mmdet":
        found = sample.pred_instances
        return [found.bboxes.tolist(), found.scores.tolist()]
    return sample.seg_logits.data.tolist()


def flat(value: Any) -> list[float]:
    return [x for v in value for x in flat(v)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("scope", SCOPES)
def test_bare_host_gives_the_same_predictions(
    scope: str, tmp_path: Path, image: Path
) -> None:
    config, checkpoint = write_run(scope, tmp_path)
    info = export_model(config, checkpoint, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "distilled.onnx",
        "distilled.pth",
        "distilled.py",
    ]
    assert info.onnx is not None
    assert info.onnx.max_difference < 1e-3
    assert info.image_size == (64, 64 if scope == "mmpretrain" else 96)

    # Of the Algorithm's own files, through mmrazor; an array as well as a file.
    ours = init_model(config, checkpoint, device="cpu")
    expected = values_of(scope, inference(ours, str(image)))
    assert ours.dataset_meta["classes"] == CLASSES
    from_array = inference(ours, [mmcv.imread(str(image))])
    assert values_of(scope, from_array[0]) == expected

    out = tmp_path / "bare.json"
    code = ENVELOPE.format(code=BARE[scope])
    done = subprocess.run(
        [
            *(sys.executable, "-c", code),
            *map(str, (info.config, info.checkpoint, image, out)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,  # not the folder that mmrazor can be imported from
    )
    assert done.returncode == 0, done.stderr
    found, classes = json.loads(out.read_text())
    assert classes == list(CLASSES)
    assert len(flat(found)) > 2
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-5, atol=1e-6)


def test_files_hold_the_architecture_alone(tmp_path: Path) -> None:
    config, checkpoint = write_run("mmpretrain", tmp_path)
    info = export_model(config, checkpoint, onnx=False, name="student")
    assert info.onnx is None
    assert info.checkpoint == tmp_path / "export" / "student.pth"
    content = torch.load(info.checkpoint, weights_only=True)  # no allow-list needed
    trained = torch.load(checkpoint, weights_only=False)["state_dict"]
    own = {k: v for k, v in trained.items() if k.startswith("architecture.")}
    assert {f"architecture.{key}" for key in content["state_dict"]} == set(own)
    for key, value in content["state_dict"].items():
        assert torch.equal(value, own[f"architecture.{key}"])
    assert content["meta"]["dataset_meta"]["palette"] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
    lines = info.config.read_text().splitlines()
    assert "mmrazor" not in "\n".join(line for line in lines if line[:1] != "#")
    exported = Config.fromfile(str(info.config))
    assert exported.val_cfg == {}
    assert exported.test_evaluator.type == "Accuracy"


def test_averaged_weights_are_exported(tmp_path: Path) -> None:
    # mmengine's EMAHook swaps: the average is in ``state_dict`` (seen in its source
    # and checked here by the hook itself).
    from types import SimpleNamespace

    from mmengine.hooks import EMAHook
    from mmengine.model import ExponentialMovingAverage

    config, checkpoint = write_run("mmpretrain", tmp_path)
    content = torch.load(checkpoint, weights_only=False)
    algorithm = torch.nn.ModuleDict(
        {"architecture": build_architecture(TINY["mmpretrain"](len(CLASSES)))}
    )
    hook = EMAHook()
    hook.src_model = algorithm
    hook.ema_model = ExponentialMovingAverage(algorithm)
    with torch.no_grad():
        for parameter in hook.ema_model.parameters():
            parameter.fill_(0.25)
    written = {**content, "state_dict": algorithm.state_dict()}
    hook.before_save_checkpoint(SimpleNamespace(), written)
    torch.save(written, checkpoint)
    info = export_model(config, checkpoint, tmp_path / "out", onnx=False)
    weight = torch.load(info.checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(weight["head.fc.bias"], torch.full((3,), 0.25))


def test_options_and_image_size(tmp_path: Path) -> None:
    config, checkpoint = write_run("mmseg", tmp_path)
    info = export_model(
        config,
        checkpoint,
        onnx=False,
        image_size=[48],
        cfg_options={"val_dataloader.batch_size": 7},
    )
    assert info.image_size == (48, 48)
    assert Config.fromfile(str(info.config)).test_dataloader.batch_size == 7
    with pytest.raises(ValueError, match="must be height and width"):
        export_model(config, checkpoint, onnx=False, image_size=[1, 2, 3])


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    config, _ = write_run("mmpretrain", tmp_path)
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"does not fit ImageClassifier.*unexpected"):
        export_model(config, tmp_path / "other.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_onnx_that_fails_leaves_the_other_files(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: Any) -> None:
        raise OnnxExportError("No exporter takes it.")

    monkeypatch.setattr("mmrazor.apis.export.export_onnx", fail)
    config, checkpoint = write_run("mmpretrain", tmp_path)
    with pytest.raises(OnnxExportError, match=r"No exporter takes it.*--no-onnx"):
        export_model(config, checkpoint, tmp_path / "out")
    names = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    assert names == [".pth", ".py"]


def test_summary_names_files_and_costs(tmp_path: Path) -> None:
    config, checkpoint = write_run("mmpretrain", tmp_path)
    info = export_model(config, checkpoint, tmp_path / "out")
    assert isinstance(info, ExportInfo)
    console = Console(width=200)
    with console.capture() as capture:
        console.print(summary_table(info))
    text = capture.get()
    for word in ("distilled.pth", "distilled.onnx", "parameters", "MACs", "64 x 64"):
        assert word in text
