from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmrazor.models.ops import (
    DARTS_OPS,
    DropPath,
    FactorizedReduce,
    MBBlock,
    ShuffleBlock,
    ShuffleXception,
    darts_op,
)


def conv_bn(inputs: int, outputs: int, kernel: int, groups: int = 1) -> int:
    """Return the parameters of a convolution without bias and a norm."""
    return inputs // groups * outputs * kernel**2 + 2 * outputs


def num_params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_shuffle_block(kernel: int, stride: int) -> None:
    inputs = 8 if stride == 2 else 16
    block = ShuffleBlock(inputs, 16, kernel, stride).eval()
    assert block(torch.rand(2, inputs, 7, 9)).shape == (
        (2, 16, 7, 9) if stride == 1 else (2, 16, 4, 5)
    )
    width = 8
    wanted = conv_bn(width, 8, 1) + conv_bn(8, 8, kernel, 8) + conv_bn(8, 8, 1)
    if stride == 2:
        wanted += conv_bn(8, 8, kernel, 8) + conv_bn(8, 8, 1)
    assert num_params(block) == wanted


def test_xception_block_has_three_pairs() -> None:
    wanted = 3 * (conv_bn(8, 8, 3, 8) + conv_bn(8, 8, 1))
    assert num_params(ShuffleXception(16, 16)) == wanted
    wanted += conv_bn(8, 8, 3, 8) + conv_bn(8, 8, 1)
    assert num_params(ShuffleXception(8, 16, stride=2)) == wanted


def test_even_channels_pass_and_odd_ones_are_computed() -> None:
    block = ShuffleBlock(8, 8).eval()
    value = torch.rand(1, 8, 5, 5)
    out = block(value)
    assert torch.equal(out[:, :4], value[:, ::2])
    assert torch.equal(out[:, 4:], block.branch_main(value[:, 1::2]))


@pytest.mark.parametrize(
    ("channels", "stride"), [((8, 16), 1), ((7, 7), 1), ((8, 8), 2), ((8, 8), 3)]
)
def test_channels_that_cannot_be_split(channels: tuple[int, int], stride: int) -> None:
    with pytest.raises(ValueError, match="ShuffleBlock cannot have"):
        ShuffleBlock(*channels, stride=stride)


@pytest.mark.parametrize(("ratio", "stride", "out"), [(1, 1, 8), (3, 1, 8), (6, 2, 12)])
def test_mb_block(ratio: int, stride: int, out: int) -> None:
    block = MBBlock(8, out, 5, stride, ratio).eval()
    value = torch.rand(1, 8, 6, 6)
    width = 8 * ratio
    wanted = conv_bn(width, width, 5, width) + conv_bn(width, out, 1)
    wanted += conv_bn(8, width, 1) if ratio > 1 else 0
    assert num_params(block) == wanted
    plain = block.layers(value)
    shortcut = value if (stride, out) == (1, 8) else 0
    assert torch.equal(block(value), plain + shortcut)


@pytest.mark.parametrize("name", DARTS_OPS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("affine", [False, True])
def test_darts_ops(name: str, stride: int, affine: bool) -> None:
    op = darts_op(name, 4, stride, affine)
    for size in (8, 7):
        half = (size + stride - 1) // stride
        assert op(torch.rand(2, 4, size, size)).shape == (2, 4, half, half)
    kernel = int(name[-1]) ** 2 if "conv" in name else 0
    convolutions = {"sep": 2, "dil": 1}.get(name[:3], 0) * (4 * kernel + 16)
    norms = {"sep": 16, "dil": 8}.get(name[:3], 0) * affine
    if name == "skip_connect" and stride == 2:
        convolutions, norms = 16, 8 * affine
    assert num_params(op) == convolutions + norms


def test_darts_pools_and_zero() -> None:
    value = torch.rand(2, 4, 6, 6)
    assert torch.equal(
        darts_op("max_pool_3x3", 4)(value), functional.max_pool2d(value, 3, 1, 1)
    )
    ones = torch.ones_like(value)
    assert torch.equal(darts_op("avg_pool_3x3", 4)(ones), ones)
    assert not darts_op("none", 4)(value).any()
    assert darts_op("skip_connect", 4)(value) is value
    with pytest.raises(ValueError, match="no operation 'sep_conv'. Take one of"):
        darts_op("sep_conv", 4)


def test_factorized_reduce_reads_every_pixel_on_the_diagonal() -> None:
    reduce = FactorizedReduce(1, 2).eval()
    for conv in (reduce.conv_1, reduce.conv_2):
        nn.init.ones_(conv.weight)
    value = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = reduce(value)[0] * (1 + reduce.bn.eps) ** 0.5
    torch.testing.assert_close(out[0], value[0, 0, ::2, ::2])
    torch.testing.assert_close(out[1], value[0, 0, 1::2, 1::2])


def test_drop_path_keeps_the_mean_and_whole_images() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.3)
    out = drop(torch.ones(4000, 2, 3))
    kept = out[:, 0, 0] > 0
    assert torch.equal(out, kept[:, None, None].expand_as(out) / 0.7)
    assert abs(kept.float().mean() - 0.7) < 0.03
    value = torch.rand(4, 2)
    assert drop.eval()(value) is value
    for prob in (-0.1, 1.0):
        with pytest.raises(ValueError, match="from 0 to below 1"):
            DropPath(prob)
