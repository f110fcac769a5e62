"""Models in other types than float32, and with batch norms that are not folded."""

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

import mmrazor
from mmrazor.apis import onnx as onnx_api
from mmrazor.apis.onnx import OnnxExportError
from mmrazor.apis.post_training import post_training_
from mmrazor.models.algorithms import Quantize

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
FLOAT, HALF, DOUBLE = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(onnx_api, "print_log", lambda text, **_: lines.append(text))
    return lines


def convs():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    return nn.Sequential(*layers).eval()


class Tokens(nn.Module):
    """Whole numbers in, and a plain tensor beside the parameters."""

    def __init__(self, dtype):
        super().__init__()
        self.table, self.out = nn.Embedding(20, 8), nn.Linear(8, 5)
        self.shift = [torch.ones(8, dtype=dtype)]

    def forward(self, tokens):
        return self.out(self.table(tokens) + self.shift[0])


def element_types(path):
    graph = onnx.load(path).graph
    return [one.type.tensor_type.elem_type for one in (*graph.input, *graph.output)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_quantized_models_of_other_types(dtype, tmp_path, said):
    model, x = convs().to(dtype), torch.rand(2, 3, 8, 8, dtype=dtype)
    quant = mmrazor.quantize(model, [x])
    state = {name: one.clone() for name, one in quant.model.state_dict().items()}
    info = mmrazor.export_onnx(quant.model, x, tmp_path / "net.onnx")
    assert element_types(info.path) == [FLOAT, FLOAT]
    assert "computes in float32" in said[0]
    assert str(dtype).removeprefix("torch.") in said[0]
    found = onnxruntime.InferenceSession(info.path).run(
        None, {"input": x.float().numpy()}
    )
    with torch.no_grad():
        expected = quant.model(x).float()
    difference = (torch.from_numpy(found[0]) - expected).abs().max()
    assert difference <= 0.05 * expected.abs().max()
    for name, value in quant.model.state_dict().items():
        assert value.dtype == state[name].dtype
        assert torch.equal(value, state[name])


@pytest.mark.parametrize(
    ("dtype", "kind"), [(torch.float16, HALF), (torch.bfloat16, FLOAT)]
)
def test_float_models_of_other_types(dtype, kind, tmp_path, said):
    x = torch.rand(2, 3, 8, 8, dtype=dtype)
    info = mmrazor.export_onnx(convs().to(dtype), x, tmp_path / "net.onnx")
    assert element_types(info.path) == [kind, kind]
    assert len(said) == (kind == FLOAT)
    assert info.max_difference < 16 * torch.finfo(dtype).eps


def test_double_stays_where_the_runtime_has_it(tmp_path, said):
    x = torch.rand(2, 4, dtype=torch.float64)
    linear = nn.Linear(4, 3).double()
    info = mmrazor.export_onnx(linear, x, tmp_path / "a.onnx")
    assert element_types(info.path) == [DOUBLE, DOUBLE]
    assert said == []
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    info = mmrazor.export_onnx(convs().double(), x, tmp_path / "b.onnx")
    assert element_types(info.path) == [FLOAT, FLOAT]
    assert "is in float64, which ONNX Runtime does not run on a CPU" in said[0]
    assert info.max_difference < 1e-5


def test_whole_numbers_stay_whole(tmp_path, said):
    tokens = torch.randint(0, 20, (2, 5))
    model = Tokens(torch.bfloat16).to(torch.bfloat16).eval()
    info = mmrazor.export_onnx(model, tokens, tmp_path / "net.onnx")
    assert element_types(info.path) == [onnx.TensorProto.INT64, FLOAT]
    assert model.shift[0].dtype is torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_inputs_of_another_type_than_the_model(dtype, tmp_path):
    x = torch.rand(2, 3, 8, 8)
    with pytest.raises(OnnxExportError, match="does not run on inputs in float32"):
        mmrazor.export_onnx(convs().to(dtype), x, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_differs_is_found_out(tmp_path):
    class ByType(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4).to(torch.bfloat16)

        def forward(self, x):
            return self.layer(x) + (5 if x.dtype is torch.float32 else 0)

    x = torch.rand(2, 4, dtype=torch.bfloat16)
    with pytest.raises(OnnxExportError, match="differs by"):
        mmrazor.export_onnx(ByType(), x, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.c, self.n, self.o = (
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 4, 1),
        )
        self.n.running_mean.uniform_(-0.2, 0.2)
        self.n.running_var.uniform_(0.5, 2)
        nn.init.uniform_(self.n.weight, 0.5, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return self.o(self.n(self.c(inputs)).relu())


@pytest.mark.parametrize(
    ("part", "dtype"), [("algorithm", torch.float32), ("architecture", torch.float16)]
)
def test_batch_norms_that_are_trained_on(part, dtype, tmp_path, said):
    torch.manual_seed(0)
    settings = dict(type="Quantizer", backend="onnxruntime", fold=False)
    x = {"inputs": torch.rand(2, 3, 8, 8, dtype=dtype)}
    model = Quantize(Net().to(dtype), {**settings, "image_size": (8, 8)})
    post_training_(
        model.architecture, model.quantizer, [x], [], lambda m, batch: m(**batch)
    )
    folds = list(model.quantizer.folds)
    assert len(folds) == 1
    exported = (model if part == "algorithm" else model.architecture).eval()
    path = mmrazor.export_onnx(exported, x, tmp_path / "net.onnx").path
    nodes = onnx.load(path).graph.node
    kinds = [node.op_type for node in nodes]
    assert "BatchNormalization" not in kinds
    made_of = {name: node.op_type for node in nodes for name in node.output}
    for conv in (node for node in nodes if node.op_type == "Conv"):
        assert [made_of[name] for name in conv.input[:2]] == ["DequantizeLinear"] * 2
    # The model goes on training with its norms.
    assert model.quantizer.folds == folds
    assert isinstance(model.architecture.n, nn.BatchNorm2d)
    found = onnxruntime.InferenceSession(path).run(
        None, {"inputs": x["inputs"].float().numpy()}
    )
    with torch.no_grad():
        expected = exported(**x).float()
    difference = (torch.from_numpy(found[0]) - expected).abs().max()
    assert difference <= 0.05 * expected.abs().max()
