"""The benchmark of quantized networks' accuracy compares integers and sums up runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("mmpretrain")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from prune_accuracy_configs import Run, run_config
from quant_accuracy_configs import FULL, QUICK, VARIANTS, Plan, train_config
from quant_accuracy_report import runtime_table_of, table_of, totals
from quant_accuracy_run import calibration, run_quantized
from quant_equality import Differences
from quant_integers import Rounded, check_scales, expose_integers, integers_of
from rich.console import Console

import mmrazor
from mmrazor.apis.post_training import built_methods
from mmrazor.models.quantizers import Quantizer

TINY = Plan(
    replace(
        QUICK.nets,
        resnet=(18, 4),
        mobilenet=0.25,
        batch=4,
        dense_steps=2,
        steps=5,
        test_images=8,
    ),
    images=4,
    iterations=2,
    lr=0.5,
)
TRAINED = [name for name, variant in VARIANTS.items() if variant.hooks is not None]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_names_what_exists(name: str) -> None:
    variant = VARIANTS[name]
    quantizer = Quantizer(**variant.quantizer)
    methods = built_methods(variant.methods(TINY))
    learned = [m.learning for m in methods if hasattr(m, "learning")]
    assert all((one.iterations, one.lr) == (2, 0.5) for one in learned)
    assert bool(learned) == (variant.method in ("AdaRound", "BRECQ", "QDrop"))
    given = (variant.quantizer.get(part, {}) for part in ("weight", "activation"))
    weight, activation = (part.get("bits", 8) for part in given)
    assert variant.bits == f"W{weight}A{activation}"
    assert not variant.runtime or quantizer.backend.name == "onnxruntime"


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_trained_differs_from_the_control_in_the_model(
    name: str, packed: Path
) -> None:
    run = Run(0, "resnet", name)
    cfg = train_config(run, TINY, packed, "dense.pth")
    control = run_config(replace(run, method="control"), TINY.nets, packed, "dense.pth")
    assert cfg.model.architecture == control.model.architecture
    differing = {key for key in cfg.keys() | control.keys() if cfg[key] != control[key]}
    assert differing == {"model", "custom_hooks", "optim_wrapper"}
    rates = (one.optim_wrapper.optimizer.pop("lr") for one in (cfg, control))
    share = 30 if name == "w8a8_lsq" else 3
    assert next(rates) == pytest.approx(next(rates) / share)
    assert cfg.optim_wrapper == control.optim_wrapper
    for hook in cfg.custom_hooks:
        if hook.type == "mmrazor.QuantScheduleHook":
            assert 0 < hook.freeze_observers_at < TINY.nets.steps


def test_calibration_images_are_those_of_the_training(packed: Path) -> None:
    cfg = run_config(Run(0, "resnet", "dense"), TINY.nets, packed)
    first, again, other = (
        calibration(cfg, 8, seed, batch_size=4) for seed in (0, 0, 1)
    )
    assert [len(batch["data_samples"]) for batch in first] == [4, 4]
    drawn = [torch.cat([b["inputs"] for b in found]) for found in (first, again, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    stored = np.load(packed / "train.npy").transpose(0, 3, 1, 2)
    for image in drawn[0].numpy():
        assert (image == stored).all((1, 2, 3)).any()


def test_differences_are_counted_by_hand() -> None:
    zeros = torch.zeros(3, 2, dtype=torch.int16)
    first = torch.tensor([[0, 0], [0, 1], [0, 0]], dtype=torch.uint8)
    second = torch.tensor([[0, 0], [9, 9], [0, 3]], dtype=torch.uint8)
    found = Differences(["a", "b", "c"])
    found.add_([zeros] * 3, [torch.zeros(3, 2, dtype=torch.uint8), first, second])
    # Image 1 differs at b first, by 1; image 2 at c first, by 3; image 0 nowhere.
    assert found.summary() == {
        "images_equal": 1,
        "first_layer": "b",
        "first_layer_other": 1 / 6,
        "steps_at_first": 3,
        "last_layer_other": 3 / 6,
    }
    with pytest.raises(ValueError, match=r"'a' has shape \(3, 2\) in one runtime"):
        Differences(["a"]).add_([zeros], [torch.zeros(3, 1, dtype=torch.uint8)])


def test_integers_of_the_graph_are_those_of_torch(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()
    images = torch.randn(5, 3, 8, 8)
    quant = mmrazor.quantize(net, [images])
    path, target = tmp_path / "a.onnx", tmp_path / "b.onnx"
    mmrazor.export_onnx(quant.model, images, path)
    scales = expose_integers(path, target)
    with integers_of(quant.quantizer) as seen:
        quant.model(images)
    check_scales(seen, scales)
    # The image and two convolutions; not again behind pooling and flattening.
    assert len(seen) == 3
    nodes = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert nodes.count("QuantizeLinear") > 3
    session = runtime.InferenceSession(str(target))
    _, *integers = session.run(None, {"input": images.numpy()})
    found = Differences([one.name for one in seen])
    found.add_([one.integers for one in seen], [torch.from_numpy(i) for i in integers])
    assert found.summary()["steps_at_first"] <= 1
    first = seen[0]
    by_hand = (images / first.scale).round() + first.zero_point
    assert torch.equal(first.integers, by_hand.clamp(0, 255).to(torch.int16))

    with pytest.raises(ValueError, match="The graph rounds 2 values, torch 3"):
        check_scales(seen, scales[:2])
    other = [Rounded("", 2 * scale, zero, images) for scale, zero in scales]
    with pytest.raises(ValueError, match="or with other scales"):
        check_scales(other, scales)


def test_changes_are_those_of_the_same_seed() -> None:
    def result(score: float, **more: object) -> dict:
        return {"score": score, "seconds": 1.0, **more}

    runtime = dict(
        onnx=61.0,
        torch=61.5,
        same=99.5,
        steps_at_first=1,
        first_layer="a",
        first_layer_other=0.01,
        last_layer_other=0.02,
        images_equal=3,
        bytes=4000,
    )
    rows = totals(
        {
            Run(0, "resnet", "dense"): result(60.0),
            Run(1, "resnet", "dense"): result(64.0),
            Run(0, "resnet", "w4a8_gptq"): result(59.0),
            Run(1, "resnet", "w4a8_gptq"): result(61.0),
            Run(0, "resnet", "w8a8_min-max"): result(60.0, runtime=runtime),
            Run(1, "resnet", "w8a8_min-max"): result(
                64.5, runtime={**runtime, "same": 99.0, "steps_at_first": 2}
            ),
        }
    )
    dense, int8, gptq = rows
    assert (dense["bits"], dense["change"]["mean"]) == ("float", 0)
    assert (gptq["bits"], gptq["method"]) == ("W4A8", "GPTQ")
    assert gptq["change"] == {"mean": -2.0, "std": pytest.approx(2**0.5, abs=1e-4)}
    assert int8["change"]["mean"] == 0.25
    assert int8["runtime"]["same_least"] == 99.0
    assert int8["runtime"]["steps_at_first_most"] == 2
    console = Console(record=True, width=120)
    console.print(table_of(rows))
    console.print(runtime_table_of(rows))
    text = console.export_text()
    assert "-2.00 +- 1.41" in text
    assert "99.00" in text


def test_full_sizes_are_larger() -> None:
    assert FULL.images > QUICK.images
    assert FULL.iterations > QUICK.iterations
    assert FULL.nets.steps > QUICK.nets.steps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["w8a8_min-max", "w4a4_qdrop", "w8a8_qat"])
@pytest.mark.parametrize("network", ["resnet", "mobilenetv2"])
def test_a_run_is_measured_and_kept(
    name: str, network: str, packed: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    run = run_quantized(TINY, packed, tmp_path / "floats", tmp_path / "runs")
    dense = run(Run(0, network, "dense"), None)
    result = run(Run(0, network, name), dense["checkpoint"])
    assert 0 <= result["score"] <= 100
    assert ("runtime" in result) == VARIANTS[name].runtime
    if "runtime" in result:
        assert result["runtime"]["images"] == 8
        assert result["runtime"]["torch"] == pytest.approx(result["score"], abs=1e-3)
        assert result["runtime"]["steps_at_first"] <= 1
    assert run(Run(0, network, name), dense["checkpoint"]) == result  # not repeated
