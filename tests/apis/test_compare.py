"""The numbers of a comparison are those of its models."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from rich.console import Console

import mmrazor
from mmrazor.apis import compare_source
from mmrazor.apis.compare import compare
from mmrazor.apis.compare_picture import draw_comparison
from mmrazor.apis.compare_report import ComparedModel, Comparison
from mmrazor.apis.onnx import OnnxExportError
from mmrazor.apis.prune_config import prune_config
from mmrazor.apis.run_config import RunConfigError
from mmrazor.core.cost import LatencyStats

CLASSES = ("a", "b")
SIDE = 32
MODEL = dict(
    type="ImageClassifier",
    backbone=dict(
        type="ResNet",
        depth=18,
        stem_channels=8,
        base_channels=8,
        num_stages=1,
        strides=(1,),
        dilations=(1,),
        out_indices=(0,),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", in_channels=8, num_classes=len(CLASSES)),
    data_preprocessor=dict(mean=[127] * 3, std=[60] * 3),
)
STATS = LatencyStats(0.5, 0.6, 0.4, 1.0, 0.1, 27)
DENSE = ComparedModel(
    *("dense", "dense.py", "dense.pth", {"top1": 90.0, "top5": 99.0}),
    *(8_000_000, 400_000, (32, 32), 2**20, STATS, ""),
)
SMALL = replace(
    DENSE,
    name="small",
    metrics={"top1": 88.5, "top5": 98.0},
    macs=2_000_000,
    params=100_000,
    onnx_bytes=2**18,
    latency=replace(STATS, median_ms=0.2),
)
REFUSED = replace(
    SMALL, name="odd", onnx_bytes=None, latency=None, refusal="it has no ONNX file"
)


def text_of(found: Comparison, width: int = 200) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(found.table())
    return console.export_text()


def test_shares_are_of_the_first_model() -> None:
    text = text_of(Comparison((DENSE, SMALL, REFUSED), "top1", "a processor"))
    rows = {line.split()[1]: line for line in text.splitlines() if line[:1] == "│"}
    numbers = ("90", "8 M", "400 k", "1.00 MiB", "0.5 ms")
    assert [cell.strip() for cell in rows["dense"].split("│")[2:7]] == list(numbers)
    numbers = ("88.5", "2 M (25.0%)", "100 k (25.0%)", "256.0 KiB (25.0%)")
    numbers += ("0.2 ms (40.0%)",)
    assert [cell.strip() for cell in rows["small"].split("│")[2:7]] == list(numbers)
    assert [cell.strip() for cell in rows["odd"].split("│")[5:7]] == ["-", "-"]
    assert "odd: it has no ONNX file" in text
    assert "one image of 32 x 32" in text
    assert "top1" not in text_of(Comparison((DENSE,), None, "a processor"))


def test_names_and_costs_are_whole_in_a_narrow_terminal() -> None:
    models = DENSE, replace(SMALL, name="distilled", params=123_456)
    text = text_of(Comparison(models, "top1", "a processor"), width=70)
    for shown in ("dense", "distilled", "123 k", "256.0 KiB", "(25.0%)"):
        assert f" {shown} " in text


def test_the_picture_has_a_bar_for_each_number(tmp_path: Path) -> None:
    found = Comparison((DENSE, SMALL, REFUSED), "top1", "a processor")
    path = draw_comparison(found, tmp_path / "a.svg")
    text = path.read_text()
    assert path.stat().st_size > 5000
    for shown in ("2 M (25.0%)", "256.0 KiB (25.0%)", "88.5", "odd"):
        # Letters are drawn as shapes; matplotlib leaves the text beside them.
        assert f"<!-- {shown} -->" in text, shown


def write_dense(folder: Path) -> tuple[Path, Path]:
    """Write images, a config that tests a classifier on them, and its weights."""
    rng = np.random.RandomState(0)
    for name in CLASSES:
        (folder / "images" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.randint(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png")
    transforms = [dict(type="LoadImageFromFile"), dict(type="PackInputs")]
    dataset = dict(
        type="CustomDataset", data_root=str(folder / "images"), pipeline=transforms
    )
    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=MODEL,
            test_dataloader=dict(
                batch_size=3,
                num_workers=0,
                dataset=dataset,
                sampler=dict(type="DefaultSampler", shuffle=False),
            ),
            test_evaluator=dict(type="Accuracy", topk=(1,)),
            test_cfg=dict(),
        )
    )
    (folder / "dense.py").write_text(cfg.pretty_text)
    torch.manual_seed(0)
    model = mmrazor.build_architecture(folder / "dense.py")
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
    torch.save(model.state_dict(), folder / "dense.pth")
    return folder / "dense.py", folder / "dense.pth"


def top1_by_hand(config: Any, checkpoint: Any, folder: Path) -> float:
    model = mmrazor.init_model(str(config), checkpoint, device="cpu")
    hits = [
        int(mmrazor.inference(model, path).pred_label)
        == CLASSES.index(path.parent.name)
        for path in sorted((folder / "images").glob("*/*.png"))
    ]
    return 100 * sum(hits) / len(hits)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """Return a folder, a dense model's files, and what pruning it left."""
    pytest.importorskip("mmpretrain")
    folder = tmp_path_factory.mktemp("compare")
    dense = write_dense(folder)
    pruned = prune_config(*dense, budget=dict(macs=0.5), work_dir=folder / "pruned")
    return folder, dense, pruned


