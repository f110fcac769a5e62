"""Numbers that a model reads from its own tensors do not stop an export."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import mmrazor
from mmrazor.apis.onnx_graph import TensorFunction

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

READS = {
    "float": lambda m, y: y * torch.cat([torch.full((4, 1, 1), float(s)) for s in m.t]),
    "int": lambda m, y: y * int(m.n),
    "list": lambda m, y: y * sum(m.t.tolist()),
    "item": lambda m, y: y + (m.t / y.shape[-1]).max().item(),
    "bool": lambda m, y: y + 1 if m.on else y,
    "range": lambda m, y: sum(y * (i + 1) for i in range(m.n)),
    "numpy": lambda m, y: y * float(np.sum(m.t.numpy())),
    "equal": lambda m, y: y * 2 if torch.equal(m.t, torch.tensor([2.0, 3.0])) else y,
}


class Reads(nn.Module):
    """Reads a number between two convolutions."""

    def __init__(self, read):
        super().__init__()
        self.c, self.o = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.read, self.t = read, torch.tensor([2.0, 3.0])
        self.register_buffer("n", torch.tensor(2))
        self.register_buffer("on", torch.tensor(True))

    def forward(self, x):
        return self.o(self.read(self, self.c(x).relu()))


def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", READS)
def test_a_first_run_tells_the_numbers(kind):
    function = TensorFunction(Reads(READS[kind]).eval(), images())
    assert function.reads_numbers
    expected = function(images())
    function.replays_numbers = True
    for module in (function.model.t, function.model.n, function.model.on):
        module.zero_()  # nobody looks at them any more
    if kind != "item":  # that one computes with the tensor first
        assert torch.equal(function(images())[0], expected[0])


@pytest.mark.parametrize("kind", ["float", "bool"])
def test_quantized_models_are_written_in_integers(kind, tmp_path, capfd):
    torch.manual_seed(0)
    quant = mmrazor.quantize(Reads(READS[kind]).eval(), [images()])
    capfd.readouterr()
    info = mmrazor.export_onnx(quant.model, images(), tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")
    assert info.dynamic_batch
    session = onnxruntime.InferenceSession(info.path)
    with torch.no_grad():
        expected = quant.model(images()[:1])
    found = torch.from_numpy(session.run(None, {"input": images()[:1].numpy()})[0])
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()
    assert sum(n.op_type == "Conv" for n in onnx.load(info.path).graph.node) == 2


def test_numbers_of_the_input_are_never_replayed():
    function = TensorFunction(Reads(lambda m, y: y * float(y.mean())).eval(), images())
    assert not function.reads_numbers
    function.replays_numbers = True
    other = images() * 3
    assert torch.equal(function(other)[0], function.model(other))

    def written_into(model, y):
        kept = torch.zeros(1)
        kept[0] = y.mean()
        return y * float(kept)

    assert not TensorFunction(Reads(written_into).eval(), images()).reads_numbers


def test_the_older_exporter_writes_integers_too(tmp_path, capfd):
    torch.manual_seed(0)

    def branch(model, y):
        return y * 2 if y.sum() > -1e9 else y

    quant = mmrazor.quantize(Reads(branch).eval(), [images()])
    capfd.readouterr()
    info = mmrazor.export_onnx(quant.model, images(), tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")
    assert info.exporter == "torchscript"
    nodes = onnx.load(info.path).graph.node
    kinds = [node.op_type for node in nodes]
    # An image, what goes on, and three ends of operations; two weights besides.
    assert kinds.count("QuantizeLinear") >= 4
    assert kinds.count("DequantizeLinear") >= kinds.count("QuantizeLinear") + 2
    made_of = {name: node.op_type for node in nodes for name in node.output}
    convs = [node for node in nodes if node.op_type == "Conv"]
    assert len(convs) == 2
    for conv in convs:
        assert [made_of[name] for name in conv.input[:2]] == ["DequantizeLinear"] * 2


def test_debugging_shows_what_exporters_say(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("MMRAZOR_DEBUG", "1")

    def loud(model, y):
        if torch.compiler.is_exporting():
            sys.stdout.write("heard")
        return y

    mmrazor.export_onnx(Reads(loud).eval(), images(), tmp_path / "net.onnx")
    assert "heard" in capfd.readouterr().out
    monkeypatch.delenv("MMRAZOR_DEBUG")
    mmrazor.export_onnx(Reads(loud).eval(), images(), tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("replays", [False, True])
def test_an_export_that_fails_leaves_no_mode_behind(tmp_path, replays):
    """Code that runs later would be watched by it."""

    def branch(model, y):
        factor = float(model.t[0]) if replays else 1.0
        return y * factor if y.sum() > -1e9 else y

    quant = mmrazor.quantize(Reads(branch).eval(), [images()])
    hooks = [len(module._forward_hooks) for module in quant.model.modules()]
    assert torch.overrides._get_current_function_mode_stack() == []
    info = mmrazor.export_onnx(quant.model, images(), tmp_path / "net.onnx")
    assert info.exporter == "torchscript"
    assert torch.overrides._get_current_function_mode_stack() == []
    assert hooks == [len(module._forward_hooks) for module in quant.model.modules()]
