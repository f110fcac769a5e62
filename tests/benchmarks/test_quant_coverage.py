"""What the benchmark of coverage says of a model, and of one that cannot be built."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from rich.console import Console

pytest.importorskip("mmpretrain")
pytest.importorskip("onnxruntime")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import quant_coverage
from quant_coverage import MODELS, measured, table_of

from mmrazor import compat
from tests.tiny_models import classifier


@pytest.mark.parametrize("name", MODELS)
def test_its_configs_exist(name: str) -> None:
    pytest.importorskip("mmdet")
    pytest.importorskip("mmseg")
    assert Path(compat.find_config(MODELS[name][0])).is_file()


def test_a_row_for_what_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quant_coverage, "MODELS", {"gone": ("gone.py", 32)})
    gone = measured("gone")
    assert gone["error"].startswith("FileNotFoundError: ")
    done = dict(share=0.5, float_layers=2, layers=21, difference=0.25)
    console = Console(record=True, width=160)
    rows = [{**done, "model": "net", "dynamic_batch": True}, {**gone, "model": "gone"}]
    console.print(table_of(rows))
    lines = [line for line in console.export_text().splitlines() if "│" in line]
    first, second = ([cell.strip() for cell in x.split("│")[1:-1]] for x in lines[:2])
    assert first == ["net", "50.0%", "2 of 21", "2.5e-01", "any", ""]
    assert second[:5] == ["gone", "", "", "", ""]
    assert second[5].startswith("FileNotFoundError")


@pytest.mark.slow
def test_what_is_quantized_is_exported_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Config(dict(model=classifier())).dump(tmp_path / "net.py")
    monkeypatch.setattr(
        quant_coverage, "MODELS", {"net": (str(tmp_path / "net.py"), 32)}
    )
    net = measured("net")
    assert net["share"] == 1
    assert net["float_layers"] == 0
    assert net["layers"] == 21  # 20 convolutions, 3 of them in shortcuts, and a head
    assert 0 <= net["difference"] < 0.1
    assert net["dynamic_batch"]
