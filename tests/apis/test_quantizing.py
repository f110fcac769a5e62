"""The door ``mmrazor.quantize``, and what ONNX Runtime makes of its models."""

import copy

import numpy as np
import onnx
import pytest
import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F

import mmrazor
from mmrazor.apis.onnx_check import OnnxExportError
from mmrazor.models.algorithms import Quantize
from mmrazor.models.architectures.onnx_session import onnx_session
from mmrazor.models.quantizers import Quantizer, QuantSettings, fake_quantized, sqnr_db

BATCHES = [
    torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(i))
    for i in range(3)
]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        return self.head(self.norm(self.conv(image)).relu().mean((2, 3)))


class HostNet(BaseModel):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        x = self.net(x)
        return list(x.argmax(1)) if mode == "predict" else x


def test_the_given_model_stays_and_the_new_one_is_called_alike():
    net = Net().eval()
    state = copy.deepcopy(net.state_dict())
    before = net(BATCHES[0])
    quant = mmrazor.quantize(net, BATCHES)
    assert net.state_dict().keys() == state.keys()
    assert all(torch.equal(net.state_dict()[k], v) for k, v in state.items())
    assert torch.equal(net(BATCHES[0]), before)
    found = quant.model(image=BATCHES[0])
    assert not torch.equal(found, before)
    assert sqnr_db(before, found) > 25
    assert not quant.model.training
    assert quant.report.quantized_share == 1
    assert [layer.site for layer in quant.report.layers] == ["conv:conv", "head:linear"]
    assert all(layer.sqnr_db > 20 for layer in quant.report.layers)


