"""The benchmark of quantized scenes trains alike what it compares, and runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")
pytest.importorskip("mmcv._ext")
pytest.importorskip("onnxruntime")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from quant_scenes import latency, table_of
from quant_scenes_configs import CONFIGS, NETWORKS, Plan, run_config_of
from quant_scenes_run import measured

from mmrazor.apis.prepare_data.scenes import composed_scenes, write_split


@pytest.mark.parametrize("name", NETWORKS)
def test_all_that_is_compared_starts_and_trains_alike(name: str) -> None:
    plan = Plan(Path("elsewhere"), epochs=3, more_epochs=5)
    made = {
        method: run_config_of(NETWORKS[name], method, plan, "dense.pth")
        for method in ("float", "control", "ptq", "qat")
    }
    dense, control, qat = (made[method] for method in ("float", "control", "qat"))
    assert dense.train_cfg.max_epochs == 3
    assert control.train_cfg.max_epochs == qat.train_cfg.max_epochs == 5
    for key in ("train_cfg", "optim_wrapper", "param_scheduler", "train_dataloader"):
        assert control[key] == qat[key]
    assert control.param_scheduler[0].end == 5
    assert "quantizer" not in control.model
    for method in ("control", "ptq", "qat"):
        start = made[method].model.architecture
        assert start.checkpoint == "dense.pth"
        assert CONFIGS / start.cfg_path.removeprefix("mmrazor::") == Path(
            CONFIGS / NETWORKS[name].dense
        )
    for cfg in made.values():
        for split in ("train", "val", "test"):
            root = cfg[f"{split}_dataloader"].dataset.data_root
            assert Path(root) == Path("elsewhere/scenes")
        assert cfg.test_evaluator.get("ann_file", "elsewhere").startswith("elsewhere")


def test_a_row_for_each_way_to_run() -> None:
    files = {"torch": 30.0, "onnxruntime": 29.91, "onnx_bytes": 251_000}
    result = {
        "network": "net",
        "float": files,
        "control": {"torch": 31.0},
        "ptq": {**files, "onnx_bytes": 91_400},
        "qat": files,
        "latency": {"float_ms": 2.5, "int8_ms": 1.25},
    }
    console = Console(record=True, width=100)
    console.print(table_of([result]))
    text = [line for line in console.export_text().splitlines() if "│" in line]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text]
    assert rows == [
        ["net", "float", "30.0", "29.9", "251", "2.50"],
        ["", "control", "31.0", "", "", ""],
        ["", "ptq", "30.0", "29.9", "91", "1.25"],
        ["", "qat", "30.0", "29.9", "251", ""],
    ]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Return the folder of four scenes to train and four to test on."""
    rng = np.random.RandomState(0)
    objects = np.zeros((40, 28, 28), np.uint8)
    objects[:, 4:24, 6:22] = rng.randint(60, 256, (40, 20, 16))
    labels = (np.arange(40) % 10).astype(np.uint8)
    grounds = [rng.randint(0, 256, (256, 256)).astype(np.uint8)]
    for split in ("train", "test"):
        scenes = composed_scenes(split, objects, labels, grounds, 4, 160, seed=0)
        write_split(tmp_path / "data" / "scenes", split, scenes)
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NETWORKS)
def test_from_training_to_onnx_runtime(
    name: str, data_root: Path, tmp_path: Path
) -> None:
    plan = Plan(data_root, epochs=1, more_epochs=1)
    found = measured(name, plan, tmp_path / "runs")
    for method in ("float", "ptq", "qat"):
        # Of four images; 6 is a place or two in the order of the boxes.
        assert abs(found[method]["torch"] - found[method]["onnxruntime"]) < 6
    assert found["float"]["largest_relative_difference"] < 1e-3
    assert found["ptq"]["onnx_bytes"] < 0.7 * found["float"]["onnx_bytes"]
    assert found["ptq"]["quantized_share"] > 0.95
    times = latency(found, turns=1)
    assert all(value > 0 for value in times.values())
    assert measured(name, plan, tmp_path / "runs") == found  # nothing runs again
