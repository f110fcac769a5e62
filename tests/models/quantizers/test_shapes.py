"""Spread of scales and groups against loops over single elements."""

import pytest
import torch

from mmrazor.models.quantizers.settings import QuantSettings
from mmrazor.models.quantizers.shapes import grouped, scale_shape, spread

GROUP = QuantSettings(granularity="group", group_size=4)
CHANNEL = QuantSettings(granularity="channel")


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scales_of_channels_and_groups_stand_where_a_loop_puts_them(axis):
    x = torch.randn(3, 2, 5)
    values = torch.arange(float(x.shape[axis]))
    each = spread(values, x, CHANNEL, axis).expand_as(x)
    for place in range(x.shape[axis]):
        assert (each.select(axis, place) == values[place]).all()
    shape = scale_shape(x, GROUP, axis)
    assert shape == (x.shape[axis], -(-(x.numel() // x.shape[axis]) // 4))
    values = torch.arange(float(shape.numel())).view(shape)
    each = spread(values, x, GROUP, axis)
    for row, channel in enumerate(each.unbind(axis)):
        flat = channel.flatten().tolist()
        assert flat == [float(values[row, i // 4]) for i in range(len(flat))]


def test_rows_of_groups_have_the_ends_of_the_groups():
    x = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    rows = grouped(x, 4, axis=1)
    assert rows.shape == (6, 4)
    flat = [x[:, i].flatten().tolist() for i in range(3)]
    parts = [row[start : start + 4] for row in flat for start in (0, 4)]
    for row, part in zip(rows.tolist(), parts, strict=True):
        assert set(row) == set(part)
    assert grouped(x, 100).shape == (2, 100)
    assert torch.equal(grouped(x, 9), x.flatten(1))


def test_what_does_not_fit_is_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"Scales of shape \(2,\) .* of shape \(3,\)"):
        spread(torch.ones(2), x, CHANNEL, 0)
    with pytest.raises(ValueError, match="need axis"):
        spread(torch.ones(3), x, CHANNEL)
    with pytest.raises(ValueError, match=r"shape \(3, 2\) has no axis 2"):
        spread(torch.ones(3), x, CHANNEL, 2)
    with pytest.raises(ValueError, match=r"it has scales of shape \(\)"):
        spread(torch.ones(1), x, QuantSettings())
