"""Layers as products of rows and matrices, against the layers themselves."""

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers.methods.products import Product, picked

LAYERS = {
    "linear": (nn.Linear(5, 3), (4, 7, 5)),
    "linear of one row": (nn.Linear(5, 3), (5,)),
    "conv1d": (nn.Conv1d(4, 6, 3, dilation=2), (2, 4, 9)),
    "conv2d": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), (2, 4, 9, 8)),
    "same": (nn.Conv2d(4, 6, (4, 3), padding="same"), (2, 4, 5, 5)),
    "valid": (nn.Conv2d(4, 6, 2, padding="valid"), (2, 4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, padding=1, groups=4), (2, 4, 5, 6)),
    "conv3d": (nn.Conv3d(2, 3, 2, padding=1), (2, 2, 3, 4, 3)),
    "transposed": (
        nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (2, 0), (1, 0), 2, dilation=(1, 2)),
        (2, 4, 3, 5),
    ),
    "transposed1d": (nn.ConvTranspose1d(4, 2, 4, 2, 1), (1, 4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_rows_times_the_matrix_are_the_outputs_at_the_picks(name):
    layer, shape = LAYERS[name]
    given = torch.randn(shape)
    with torch.no_grad():
        output = layer(given)
    kind = "linear" if isinstance(layer, nn.Linear) else "conv"
    kind = "conv_transpose" if "Transpose" in type(layer).__name__ else kind
    args: tuple = (given, layer.weight, layer.bias)
    if kind != "linear":
        args += (layer.stride, layer.padding)
    kwargs = {}
    if kind == "conv":
        args += (layer.dilation, layer.groups)
    elif kind == "conv_transpose":
        kwargs = dict(
            output_padding=layer.output_padding,
            groups=layer.groups,
            dilation=layer.dilation,
        )
    weight = layer.weight.detach()
    product = Product.of(kind, args, kwargs, weight.dim() - 2)
    generator = torch.Generator().manual_seed(0)
    images, positions = product.num_positions(output)
    assert images * positions == output.numel() // len(layer.bias)
    for number in (None, 2):
        picks = picked(images, positions, number, generator)
        rows = product.rows(given, picks, weight.shape[2:], output.shape)
        bias = layer.bias.detach().view(product.groups, 1, -1)
        found = rows @ product.matrix(weight).mT + bias
        assert found.shape[1] == images * min(number or positions, positions)
        assert torch.allclose(found, product.outputs(output, picks), atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_matrix_goes_back_to_the_weight(name):
    layer, _ = LAYERS[name]
    kind = "conv_transpose" if "Transpose" in type(layer).__name__ else "conv"
    kind = "linear" if isinstance(layer, nn.Linear) else kind
    product = Product(kind, groups=getattr(layer, "groups", 1))
    weight = layer.weight.detach()
    assert torch.equal(product.weight(product.matrix(weight), weight), weight)


def test_each_image_gives_other_positions_but_the_same_number():
    picks = picked(3, 10, 4, torch.Generator().manual_seed(0)).view(3, 4)
    assert torch.equal(picks // 10, torch.arange(3)[:, None].expand(3, 4))
    assert all(len(set(row.tolist())) == 4 for row in picks)
    assert not torch.equal(picks[0] % 10, picks[1] % 10)
