"""Quantized EfficientNet-Lite on photos: how it is judged, on images made here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from efficientnet_lite import Block
from quant_photos import Images, in_runtimes, logits_of, quantized, runs_of, scores
from quant_photos_report import picture, table_of
from quant_photos_variants import VARIANTS
from rich.console import Console


class Small(nn.Module):
    """A block of EfficientNet-Lite between a stem and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 8, 3, 2), nn.ReLU6()
        self.block, self.fc = Block(8, 3, 1, 2, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(self.relu(self.stem(x))).mean((2, 3)))


def small() -> Small:
    torch.manual_seed(0)
    model = Small().eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)
    model.block.depthwise_conv.weight.data[0] *= 20  # so that channels differ
    return model


def noise(number: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, 3, 12, 12, generator=generator) / 20  # far from 6


def error_of(name: str) -> float:
    model, images = small(), noise(16, 1)
    plain = logits_of(model, images)
    quantized(model, VARIANTS[name], noise(16, 2))
    return float((logits_of(model, images) - plain).square().mean())


def test_variants_do_what_their_names_say():
    by_tensor = error_of("int8 by tensor")
    assert error_of("int8") < by_tensor
    assert error_of("int8 by tensor, ReLU, equalized, bias corrected") < by_tensor
    nearest = error_of("int4 weights, to nearest")
    assert by_tensor < nearest
    assert error_of("int4 weights, GPTQ") < nearest


def test_scores_by_hand():
    plain = torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 3.0]])
    found = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    assert scores(plain, found, torch.tensor([0, 1])) == {
        "top1": 0.5,
        "photos_agree": 0.5,
        "views_agree": 0.5,
        "sqnr_db": 0.0,  # 4 * 9 of signal, 2 * 18 of error
    }


@pytest.mark.slow
def test_files_give_in_the_runtime_what_torch_gives():
    model, whole = small(), small()
    images = Images.__new__(Images)
    images.photos, images.views = noise(4, 3), noise(8, 4)
    plain = logits_of(model, images.judged())
    images.labels = plain[:4].argmax(1)
    quantized(model, VARIANTS["int8"], noise(16, 2))
    args = argparse.Namespace(peer=None, turns=1)
    found = in_runtimes(whole, model, images, plain, args)
    inside = found["ONNX Runtime"]
    assert inside["agrees_with_torch"] == 1
    assert inside["top1"] == inside["photos_agree"]
    assert inside["sqnr_db"] > 20
    assert min(found["onnx_bytes"]) > 0
    rows = [
        {"model": "small", "variant": "int8", "bytes": 9, "seconds": 1.0, **inside},
        {"model": "small", "variant": "in it", "bytes": 9, "seconds": 1.0, **inside},
    ]
    rows[1]["ONNX Runtime"] = inside
    console = Console(width=120, record=True, file=sys.stderr)
    console.print(table_of(rows))
    assert "in ONNX Runtime" in console.export_text()


def test_the_picture_has_a_bar_for_each_variant(tmp_path):
    rows = [
        {"model": "a", "variant": name, "views_agree": 0.5, "sqnr_db": 20.0}
        for name in VARIANTS
    ]
    picture(rows, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 10_000


def test_which_variants_are_tried_on_which_network():
    args = argparse.Namespace(numbers=[0, 2], variants=None)
    tried = runs_of(args)
    assert {v.name for number, v in tried if number == 0} == set(VARIANTS)
    few = {v.name for number, v in tried if number == 2}
    assert "int4 weights, GPTQ" in few < set(VARIANTS)
    args.variants = ["int4 weights, AdaRound"]
    assert [(n, v.name) for n, v in runs_of(args)] == [
        (0, "int4 weights, AdaRound"),
        (2, "int4 weights, AdaRound"),
    ]
