"""Graphs with integers, as ONNX Runtime takes and optimizes them."""

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import nn

from mmrazor.apis.onnx import export_onnx
from mmrazor.models.quantizers import Quantizer, qdq
from mmrazor.models.quantizers.processor import sums_saturate
from mmrazor.models.quantizers.qdq import (
    ActivationQDQ,
    BiasQDQ,
    WeightQDQ,
    written_as_qdq,
)
from mmrazor.models.quantizers.sites import Site
from tests.models.quantizers.toys import (
    Attention,
    Chain,
    Concat,
    Residual,
    SqueezeExcite,
    calibrated,
    conv,
    images,
    randomized,
)

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Written:
    """A toy, its file, and what ONNX Runtime makes of that."""

    def __init__(self, net: nn.Module, x: torch.Tensor, **kwargs) -> None:
        dynamic = kwargs.pop("dynamic_batch", True)
        self.net, self.x = net, x
        self.quantizer = calibrated(net, x, **kwargs)
        with TemporaryDirectory() as folder:
            path, optimized = Path(folder, "a.onnx"), Path(folder, "b.onnx")
            self.info = export_onnx(net, x, path, dynamic_batch=dynamic)
            self.graph = onnx.load(str(path)).graph
            options = runtime.SessionOptions()
            options.log_severity_level = 3
            options.optimized_model_filepath = str(optimized)
            self.session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            nodes = onnx.load(str(optimized)).graph.node
        self.runs = Counter(node.op_type for node in nodes)
        self.nodes = Counter(node.op_type for node in self.graph.node)
        self.held = {
            one.name: onnx.numpy_helper.to_array(one) for one in self.graph.initializer
        }

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        (result,) = self.session.run(None, {"input": x.numpy()})
        return torch.from_numpy(result)

    def constants(self) -> list[np.ndarray]:
        """Return the integers of what is dequantized right away, in order."""
        given = [n.input[0] for n in self.graph.node if n.op_type == "DequantizeLinear"]
        return [self.held[name] for name in given if name in self.held]


@cache
def written(toy: type[nn.Module]) -> Written:
    torch.manual_seed(1)
    x = images(2, 5, 6) if toy is Attention else images()
    return Written(randomized(toy()), x)


ON_IMAGES = [
    Chain,
    SqueezeExcite,
    pytest.param(Residual, marks=pytest.mark.slow),
    pytest.param(Concat, marks=pytest.mark.slow),
]


def step_of_output(one: Written) -> float:
    """Return by how much an output changes if one integer, at most, is another."""
    last = one.quantizer.step_at(one.quantizer.layers()[-1])
    if last.output is not None:
        return float(last.output.scale)
    given = one.quantizer.input_quantizer(one.quantizer.layers()[-1])
    return float(given.scale * last.weight.scale.max() * 127)


@pytest.mark.parametrize("toy", ON_IMAGES)
def test_it_computes_what_torch_does(toy):
    one = written(toy)
    assert (one(one.x) - one.net(one.x)).abs().max() <= step_of_output(one) * 1.001
    other = images(5, 3, 8, 8, seed=3)  # another batch size too; sums in the middle of
    difference = (one(other) - one.net(other)).abs()  # two integers go either way
    assert difference.max() <= 4 * step_of_output(one)
    assert difference.median() <= 1e-6
    assert one.info.dynamic_batch
    assert one.info.opset == 21


INTEGERS = {
    Chain: {"QLinearConv": 2, "NhwcMaxPool": 1, "QGemm": 1, "DequantizeLinear": 0},
    Residual: {"QLinearConv": 4, "QLinearAdd": 1, "DequantizeLinear": 1},
    Concat: {"QLinearConv": 3, "QLinearConcat": 1, "DequantizeLinear": 1},
    SqueezeExcite: {"QLinearConv": 4, "QLinearMul": 1, "DequantizeLinear": 2},
}


@pytest.mark.parametrize("toy", ON_IMAGES)
def test_onnx_runtime_computes_in_integers(toy):
    runs = written(toy).runs
    for kind, number in INTEGERS[toy].items():
        assert runs[kind] == number, runs
    in_float = {
        "Conv",
        "FusedConv",
        "Gemm",
        "MatMul",
        "MaxPool",
        "Add",
        "Mul",
        "Concat",
    }
    assert not in_float & runs.keys()


@pytest.mark.parametrize("toy", ON_IMAGES)
def test_weights_are_integers_and_nothing_of_them_is_float(toy):
    one = written(toy)
    shift, dtype = (128, np.uint8) if sums_saturate() else (0, np.int8)
    found = [a for a in one.constants() if a.dtype == dtype]
    for site, integers in zip(one.quantizer.layers(), found, strict=True):
        weight = one.net.get_parameter(one.quantizer.places.weights[site].name)
        quantizer = one.quantizer.step_at(site).weight
        wanted = quantizer.quantized_(weight) + shift
        assert np.array_equal(integers, wanted.numpy().astype(dtype))
    floats = [a for a in one.held.values() if a.dtype == np.float32]
    assert max(a.size for a in floats) <= 12  # scales and biases