def test_numbers_are_those_of_the_models(made: tuple[Path, Any, Any]) -> None:
    folder, dense, pruned = made
    models = [
        dense,
        (pruned.config, pruned.checkpoint),
        (pruned.config, pruned.onnx.path),
    ]
    found = compare(models, rounds=2, out=folder / "out")
    first, second, third = found.models
    names = ["dense.pth", "dense_pruned.pth", "dense_pruned.onnx"]
    assert [one.name for one in found.models] == names
    assert (first.macs, first.params) == (
        pruned.pruned.dense_cost.macs,
        pruned.pruned.dense_cost.params,
    )
    for one in (second, third):
        assert one.macs == pruned.pruned.cost.macs
        assert one.params == sum(p.numel() for p in pruned.pruned.model.parameters())
    assert third.onnx_bytes == pruned.onnx.path.stat().st_size
    assert abs(second.onnx_bytes - third.onnx_bytes) < 0.02 * third.onnx_bytes
    assert first.onnx_bytes > second.onnx_bytes
    assert found.metric == "accuracy/top1"
    assert first.metrics["accuracy/top1"] == top1_by_hand(*dense, folder)
    by_hand = top1_by_hand(pruned.config, pruned.checkpoint, folder)
    assert second.metrics["accuracy/top1"] == third.metrics["accuracy/top1"] == by_hand
    assert all(one.latency.min_ms > 0 for one in found.models)
    written = json.loads((folder / "out/compare.json").read_text())
    assert [one["macs"] for one in written["models"]] == [
        one.macs for one in found.models
    ]
    assert (folder / "out/compare.png").stat().st_size > 3000


def test_a_model_that_onnx_cannot_express_keeps_its_other_numbers(
    made: tuple[Path, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OnnxExportError("there is no such operator")

    folder, dense, pruned = made
    monkeypatch.setattr(compare_source, "export_model", refuse)
    found = compare([dense], ["dense"], tested=False, out=folder / "odd")
    (one,) = found.models
    assert one.macs == pruned.pruned.dense_cost.macs
    assert (one.onnx_bytes, one.latency, one.metrics) == (None, None, {})
    assert "dense: there is no such operator" in text_of(found)


def test_an_onnx_file_of_another_model_is_refused(made: tuple[Path, Any, Any]) -> None:
    _, (config, _), pruned = made
    with pytest.raises(RunConfigError, match="is not of the model in .*dense.py"):
        compare([(config, pruned.onnx.path)])
    pruner = dict(type="Pruner", budget=dict(macs=0.5))
    architecture = dict(cfg_path=str(config))
    model = dict(type="mmrazor.Compress", architecture=architecture, pruner=pruner)
    options = {"model": dict(_delete_=True, **model)}
    with pytest.raises(RunConfigError, match="prunes while it trains"):
        compare([(config, pruned.onnx.path)], cfg_options=options)


def test_faults_come_before_anything_is_measured(made: tuple[Path, Any, Any]) -> None:
    folder, dense, pruned = made
    with pytest.raises(ValueError, match="at least one model"):
        compare([])
    with pytest.raises(ValueError, match="must be 1 different names"):
        compare([dense], ["a", "b"])
    with pytest.raises(ValueError, match="stands there twice"):
        compare([dense, dense])
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        compare([(dense[0], folder / "gone.pth")])
    other = Config.fromfile(str(dense[0]))
    other.test_dataloader.dataset.data_root = "elsewhere"
    with pytest.raises(RunConfigError, match="are not tested alike: .*data_root"):
        compare([dense, (other, pruned.checkpoint)])