def test_the_numbers_are_those_of_the_formula():
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    data = torch.randn(50, 4)
    quant = mmrazor.quantize(layer, [data], "generic", activation=dict(bits=8))
    low, high = min(float(data.min()), 0), max(float(data.max()), 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    x = (torch.round(data / scale) + zero).clamp(0, 255).sub(zero) * scale
    steps = layer.weight.abs().amax(1, keepdim=True) / 127
    weight = torch.round(layer.weight / steps).clamp(-127, 127) * steps
    expected = x @ weight.T + layer.bias
    torch.testing.assert_close(quant.model(data), expected, rtol=1e-5, atol=1e-5)


def test_state_and_device_go_with_the_model():
    net = Net().eval()
    quant = mmrazor.quantize(net, BATCHES)
    state = quant.model.state_dict()
    assert {key.partition(".")[0] for key in state} == {"architecture", "quantizer"}
    other = mmrazor.quantize(net, [batch * 3 for batch in BATCHES])
    assert not torch.equal(other.model(BATCHES[0]), quant.model(BATCHES[0]))
    other.model.load_state_dict(state)
    assert torch.equal(other.model(BATCHES[0]), quant.model(BATCHES[0]))
    doubled = copy.deepcopy(quant.model).double()
    assert doubled(BATCHES[0].double()).dtype == torch.float64
    torch.testing.assert_close(
        doubled(BATCHES[0].double()).float(),
        quant.model(BATCHES[0]),
        rtol=0.02,
        atol=0.02,
    )


@pytest.mark.parametrize(
    "batch",
    [
        BATCHES[0],
        dict(inputs=list(BATCHES[0]), data_samples=[None] * 4),
        dict(inputs=BATCHES[0], mode="tensor"),
    ],
    ids=["tensor", "of a loader", "arguments"],
)
def test_a_model_of_mmengine_takes_what_its_loader_gives(batch):
    host = HostNet().eval()
    quant = mmrazor.quantize(host, [batch])
    assert isinstance(quant.model, Quantize)
    plain = mmrazor.quantize(host.net, [BATCHES[0]])
    expected = plain.model(BATCHES[0])
    torch.testing.assert_close(quant.model(BATCHES[0]), expected)
    data = dict(inputs=list(BATCHES[0]), data_samples=None)
    assert quant.model.val_step(data) == list(expected.argmax(1))


def test_other_ways_to_run_and_other_settings():
    seen = []

    def run(model, batch):
        seen.append(len(batch))
        return model(batch)

    quant = mmrazor.quantize(
        Net().eval(),
        (batch for batch in BATCHES),
        "generic",
        weight=dict(bits=4),
        activation=False,
        overrides={"head": dict(weight=dict(bits=8))},
        ignore=["conv"],
        run=run,
    )
    assert seen[:3] == [4, 4, 4]
    first, last = quant.report.layers
    assert first.why_float == "is to be ignored"
    assert (last.weight_bits, last.activation_bits) == (8, None)
    weight = quant.model.architecture.head.weight
    step = quant.quantizer.step_at(quant.quantizer.layers()[0]).weight
    settings = QuantSettings(bits=8, granularity="channel", narrow=True)
    expected = fake_quantized(weight, step.scale, step.zero_point, settings, 0)
    assert torch.equal(step(weight), expected)


def test_methods_by_name_make_it_better():
    net = Net().eval()
    settings = dict(backend="generic", weight=dict(bits=2), activation=False)
    plain = mmrazor.quantize(net, BATCHES, **settings)
    better = mmrazor.quantize(net, BATCHES, methods=["GPTQ"], **settings)
    expected = net(BATCHES[0])
    ratios = [sqnr_db(expected, q.model(BATCHES[0])) for q in (plain, better)]
    assert ratios[1] > ratios[0]
    assert [error.site for error in better.errors["GPTQ"]] == [
        "conv:conv",
        "head:linear",
    ]
    assert plain.errors == {}


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "text"),
    [
        ((Net(), []), {}, ValueError, "the batches are empty"),
        ((Net(), BATCHES[0]), {}, ValueError, "is one Tensor. Give a list"),
        (
            (Net(), [torch.zeros(2, 5, 8, 8)]),
            {},
            ValueError,
            r"first calibration batch, a Tensor with tensors of shape \(2, 5, 8, 8\)",
        ),
        (
            (Net(), [BATCHES[0], torch.zeros(2, 5, 8, 8)]),
            {},
            RuntimeError,
            "stopped in batch 2",
        ),
        (
            (Net(), [BATCHES[0] * float("nan")]),
            {},
            RuntimeError,
            "At 'conv:conv'.*holds NaN",
        ),
        ((Net(), BATCHES, "tflite"), {}, ValueError, "There is no backend 'tflite'"),
        ((Net(), BATCHES), dict(weight=dict(bits=3)), ValueError, "not 3"),
        ((Net(), BATCHES), dict(methods="GPQT"), ValueError, "Perhaps 'GPTQ'"),
        ((Net(), BATCHES), dict(methods=["GPTQ"] * 2), ValueError, "named twice"),
        ((nn.ReLU(), BATCHES), {}, ValueError, "no convolution or linear layer"),
    ],
)
def test_errors_say_what_is_wrong(args, kwargs, error, text):
    with pytest.raises(error, match=text):
        mmrazor.quantize(*args, **kwargs)


def test_a_quantized_model_is_not_quantized_again():
    quant = mmrazor.quantize(Net().eval(), BATCHES)
    for model in (quant.model, quant.model.architecture):
        with pytest.raises(ValueError, match="is quantized already"):
            mmrazor.quantize(model, BATCHES)


