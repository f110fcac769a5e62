"""Models in integers predict in ONNX Runtime what they do in torch."""

import copy

import pytest
import torch
from torch import nn

import mmrazor
from mmrazor.apis import onnx_quantized
from mmrazor.apis.onnx_check import OnnxExportError
from mmrazor.core.graph import example_inputs
from mmrazor.models.architectures import build_architecture
from mmrazor.models.architectures.onnx_model import onnx_model
from tests.tiny_models import TINY

pytest.importorskip("onnxruntime")
#: What makes scores that are apart, and boxes inside the image.
SMALLER = {"retina_cls": 0.01, "retina_reg": 0.05}


def random_model(scope):
    """Return a model whose weights are as after an initialization for training."""
    pytest.importorskip(scope)
    torch.manual_seed(0)
    model = build_architecture(TINY[scope](3)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
        parameter.data.mul_(next((SMALLER[k] for k in SMALLER if k in name), 1))
    return model


def predictions(model, batch):
    """Return what a host makes of a batch: rows of boxes with scores, or maps."""
    with torch.no_grad():
        samples = model(**copy.deepcopy({**batch, "mode": "predict"}))
    if hasattr(samples[0], "seg_logits"):
        return [sample.seg_logits.data for sample in samples]
    found = [sample.pred_instances for sample in samples]
    return [torch.cat([one.bboxes, one.scores[:, None]], 1) for one in found]


def share_found(expected, found):
    """Return the share of rows that are found within a pixel and 0.01 of the score."""
    apart = (expected[:, None] - found[None]).abs()
    near = (apart[..., :4] < 1).all(-1) & (apart[..., 4] < 0.01)
    return near.any(1).double().mean()


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["mmdet", "mmseg"])
def test_predictions_are_those_of_the_model_that_rounds(scope, tmp_path):
    model = random_model(scope)
    batch = example_inputs(model, (64, 96), batch_size=2)
    quant = mmrazor.quantize(model, [batch])
    path = mmrazor.export_onnx(quant.model, batch, tmp_path / "net.onnx").path
    ours = onnx_model(TINY[scope](3), path).eval()
    made = (predictions(m, batch) for m in (model, quant.model.architecture, ours))
    for plain, rounded, found in zip(*made, strict=True):
        assert rounded.numel()
        if scope == "mmdet":
            assert share_found(rounded, found) > 0.8
            assert share_found(rounded, plain) < 0.8
        else:
            error = (rounded - plain).abs().mean()
            assert (rounded - found).abs().mean() < 0.1 * error
            assert torch.equal(rounded.argmax(0), found.argmax(0))


class Tied(nn.Module):
    """Layers of one weight in a row, and one of its own."""

    def __init__(self, kind, num):
        super().__init__()
        self.layers = nn.ModuleList(kind() for _ in range(num))
        for layer in self.layers[1:]:
            layer.weight = self.layers[0].weight
        self.out = kind()

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return self.out(x)


class Words(nn.Module):
    """Scores of words by the table that they are read from."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.layer = nn.Linear(8, 8)
        self.out.weight = self.table.weight

    def forward(self, tokens):
        return self.out(self.layer(self.table(tokens)).relu())


def conv():
    return nn.Conv2d(3, 3, 3, padding=1)


TIED = {
    "two": (lambda: Tied(conv, 2), torch.rand(2, 3, 8, 8), 2),
    "three": (lambda: Tied(conv, 3), torch.rand(2, 3, 8, 8), 2),
    "linear": (lambda: Tied(lambda: nn.Linear(6, 6), 2), torch.rand(2, 6), 2),
    "words": (Words, torch.randint(0, 20, (2, 5)), 2),
}


@pytest.mark.parametrize("kind", TIED)
def test_layers_may_share_a_weight(kind, tmp_path):
    onnx = pytest.importorskip("onnx")
    make, x, num_weights = TIED[kind]
    torch.manual_seed(0)
    quant = mmrazor.quantize(make().eval(), [x], activation=False)
    info = mmrazor.export_onnx(quant.model, x, tmp_path / "net.onnx")
    assert info.max_difference < 0.05
    # Unoptimized: the runtime's fused products of words round what they are given.
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(info.path, options)
    with torch.no_grad():
        expected = quant.model(x)
    output = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    graph = onnx.load(info.path).graph
    found = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    assert len({node.input[0] for node in found}) == num_weights


def test_shared_weights_with_activations(tmp_path):
    torch.manual_seed(0)
    make, x, _ = TIED["three"]
    quant = mmrazor.quantize(make().eval(), [x])
    info = mmrazor.export_onnx(quant.model, x, tmp_path / "net.onnx")
    assert info.max_difference < 0.05


def test_a_weight_that_is_left_in_float_is_found_out(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    seen = []
    check = onnx_quantized.check_integers

    def without_one(graph, quantizer):
        check(graph, quantizer)
        nodes = graph.graph.node
        constants = [n.attribute[0].t for n in nodes if n.op_type == "Constant"]
        for one in (*graph.graph.initializer, *constants):
            array = onnx.numpy_helper.to_array(one)
            if array.ndim == 4:
                one.CopyFrom(onnx.numpy_helper.from_array(array + 1, one.name))
                seen.append(one.name)
        check(graph, quantizer)

    monkeypatch.setattr("mmrazor.apis.onnx.check_integers", without_one)
    make, x, _ = TIED["two"]
    quant = mmrazor.quantize(make().eval(), [x])
    with pytest.raises(OnnxExportError, match="does not hold the weight of 'layers.0:"):
        mmrazor.export_onnx(quant.model, x, tmp_path / "net.onnx")
    assert seen
    assert list(tmp_path.iterdir()) == []