def test_a_chain_is_written_so():
    # Pairs around pooling and reshaping too, one each, which their readers share.
    assert written(Chain).nodes == {
        "QuantizeLinear": 5,  # image, relu1, pool, relu2, rows
        "DequantizeLinear": 5 + 3 + 1,  # and three weights, and the bias of the Gemm
        "Conv": 2,
        "Relu": 2,
        "MaxPool": 1,
        "Reshape": 1,
        "Gemm": 1,
    }


class Pooled(nn.Module):
    """As the stem of a ResNet: max-pooling that a layer and a sum read."""

    def __init__(self):
        super().__init__()
        self.stem, self.pool, self.conv = conv(3, 4), nn.MaxPool2d(2), conv(4, 4)
        self.last = conv(4, 2, 1)

    def forward(self, x):
        x = self.pool(self.stem(x).relu())
        return self.last((self.conv(x) + x).relu())


def test_pooling_before_a_sum_runs_in_integers():
    torch.manual_seed(0)
    one = Written(Pooled().eval(), images())
    assert one.runs["NhwcMaxPool"] == one.runs["QLinearAdd"] == 1
    assert one.runs["DequantizeLinear"] == one.runs["QuantizeLinear"] == 1
    assert torch.equal(one(one.x), one.net(one.x))


class Padded(nn.Module):
    """Padding before convolutions that do none, and before pooling."""

    def __init__(self):
        super().__init__()
        self.pad, self.one = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3)
        self.two, self.last = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x = self.two(self.pad(self.one(x).relu())).relu()
        return self.last(nn.functional.max_pool2d(nn.functional.pad(x, (1, 1)), 2))


def test_padding_is_a_part_of_the_convolution_behind_it():
    torch.manual_seed(0)
    one = Written(Padded().eval(), images())
    assert one.runs["QLinearConv"] == 3, one.runs
    assert one.nodes["Pad"] == one.runs["Pad"] == 1  # that before the pooling
    assert (one(one.x) - one.net(one.x)).abs().max() <= step_of_output(one) * 1.001