@pytest.mark.parametrize("part", ["model", "model.architecture"])
def test_the_exported_file_computes_in_integers(tmp_path, part):
    quant = mmrazor.quantize(Net().eval(), BATCHES)
    model = quant.model if part == "model" else quant.model.architecture
    info = mmrazor.export_onnx(model, BATCHES[0], tmp_path / "net.onnx")
    graph = onnx.load(str(info.path))
    kept = {
        init.name: onnx.numpy_helper.to_array(init) for init in graph.graph.initializer
    }
    weights = [array.dtype for array in kept.values() if array.ndim == 4]
    assert set(weights) in ({np.dtype(np.int8)}, {np.dtype(np.uint8)})
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    makers = {out: node for node in graph.graph.node for out in node.output}
    assert convolutions
    for node in convolutions:
        sources = [makers[name].op_type for name in node.input[:2]]
        assert sources == ["DequantizeLinear"] * 2
    session = onnx_session(info.path)
    image = torch.randn(7, 3, 8, 8)
    [found] = session.run(None, {info.input_names[0]: image.numpy()})
    expected = quant.model(image).detach()
    difference = (torch.from_numpy(found) - expected).abs().max() / expected.abs().max()
    assert difference < 0.02
    assert 0 <= info.max_difference < 0.02
    # The model goes on as it was.
    assert torch.equal(quant.model(image).detach(), expected)


def test_a_model_without_ranges_is_not_exported(tmp_path):
    net = Net().eval()
    Quantizer().prepare_(net, BATCHES[0])
    with pytest.raises(OnnxExportError, match="has no ranges. Calibrate it"):
        mmrazor.export_onnx(net, BATCHES[0], tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


class Autoencoder(nn.Module):
    """A decoder with the weight of its encoder, behind a batch norm."""

    def __init__(self):
        super().__init__()
        self.encoder, self.norm = nn.Linear(20, 12), nn.BatchNorm1d(12)
        self.bias = nn.Parameter(torch.zeros(20))
        nn.init.normal_(self.norm.running_mean, 0, 0.3)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)

    def forward(self, x):
        code = self.norm(self.encoder(x)).relu()
        return F.linear(code, self.encoder.weight.t(), self.bias)


def test_a_decoder_with_the_weight_of_its_encoder():
    torch.manual_seed(0)
    net, x = Autoencoder().eval(), torch.randn(64, 20)
    quant = mmrazor.quantize(net, [x])
    found = sqnr_db(net(x), quant.model(x))
    assert found > 35
    assert quant.report.sqnr_db == pytest.approx(found)
    assert list(quant.report.kept_norms) == ["norm:norm"]
    assert quant.report.warnings == ()


class Keeps(nn.Module):
    """Keeps what it computes, with gradients, in an attribute and deep in another."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)
        self.kept = {"all": []}

    def forward(self, x):
        self.features = self.conv(x).relu()
        self.kept["all"].append((self.features, self.features.mean()))
        return self.out(self.features)


def keeps():
    net = Keeps()
    net(BATCHES[0])
    return net


def normed(function):
    return nn.Sequential(function(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.Conv2d(8, 4, 1))


def cached():
    net = normed(nn.utils.parametrizations.orthogonal)
    net.table = (net[2].weight * 2,)
    return net


HOLDERS = {
    "kept features": keeps,
    "weight norm": lambda: normed(nn.utils.weight_norm),
    "spectral norm": lambda: normed(nn.utils.spectral_norm),
    "parametrized": cached,
}


@pytest.mark.parametrize("name", HOLDERS)
def test_tensors_with_a_graph_are_no_hindrance(name):
    torch.manual_seed(0)
    net = HOLDERS[name]().eval()
    quant = mmrazor.quantize(net, BATCHES)
    wanted = net(BATCHES[0])
    assert sqnr_db(wanted, quant.model(BATCHES[0])) > 30
    assert quant.report.quantized_share > 0.95  # making a weight multiplies as well
    if name != "parametrized":  # no channel goes through a matrix exponential
        pruned = mmrazor.prune(net, BATCHES[0], budget=dict(macs=0.6))
        assert pruned.cost.macs <= 0.6 * pruned.dense_cost.macs


def test_a_model_of_mmengine_is_compared_before_it_is_decoded():
    net = HostNet().eval()
    batch = dict(inputs=list(BATCHES[0]))
    report = mmrazor.quantize(net, [batch]).report
    wanted = net(BATCHES[0])
    quant = mmrazor.quantize(net, [batch])
    found = quant.model.architecture(BATCHES[0])
    assert report.sqnr_db == pytest.approx(sqnr_db(wanted, found))
