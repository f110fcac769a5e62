"""What calibration collects, held against rows written out with torch's own unfold."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmrazor.models.pruners.semi_structured import (
    CalibrationError,
    Pattern,
    input_hessians,
    prunable_layers,
    unfolded_inputs,
)


def layers_of(model):
    return prunable_layers(model, Pattern(1, 1))[0]


def outer(rows):
    return rows.T @ rows


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, (2, 1)])
@pytest.mark.parametrize("dilation", [1, (1, 2)])
@pytest.mark.parametrize("padding", [0, (2, 1), "same", "valid"])
def test_a_convolution_is_linear_on_unfolded_inputs(groups, stride, dilation, padding):
    if padding == "same" and stride != 1:
        pytest.skip("torch has no strided 'same' convolution")
    torch.manual_seed(0)
    images = torch.randn(3, 8, 9, 7, dtype=torch.float64)
    conv = nn.Conv2d(
        8, 12, (3, 2), stride, padding, dilation, groups, bias=False
    ).double()
    settings = (conv.stride, conv.padding, conv.dilation, conv.groups)
    rows = unfolded_inputs(images, conv.kernel_size, *settings)
    weight = conv.weight.flatten(1).unflatten(0, (groups, -1))
    outputs = rows @ weight.mT  # (G, N, O / G)
    expected = conv(images)
    by_position = expected.unflatten(1, (groups, -1)).permute(1, 0, 3, 4, 2)
    torch.testing.assert_close(outputs, by_position.flatten(1, 3))
    found = input_hessians(conv, layers_of(conv), [images[:1], images[1:]])
    torch.testing.assert_close(found["weight"], rows.mT @ rows)


def test_unfolded_inputs_equal_torch_unfold():
    images = torch.randn(2, 3, 6, 5)
    rows = unfolded_inputs(images, (3, 3), (2, 2), (1, 1), (1, 1), 1)[0]
    expected = F.unfold(images, 3, padding=1, stride=2).mT.reshape(-1, 27)
    assert rows.equal(expected)


@pytest.mark.parametrize(("kind", "size"), [(nn.Conv1d, (9,)), (nn.Conv3d, (4, 5, 3))])
def test_one_and_three_axes(kind, size):
    conv = kind(4, 6, 3, padding=1, bias=False)
    images = torch.randn(2, 4, *size)
    (found,) = input_hessians(conv, layers_of(conv), [images]).values()
    weight = conv.weight.flatten(1)
    total = conv(images).square().sum()
    torch.testing.assert_close((weight @ found[0] * weight).sum(), total)
    (alone,) = input_hessians(conv, layers_of(conv), [images[0]]).values()  # no batch
    (batch,) = input_hessians(conv, layers_of(conv), [images[:1]]).values()
    torch.testing.assert_close(alone, batch)


def test_large_inputs_are_unfolded_in_parts(monkeypatch):
    from mmrazor.models.pruners.semi_structured import calibration

    conv, images = nn.Conv2d(2, 4, 3), torch.randn(5, 2, 6, 6)
    whole = input_hessians(conv, layers_of(conv), [images])
    monkeypatch.setattr(calibration, "_ROWS_BY_INPUTS", 18 * 36 * 2)
    parts = input_hessians(conv, layers_of(conv), [images])
    torch.testing.assert_close(parts["weight"], whole["weight"])


def test_linear_layers_take_any_number_of_axes_and_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x).transpose(1, 2).transpose(1, 2))

    model, tokens = Twice(), torch.randn(2, 3, 4)
    found = input_hessians(model, layers_of(model), [tokens, tokens + 1])
    with torch.no_grad():
        seen = [v for t in (tokens, tokens + 1) for v in (t, model.layer(t))]
    expected = outer(torch.cat([v.reshape(-1, 4) for v in seen]))
    torch.testing.assert_close(found["layer.weight"][0], expected)


class PadsItself(nn.Conv2d):
    def forward(self, x):
        x = F.pad(x, (1, 2, 0, 1))
        return F.conv2d(x, self.weight, self.bias, self.stride)


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias)


def test_what_really_runs_is_seen():
    images = torch.randn(2, 4, 5, 5)
    own, plain = PadsItself(4, 4, 3), nn.Conv2d(4, 4, 3)
    reflect = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    for conv, padded in ((own, (1, 2, 0, 1)), (reflect, (1, 1, 1, 1))):
        mode = "reflect" if conv is reflect else "constant"
        found = input_hessians(conv, layers_of(conv), [images])
        expected = input_hessians(
            plain, layers_of(plain), [F.pad(images, padded, mode)]
        )
        torch.testing.assert_close(found["weight"], expected["weight"])
    changed = Standardised(4, 4, 3)
    assert input_hessians(changed, layers_of(changed), [images]) == {}


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_output_projection_of_attention(batch_first):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    tokens = torch.randn(3, 5, 8)
    layers = layers_of(attention)
    assert [layer.name for layer in layers] == ["out_proj.weight"]
    found = input_hessians(attention, layers, [(tokens, tokens, tokens)])
    bare = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    bare.load_state_dict(attention.state_dict())
    nn.init.eye_(bare.out_proj.weight)
    nn.init.zeros_(bare.out_proj.bias)
    heads = bare(tokens, tokens, tokens)[0].detach().reshape(-1, 8)
    torch.testing.assert_close(found["out_proj.weight"][0], outer(heads))


def test_fused_transformer_layers_are_taken_apart():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = input_hessians(layer, layers_of(layer), [torch.randn(2, 3, 8)])
    assert set(found) == {
        "self_attn.out_proj.weight",
        "linear1.weight",
        "linear2.weight",
    }


def test_modes_come_back_and_nothing_needs_gradients():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9), nn.Linear(4, 4))
    model[1].eval()
    found = input_hessians(model, layers_of(model), [torch.randn(6, 4)] * 2)
    assert [module.training for module in model] == [True, False, True]
    assert not any(hessian.requires_grad for hessian in found.values())


def test_half_precision_is_summed_in_single():
    layer = nn.Linear(4, 4).to(torch.bfloat16)
    tokens = torch.randn(64, 4).to(torch.bfloat16)
    (found,) = input_hessians(layer, layers_of(layer), [tokens]).values()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], outer(tokens.float()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_layer_that_gets_nan_is_named(bad):
    class Breaks(nn.Module):
        def forward(self, x):
            return torch.where(x[:, :1] > 5, torch.full_like(x, bad), x)

    model = nn.Sequential(nn.Linear(4, 4), Breaks(), nn.Conv1d(4, 4, 1))
    nn.init.eye_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    good, poison = torch.zeros(4, 4), torch.full((4, 4), 6.0)
    match = r"The input of '2' is NaN or infinite in calibration batch 1 \(from 0\)"
    with pytest.raises(CalibrationError, match=match):
        input_hessians(model, layers_of(model), [good, poison, good])


def test_no_batches():
    layer = nn.Linear(4, 4)
    with pytest.raises(CalibrationError, match="There are no calibration batches"):
        input_hessians(layer, layers_of(layer), iter(()))
