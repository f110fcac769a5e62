"""tools/quantize.py as a user runs it, and what may be done with its files."""

import json

import onnx
import pytest
import torch
from mmengine.config import Config

from mmrazor.apis import init_model
from mmrazor.core.space import Subnet
from tests.tools.output import error
from tests.tools.test_hosts import CONFIG, classifier  # noqa: F401

NET = {"type": "ToyConvNet"}
WORK = "work_dirs/toy/quantized/toy_quantized"
SHORT = {"train_cfg.max_epochs": 1}


@pytest.fixture
def net(toy_config, run_tool):
    """Return a config and a trained float checkpoint."""
    config = toy_config(SHORT, model=NET)
    run_tool("train.py", config, "--work-dir", "float")
    return config, "float/epoch_1.pth"


def test_quantize_test_train_export(net, run_tool, weights, tmp_path):
    output = run_tool("quantize.py", *net, "--calib-batches", 3, COLUMNS="160")
    assert "ToyConvNet for onnxruntime" in output
    assert "100.0% of the MACs quantized" in output
    assert "calibration batches: 3" in output
    assert "difference after reading the files back: 0e+00" in output
    assert "W8A8" in output
    found = json.loads((tmp_path / f"{WORK}.json").read_text())
    assert [layer["site"] for layer in found["layers"]] == [
        "first:conv",
        "second:conv",
        "last:linear",
    ]
    assert found["checkpoint"] == net[1]
    assert (tmp_path / f"{WORK}.png").stat().st_size > 1000
    kinds = [n.op_type for n in onnx.load(str(tmp_path / f"{WORK}.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") >= 3

    assert "accuracy: " in run_tool("test.py", f"{WORK}.py", f"{WORK}.pth")
    stored = weights(f"{WORK}.pth")
    float_state = torch.load(tmp_path / net[1], weights_only=False)["state_dict"]
    norm = {k: float_state[f"norm.{k}"] for k in ("weight", "running_var")}
    factor = norm["weight"] / torch.sqrt(norm["running_var"] + 1e-5)
    expected = float_state["first.weight"] * factor[:, None, None, None]
    torch.testing.assert_close(stored["model architecture.first.weight"], expected)
    steps = stored["model quantizer.weights.first:conv.scales"][0]
    peaks = expected.abs().amax((1, 2, 3))
    torch.testing.assert_close(steps * 127, peaks)

    options = ("--cfg-options", "optim_wrapper.optimizer.lr=1e-9")
    output = run_tool("train.py", f"{WORK}.py", *options)
    assert "Calibrating" not in output  # the ranges that were found are kept
    trained = weights("work_dirs/toy_quantized/epoch_1.pth")
    for name, value in stored.items():
        assert value.allclose(trained[name], atol=1e-4), name
    run_tool("export.py", f"{WORK}.py", f"{WORK}.pth", "--no-onnx")
    exported = weights(f"{WORK.rpartition('/')[0]}/export/toy_quantized.pth")
    assert all(exported[name].equal(value) for name, value in stored.items())


def test_what_the_config_says_and_what_the_command_says(toy_config, run_tool, tmp_path):
    model = {
        "type": "mmrazor.Quantize",
        "architecture": NET,
        "quantizer": {"backend": "generic", "weight": {"bits": 3}, "ignore": ["last"]},
    }
    options = {"quantize": {"methods": ["GPTQ"], "calib_batches": 2}}
    config = toy_config(options, model=model)
    output = run_tool(
        *("quantize.py", config, "--no-onnx", "--activation-bits", 0),
        *("--work-dir", "out", "--name", "net"),
        COLUMNS="160",
    )
    assert "No checkpoint: the weights are random, so the ranges" in output
    assert "GPTQ" in output
    found = json.loads((tmp_path / "out/net.json").read_text())
    assert found["calib_batches"] == 2
    bits = [layer["weight_bits"] for layer in found["layers"]]
    assert bits == [3, 3, None]
    assert found["layers"][2]["why_float"] == "is to be ignored"
    assert len(found["errors"]["GPTQ"]) == 2
    assert not list(tmp_path.glob("out/*.onnx"))
    model = init_model(tmp_path / "out/net.py", tmp_path / "out/net.pth")
    weight = model.architecture.first.weight
    step = model.quantizer.weights["first:conv"]
    assert len((weight / step.scale[:, None, None, None]).round().unique()) <= 7
    assert torch.equal(step(weight), weight)  # GPTQ leaves them on their grid


def test_faults_are_one_line(net, run_tool, tmp_path):
    config, checkpoint = net
    quantize = ("quantize.py", config, checkpoint, "--no-onnx")
    text = error(run_tool(*quantize, "--weight-bits", 3, code=1))
    assert "takes weights of 4, 8 bits, not 3. Use one of these, or backend=" in text
    text = error(run_tool(*quantize, "--backend", "tflite", code=1))
    assert "There is no backend 'tflite'" in text
    text = error(run_tool(*quantize, "--method", "ada", code=1))
    assert "'ada' is no post-training method; there are [" in text
    text = error(run_tool(*quantize, "--calib-batches", 0, code=1))
    assert "calib_batches=0: calibrate on at least one batch" in text
    text = error(run_tool(*quantize, "--ignore", "first", "second", "last", code=1))
    assert "Nothing in ToyConvNet can be quantized" in text
    text = error(run_tool("quantize.py", config, "gone.pth", code=1))
    assert "There is no checkpoint file 'gone.pth'" in text
    state = torch.load(tmp_path / checkpoint, weights_only=False)
    state["state_dict"]["second.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    text = error(run_tool("quantize.py", config, "nan.pth", code=1))
    assert "'second:conv'" in text
    assert "NaN" in text
    run_tool(*quantize, "--calib-batches", 1)
    text = error(run_tool("quantize.py", f"{WORK}.py", f"{WORK}.pth", code=1))
    assert "is that of a quantized model. Give the float weights" in text


@pytest.fixture
def host(classifier):  # noqa: F811
    """Return the config of a classifier, with its images beside it."""
    return classifier


@pytest.mark.slow
def test_the_onnx_file_of_a_host_model_is_tested_as_the_model(host, run_tool, tmp_path):
    output = run_tool("quantize.py", host, "--calib-batches", 2)
    assert "0e+00" in output
    files = "work_dirs/net/quantized/net_quantized"
    tested = []
    for suffix in (".pth", ".onnx"):
        run_tool("test.py", f"{files}.py", f"{files}{suffix}", "--out", "m.json")
        tested.append(json.loads((tmp_path / "m.json").read_text())["accuracy/top1"])
    assert abs(tested[0] - tested[1]) <= 100 / 16  # one of its images
    text = error(run_tool("test.py", "net.py", "gone.onnx", code=1))
    assert "There is no checkpoint 'gone.onnx'" in text


@pytest.mark.slow
def test_bit_widths_are_searched_and_rebuilt_trained_exported(
    net, run_tool, weights, tmp_path
):
    options = ("--calib-batches", 2, "--weight-bits", 8, 4)
    mixed = ("--method", "mixed", "gptq", "--budget", "size_bytes=0.8")
    output = run_tool("quantize.py", *net, *options, *mixed, COLUMNS="160")
    assert "Error of the output, one layer at a time" in output
    assert "difference after reading the files back: 0e+00" in output
    assert "ONNX: " in output
    found = json.loads((tmp_path / f"{WORK}.json").read_text())
    searched = found["mixed_precision"]
    assert found["quantized_bytes"] == searched["size_bytes"] <= searched["limits"][1]
    bits = {layer["site"]: layer["weight_bits"] for layer in found["layers"]}
    assert searched["bits"] == bits
    assert set(bits.values()) == {8, 4}
    subnet = Subnet.load(tmp_path / f"{WORK}_bits.yaml")
    assert list(subnet.choices.values()) == list(bits.values())
    assert subnet.cost == {"size_bytes": searched["size_bytes"]}
    assert (tmp_path / f"{WORK}_bits.png").stat().st_size > 1000
    cfg = Config.fromfile(tmp_path / f"{WORK}.py")
    overrides = {site: {"weight": {"bits": b}} for site, b in bits.items()}
    assert cfg.model.quantizer.overrides == overrides

    stored = weights(f"{WORK}.pth")
    run_tool("train.py", f"{WORK}.py")
    trained = weights("work_dirs/toy_quantized/epoch_1.pth")
    model = init_model(tmp_path / f"{WORK}.py", tmp_path / f"{WORK}.pth")
    assert stored.keys() <= trained.keys()
    now = model.quantizer.weights.items()
    assert {key.replace("/", "."): m.settings_now.bits for key, m in now} == bits


def test_faults_of_a_search_for_bit_widths_are_one_line(net, run_tool):
    mixed = ("quantize.py", *net, "--no-onnx", "--calib-batches", 1)
    text = error(run_tool(*mixed, "--weight-bits", 8, 4, code=1))
    assert "Bits of weights may be any of [8, 4], and no method chooses" in text
    mixed = (*mixed, "--method", "mixed")
    text = error(run_tool(*mixed, "--weight-bits", 8, 4, code=1))
    assert "MixedPrecision has no budget" in text
    text = error(run_tool(*mixed, "--budget", "size_bytes=0.5", code=1))
    assert "No weight of ToyConvNet has several bit-widths" in text