class Saturated(nn.Module):
    """Pairs of products that 16 bits do not hold."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 4, 3, bias=False)
        nn.init.constant_(self.conv.weight, 1.0)

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize("saturates", {sums_saturate(), True})
def test_large_weights_are_exact(monkeypatch, saturates):
    # Two products of 255 and 127 are 64770. Kernels for AVX2 add pairs in 16 bits, up
    # to 32767, if weights are signed; those around 128 are exact everywhere.
    monkeypatch.setattr(qdq, "sums_saturate", lambda: saturates)
    x = torch.full((1, 8, 4, 4), 1.0)
    one = Written(Saturated(), x)
    assert torch.allclose(one.net(x), torch.full((1, 4, 2, 2), 72.0))
    assert torch.allclose(one(x), torch.full((1, 4, 2, 2), 72.0))
    weights = [a for a in one.constants() if a.ndim == 4]
    assert [a.dtype for a in weights] == [np.uint8 if saturates else np.int8]


class NearlyDead(nn.Module):
    """A channel, or all that is given, next to nothing beside the bias."""

    def __init__(self, channel, given):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = conv(3, 8), conv(8, 4), conv(4, 4)
        with torch.no_grad():
            self.first.bias.zero_()
            self.first.weight.mul_(given)
            self.second.bias.fill_(0.3)
            self.second.weight[1].mul_(channel)

    def forward(self, x):
        return self.last(self.second(self.first(x).relu()))


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
@pytest.mark.parametrize("saturates", {sums_saturate(), True})
@pytest.mark.parametrize(
    ("channel", "given"), [(1e-5, 1), (1e-12, 1), (1, 1e-6), (1, 1e-12), (1e-9, 1e-9)]
)
@torch.no_grad()
def test_a_large_bias_is_held(monkeypatch, channel, given, saturates, granularity):
    # In steps of such weights it would be more than int32 holds.
    monkeypatch.setattr(qdq, "sums_saturate", lambda: saturates)
    net, x = NearlyDead(channel, given).eval(), images()
    one = Written(net, x, weight=dict(granularity=granularity))
    assert one.runs["QLinearConv"] == 3
    step = one.quantizer.step_at(Site("last", "conv")).output.scale
    assert float((one(x) - net(x)).abs().max()) < 2.1 * float(step)
    assert one.info.max_difference < 0.02


@pytest.mark.slow
def test_sizes_that_are_known_let_tokens_run_as_rows():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    one = Written(net, images(2, 5, 6), dynamic_batch=False)
    assert one.runs["QGemm"] == 2, one.runs
    assert torch.allclose(one(one.x), net(one.x), atol=1e-5)


@pytest.mark.slow
def test_attention_runs_in_integers():
    one = written(Attention)
    assert one.info.dynamic_batch
    assert one.runs["QLinearMatMul"] == 2
    assert one.runs["MatMulIntegerToFloat"] == 6
    assert not {"MatMul", "Gemm", "Softmax"} & one.runs.keys()
    assert (one(one.x) - one.net(one.x)).abs().max() < 0.02


def test_signed_weights_of_fewer_bits_and_activations_that_stay_in_float():
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 4)).eval()
    one = Written(net, images(), weight=dict(bits=4), activation=False)
    (integers,) = one.constants()
    assert integers.dtype == np.int8
    assert abs(integers).max() == 7
    assert one.nodes == {"DequantizeLinear": 1, "Conv": 1}
    assert torch.allclose(one(one.x), net(one.x), atol=1e-6)


def quantizers():
    net, x = nn.Sequential(conv(3, 4)), images()
    return net, calibrated(net, x, backend="generic")


def test_pairs_are_fake_quantization_outside_of_a_graph():
    net, quantizer = quantizers()
    step, x = quantizer.step_at(Site("0", "conv")), images(seed=3)
    given = step.inputs[0]
    assert torch.equal(ActivationQDQ(given)(x), given(x))
    weight = WeightQDQ(step.weight, 0, centred=True)
    assert torch.equal(weight(net[0].weight), step.weight(net[0].weight))
    assert BiasQDQ(given, step.weight)(net[0].bias) is net[0].bias


@pytest.mark.parametrize(
    ("settings", "centred", "dtype", "zero"),
    [
        (dict(), True, torch.uint8, 128),
        (dict(), False, torch.int8, 0),
        (dict(reduce=True), True, torch.int8, 0),
        (dict(bits=4), True, torch.int8, 0),
        (dict(signed=False, symmetric=False), True, torch.uint8, None),
    ],
)
def test_integers_of_a_weight(settings, centred, dtype, zero):
    net, x = nn.Sequential(conv(3, 4)), images()
    quantizer = calibrated(
        net, x, backend="generic", weight={"narrow": False, **settings}
    )
    fake = quantizer.step_at(Site("0", "conv")).weight
    weight = net[0].weight.detach()
    integers, scale, zero_point = WeightQDQ(fake, 0, centred).integers(weight)
    assert integers.dtype == zero_point.dtype == dtype
    assert zero is None or set(zero_point.tolist()) == {zero}
    steps = integers.double() - zero_point.double().view(4, 1, 1, 1)
    back = (steps * scale.view(4, 1, 1, 1)).float()
    assert torch.allclose(back, fake(weight), atol=1e-7)


def test_integers_of_a_bias():
    _, quantizer = quantizers()
    step = quantizer.step_at(Site("0", "conv"))
    bias = torch.tensor([0.0, 0.5, -0.25, 1e9])
    integers, scale, zero_point = BiasQDQ(step.inputs[0], step.weight).integers(bias)
    assert torch.allclose(scale, step.inputs[0].scale * step.weight.scale)
    assert integers.dtype == zero_point.dtype == torch.int32
    assert torch.allclose(integers[:3] * scale[:3], bias[:3], atol=float(scale.max()))
    assert integers[3] == 2**31 - 1


def test_afterwards_the_quantizers_are_back():
    _, quantizer = quantizers()
    before, site = quantizer._steps, Site("0", "conv")
    with written_as_qdq(quantizer):
        assert isinstance(quantizer.step_at(site).weight, WeightQDQ)
    assert quantizer._steps is before
    with pytest.raises(ZeroDivisionError), written_as_qdq(quantizer):
        _ = 1 / 0
    assert quantizer._steps is before
    assert not isinstance(quantizer.step_at(site).weight, WeightQDQ)


class TwoLevels(nn.Module):
    """A linear layer on two levels, each with a scale of its own."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.one(x)), self.head(self.two(x) * 3)


def test_a_bias_of_two_scales_stays_in_float():
    net = TwoLevels().eval()
    quantizer = Quantizer("onnxruntime")
    quantizer.prepare_(net, images(2, 4))
    assert quantizer.places.mixed == {(Site("head", "linear"), 0)}
    quantizer = calibrated(TwoLevels().eval(), images(2, 4))
    with written_as_qdq(quantizer):
        assert quantizer.step_at(Site("head", "linear")).bias is None
        assert quantizer.step_at(Site("one", "linear")).bias is not None
