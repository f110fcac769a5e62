"""Whole models: the pattern, the report, the errors."""

import copy
import io
import json

import pytest
import torch
from rich.console import Console
from torch import nn

from mmrazor.models.algorithms import Algorithm
from mmrazor.models.pruners.semi_structured import (
    METHODS,
    CalibrationError,
    SemiStructuredPruner,
    semi_structured_,
)
from tests.tiny_models import TINY

BOTH = ["wanda", "sparsegpt"]


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, groups=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


def images(num=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    smooth = nn.functional.avg_pool2d
    return [
        smooth(torch.randn(4, 3, 16, 16, generator=generator), 3, 1) for _ in range(num)
    ]


def kept_by_group(weight, m):
    return (weight.flatten(1) != 0).unflatten(1, (-1, m)).sum(-1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 2), (1, 4), (4, 8)])
def test_exactly_n_of_m_stay(method, n, m):
    model, dense = network(), network()
    report = semi_structured_(model, images(), method, n, m)
    assert [layer.name for layer in report.layers] == [
        "3.weight",
        "5.weight",
        "8.weight",
    ][36 % m > 0 :]
    state, before = model.state_dict(), dense.state_dict()
    for name, value in before.items():
        if name in [layer.name for layer in report.layers]:
            assert (kept_by_group(state[name], m) == n).all()
            kept = state[name] != 0
            same = state[name][kept].equal(value[kept])
            assert same == (method != "sparsegpt")
        else:
            assert state[name].equal(value)
    zeros = sum(int((state[layer.name] == 0).sum()) for layer in report.layers)
    assert report.removed == zeros
    assert report.params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_reported_error_is_that_of_the_layers_outputs(method):
    dense, model = network().double().eval(), network().double().eval()
    batches = [batch.double() for batch in images()]
    report = semi_structured_(model, batches, method)
    whole = torch.cat(batches)
    for layer in report.layers:
        number = int(layer.name.split(".")[0])
        inputs = dense[:number](whole)
        with torch.no_grad():
            outputs, changed = dense[number](inputs), model[number](inputs)
        bias = dense[number].bias.detach()
        bias = bias.view(1, -1, *[1] * (outputs.dim() - 2))
        error = (changed - outputs).square().sum() / (outputs - bias).square().sum()
        assert layer.error == pytest.approx(float(error), rel=1e-9)


def test_sparse_gpt_has_the_smallest_errors():
    errors = {}
    for method in METHODS:
        report = semi_structured_(network(), images(8), method)
        errors[method] = [layer.error for layer in report.layers]
    for by_magnitude, by_wanda, by_sparse_gpt in zip(*errors.values(), strict=True):
        assert 0 < by_sparse_gpt < min(by_magnitude, by_wanda)


def test_grouped_convolution_equals_its_groups_apart():
    torch.manual_seed(0)
    grouped = nn.Conv2d(8, 6, 3, groups=2, bias=False)
    parts = [nn.Conv2d(4, 3, 3, bias=False) for _ in range(2)]
    for part, weight in zip(parts, grouped.weight.detach().chunk(2), strict=True):
        part.weight.data = weight.clone()
    inputs = torch.randn(5, 8, 7, 7)
    semi_structured_(grouped, [inputs], "sparsegpt")
    for part, half in zip(parts, inputs.chunk(2, 1), strict=True):
        semi_structured_(part, [half], "sparsegpt")
    torch.testing.assert_close(grouped.weight, torch.cat([p.weight for p in parts]))


@pytest.mark.parametrize("method", METHODS)
def test_convolution_equals_linear_on_unfolded_inputs(method):
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(4, 6, 3, padding=1), nn.Linear(36, 6)
    linear.weight.data = conv.weight.detach().flatten(1).clone()
    inputs = torch.randn(4, 4, 6, 6)
    rows = nn.functional.unfold(inputs, 3, padding=1).mT.reshape(-1, 36)
    semi_structured_(conv, [inputs], method)
    semi_structured_(linear, [rows], method)
    torch.testing.assert_close(conv.weight.flatten(1), linear.weight)


@pytest.mark.parametrize("method", METHODS)
def test_channels_last_equals_a_convolution_with_permuted_inputs(method):
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(8, 6, 3), nn.Linear(72, 6)
    linear.weight.data = conv.weight.detach().permute(0, 2, 3, 1).flatten(1).clone()
    inputs = torch.randn(4, 8, 6, 6)
    patches = nn.functional.unfold(inputs, 3).unflatten(1, (8, 9))  # (B, C, 9, L)
    rows = patches.permute(0, 3, 2, 1).reshape(-1, 72)
    semi_structured_(conv, [inputs], method, layout="channels_last")
    semi_structured_(linear, [rows], method)
    by_position = conv.weight.permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(by_position, linear.weight)
    assert (kept_by_group(by_position, 4) == 2).all()


@pytest.mark.parametrize("method", METHODS)
def test_two_runs_are_the_same(method):
    first, second = network(), network()
    one = semi_structured_(first, images(), method)
    two = semi_structured_(second, images(), method)
    assert one == two
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("method", METHODS)
def test_a_full_pattern_changes_nothing(method):
    model = network()
    before = copy.deepcopy(model.state_dict())
    report = semi_structured_(model, images(), method, 4, 4)
    assert all(layer.error == 0 for layer in report.layers)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", BOTH)
