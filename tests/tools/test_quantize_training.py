"""Quantized training: killed and resumed, distributed, tested, exported."""

import onnx
import pytest
import torch
from compared_runs import NO_PARTS, assert_close, assert_same, dumped

from mmrazor.apis import init_model
from tests.tools.output import error

HOOKS = [{"type": "KillHook"}, {"type": "EMAHook"}]
MOVING = {"type": "MovingAverageObserver"}
LAST = {**MOVING, "momentum": 1.0}
QAT = {"weight": {"observer": LAST}, "activation": {"observer": MOVING}}
STEP = {"type": "LearnedStepSize", "observer": "LSQObserver", "bits": 4}
LSQ = {
    "backend": "generic",
    "weight": STEP,
    "activation": {**STEP, "symmetric": True},
    "fold": False,
}
ADAM = {
    "optim_wrapper.optimizer": {
        "_delete_": True,
        "type": "AdamW",
        "lr": 0.01,
        "weight_decay": 0.1,
    }
}


def quantized(quantizer, **architecture):
    return {
        "type": "mmrazor.Quantize",
        "architecture": {"type": "ToyConvNet", **architecture},
        "quantizer": {"image_size": [8, 8], **quantizer},
    }


def scheduled(**times):
    schedule = {"type": "mmrazor.QuantScheduleHook", "by_epoch": False, **times}
    return {"custom_hooks": [*HOOKS, schedule]}


# Checkpoints come after steps 5, 10 and 15, or 6 and 12.
CASES = {
    "QAT, by step": (
        [3, 12],
        {
            "model": quantized(QAT),
            "by_epoch": False,
            "options": scheduled(freeze_observers_at=11, freeze_bn_at=7),
        },
    ),
    "LSQ, by epoch, Adam": (
        [8],
        {"model": quantized(LSQ), "options": ADAM, "num_workers": 1},
    ),
    "QAT with live norms, averaged buffers": (
        [8],
        {
            "model": quantized({**QAT, "fold": False}),
            "by_epoch": False,
            "options": {
                "custom_hooks": [
                    {"type": "KillHook"},
                    {"type": "EMAHook", "update_buffers": True},
                    {"type": "mmrazor.QuantScheduleHook", "freeze_bn_at": 1},
                ]
            },
        },
    ),
}


SLOW = ("QAT with live norms, averaged buffers", "LSQ, by epoch, Adam")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case in SLOW else [])
        for case in CASES
    ],
)
def test_killed_and_resumed_equals_uninterrupted(toy_config, run_tool, weights, case):
    kills, kwargs = CASES[case]
    config = toy_config(**kwargs)
    last = "epoch_3.pth" if kwargs.get("by_epoch", True) else "iter_18.pth"
    output = run_tool("train.py", config, "--work-dir", "whole")
    assert "Calibrating on 32 batches" in output
    whole = weights(f"whole/{last}")
    for at in kills:
        folder = f"cut{at}"
        run_tool("train.py", config, "--work-dir", folder, code=-9, TOY_KILL_AT=str(at))
        output = run_tool("train.py", config, "--work-dir", folder, "--resume")
        assert ("Calibrating" in output) == (at < 5)
        assert_same(whole, weights(f"{folder}/{last}"))
    assert {name.split()[0] for name in whole} > {"model", "ema"}
    assert "model quantizer.weights.first:conv.scales" in whole
    assert "accuracy: " in run_tool("test.py", config, f"whole/{last}")


@pytest.mark.dist
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="QAT", marks=pytest.mark.slow),
        pytest.param(LSQ, id="LSQ"),
    ],
)
def test_two_processes_find_the_ranges_of_one_and_train_alike(
    one_and_two_processes, tmp_path, settings
):
    first, alone = one_and_two_processes(quantized(settings))
    assert "Calibrating" in (tmp_path / "output0.txt").read_text()
    names = [name for name in alone if name.endswith(("highs", "zero_points"))]
    assert len(names) > 8
    for name in names:
        assert torch.equal(first[name], alone[name]), name
    assert_close(first, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.dist
def test_two_processes_agree_on_ranges_that_follow(toy_config, run_ranks, tmp_path):
    hooks = [{"type": "EMAHook"}, {"type": "DumpHook"}]
    hooks += [{"type": "mmrazor.QuantScheduleHook", "freeze_observers_at": 2}]
    model = quantized(QAT, **NO_PARTS)
    config = toy_config({"custom_hooks": hooks}, model=model, world_size=2)
    run_ranks("train.py", config, "--work-dir", "two")
    first, second = (dumped(tmp_path / "two", rank) for rank in (0, 1))
    assert_same(first, second)


def test_a_checkpoint_is_tested_and_its_faults_are_one_line(
    toy_config, run_tool, weights, tmp_path
):
    short = {"train_cfg.max_epochs": 1}
    plain = toy_config(short, "plain.py", model={"type": "ToyConvNet"})
    run_tool("train.py", plain, "--work-dir", "float")
    model = quantized({})
    model["architecture"]["checkpoint"] = "float/epoch_1.pth"
    config = toy_config(short, model=model)
    text = error(run_tool("test.py", config, "float/epoch_1.pth", code=1))
    assert "it has no ranges to quantize with" in text
    wrong = ("--cfg-options", "model.quantizer.weight.bits=9")
    text = error(run_tool("train.py", config, *wrong, code=1))
    assert "bits is a whole number from 2 to 8" in text
    nothing = ("--cfg-options", "model.quantizer.ignore=[first,second,last]")
    text = error(run_tool("train.py", config, *nothing, code=1))
    assert "Nothing in ToyConvNet can be quantized: 'first:conv' is to be" in text


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(QAT, id="QAT", marks=pytest.mark.slow),
        pytest.param(LSQ, id="LSQ, live norms"),
    ],
)
def test_what_was_trained_is_exported(
    toy_config, run_tool, weights, tmp_path, settings
):
    short = {"train_cfg.max_iters": 4, "train_cfg.val_interval": 4}
    options = {**scheduled(), **short} if settings is QAT else short
    config = toy_config(options, model=quantized(settings), by_epoch=False)
    run_tool("train.py", config, "--work-dir", "run")
    output = run_tool("export.py", config, "run/iter_4.pth", "--image-size", 8, 8)
    assert "100.0% of the MACs" in output
    stored = torch.load(tmp_path / "run/export/toy.pth", weights_only=True)
    assert not [name for name in stored["state_dict"] if "norm" in name]
    tested = [
        run_tool("test.py", *files).partition("accuracy: ")[2].split()[0]
        for files in (
            (config, "run/iter_4.pth"),
            ("run/export/toy.py", "run/export/toy.pth"),
        )
    ]
    assert tested[0] == tested[1]
    graph = onnx.load(str(tmp_path / "run/export/toy.onnx"))
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("DequantizeLinear") > 3
    again = ("run/export/toy.py", "run/export/toy.pth", "--image-size", 8, 8)
    run_tool("export.py", *again, "--out-dir", "again", "--no-onnx")
    second = torch.load(tmp_path / "again/toy.pth", weights_only=True)["state_dict"]
    assert_same(stored["state_dict"], second)
    given, exported = (
        init_model(tmp_path / path, tmp_path / weights_path)
        for path, weights_path in (
            (config, "run/iter_4.pth"),
            ("run/export/toy.py", "run/export/toy.pth"),
        )
    )
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(given(images), exported(images))
    with exported.quantizer.in_float():
        assert not torch.equal(given(images), exported(images))