def test_dead_inputs(method):
    class HalfZero(nn.Module):
        def forward(self, x):
            return torch.cat([x[:, :8], torch.zeros_like(x[:, 8:])], 1)

    torch.manual_seed(0)
    model = nn.Sequential(HalfZero(), nn.Linear(16, 4))
    report = semi_structured_(model, [torch.randn(50, 16)], method)
    assert torch.isfinite(model[1].weight).all()
    assert (kept_by_group(model[1].weight, 4) == 2).all()
    assert report.layers[0].error > 0
    silent = nn.Sequential(nn.Linear(8, 4))
    report = semi_structured_(silent, [torch.zeros(5, 8)], method)
    assert report.layers[0].error == 0


def test_half_precision_weights_keep_their_type():
    model = nn.Sequential(nn.Linear(16, 8)).to(torch.bfloat16)
    semi_structured_(model, [torch.randn(40, 16).bfloat16()], "sparsegpt")
    assert model[0].weight.dtype == torch.bfloat16
    assert (kept_by_group(model[0].weight, 4) == 2).all()


@pytest.mark.parametrize("method", BOTH)
def test_a_layer_that_no_batch_reaches_stays_dense(method):
    model = nn.ModuleDict({"used": nn.Linear(8, 4), "spare": nn.Linear(8, 4)})
    before = model["spare"].weight.clone()
    report = semi_structured_(
        model, [torch.randn(9, 8)], method, run=lambda net, x: net["used"](x)
    )
    assert report.dense == {"spare.weight": "no calibration batch reached it"}
    assert model["spare"].weight.equal(before)
    report = semi_structured_(
        model, [torch.randn(9, 8)], run=lambda net, x: net["used"](x)
    )
    assert [layer.error is None for layer in report.layers] == [False, True]


def test_report_is_plain_data_and_a_table():
    report = semi_structured_(network(), images(), "wanda", skip=["8"])
    data = json.loads(json.dumps(report.to_dict()))
    assert data["pattern"] == {"n": 2, "m": 4, "layout": "flat"}
    assert data["layers"][0]["shape"] == [16, 4, 3, 3]
    assert data["dense"]["8.weight"] == "skip has '8'"
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(report.table())
    text = console.export_text()
    assert "2:4 by wanda in 2 layers" in text
    assert "0.weight: 27 inputs (3x3x3) are not divisible by 4" in " ".join(
        text.split()
    )
    assert f"{report.layers[1].error:.3e}" in text


@pytest.mark.parametrize("method", BOTH)
def test_methods_that_need_batches_say_so(method):
    match = f"method='{method}' needs calibration batches. .*--method {method}"
    with pytest.raises(ValueError, match=match):
        semi_structured_(network(), method=method)
    with pytest.raises(ValueError, match=match):
        SemiStructuredPruner(method=method)(network())
    with pytest.raises(CalibrationError, match="There are no calibration batches"):
        semi_structured_(network(), [], method)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (dict(n=5, m=4), "n=5, m=4 is no pattern"),
        (dict(n=0, m=4), "n=0, m=4 is no pattern"),
        (dict(method="random"), "method='random' is none of"),
        (dict(damping=-1.0), "damping=-1.0 must be at least 0"),
        (dict(layout="rows"), "layout='rows' is none of"),
    ],
)
def test_wrong_settings(settings, match):
    with pytest.raises(ValueError, match=match):
        semi_structured_(network(), **settings)
    with pytest.raises(ValueError, match=match):
        SemiStructuredPruner(**settings)


def test_one_tensor_is_no_list_of_batches():
    with pytest.raises(ValueError, match="batches is one Tensor. Give an iterable"):
        semi_structured_(network(), images()[0])


def test_nothing_eligible_names_the_reasons():
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4))
    match = (
        "No layer of Sequential can have the 2:4 pattern. 0.weight: 6 inputs are not "
        "divisible by 4; 1.weight: skip has '1'. Choose another m"
    )
    with pytest.raises(ValueError, match=match):
        semi_structured_(model, skip=["1"])
    with pytest.raises(ValueError, match="it has no weights of two or more axes"):
        SemiStructuredPruner()(nn.ReLU())


def test_a_failure_leaves_the_model_as_it_was():
    model = network()
    before = copy.deepcopy(model.state_dict())
    model[8].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="'8.weight' holds NaN or infinity"):
        semi_structured_(model)
    poison = [*images(1), torch.full((1, 3, 16, 16), float("nan"))]
    with pytest.raises(CalibrationError, match="input of '3' is NaN .* batch 1"):
        semi_structured_(model, poison, "wanda")
    assert model[3].weight.equal(before["3.weight"])
    assert model[5].weight.equal(before["5.weight"])
    assert model.training


def test_a_singular_hessian_names_the_layer():
    model = nn.Sequential(nn.Linear(8, 4))
    with pytest.raises(ValueError, match="'0.weight': the Hessian with damping=0"):
        semi_structured_(model, [torch.zeros(2, 8) - 1], "sparsegpt", damping=0.0)


@pytest.mark.parametrize("host", TINY)
def test_in_the_config_of_an_algorithm(host):
    pytest.importorskip(host)
    if host == "mmdet":
        pytest.importorskip("mmcv._ext")
    model = Algorithm(TINY[host](), pruner=dict(type="SemiStructuredPruner", n=1, m=4))
    plain = Algorithm(TINY[host]())
    assert list(model.state_dict()) == list(plain.state_dict())
    masks = model.architecture.weight_masks
    assert len(masks.layers) > 10
    for layer in masks.layers:
        assert (kept_by_group(layer.weight, 4) == 1).all()


def test_a_pruner_with_batches_keeps_the_pattern_of_its_method():
    model, other = network(), network()
    SemiStructuredPruner(method="wanda")(model, images())
    semi_structured_(other, images(), "wanda")
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert a.equal(b)
    removed = model.weight_masks.removed
    assert removed["3.weight"].equal(other[3].weight == 0)
