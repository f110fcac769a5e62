"""Which rows are of which sample, and what a mask on them has for a gradient."""

import pytest
import torch

from mmrazor.models.pruners.mask_gradients import mask_gradients, num_samples
from mmrazor.models.pruners.readers import UnreadableError


@pytest.mark.parametrize(
    ("shape", "axis", "spread"),
    [
        ((4, 6), -1, lambda m: m),
        ((4, 6, 3, 3), 1, lambda m: m[..., None, None]),
        ((4, 5, 6), -1, lambda m: m[:, None]),
        ((4, 3, 3, 6), -1, lambda m: m[:, None, None]),
        ((8, 6), -1, lambda m: m.repeat_interleave(2, 0)),
        ((12, 6, 2), 1, lambda m: m.repeat_interleave(3, 0)[..., None]),
        ((7, 4, 6), -1, lambda m: m),  # sequences first
    ],
)
def test_gradient_is_that_of_a_mask_multiplied_in(shape, axis, spread):
    values = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(4, 6, dtype=torch.float64, requires_grad=True)
    loss = (values * spread(mask)).sin().sum()
    gradient, expected = torch.autograd.grad(loss, [values, mask])
    found = mask_gradients(values.detach(), gradient, axis, 4)
    torch.testing.assert_close(found, expected)
    whole = mask_gradients(values.detach(), gradient, axis, 1)
    torch.testing.assert_close(whole, expected.sum(0, keepdim=True))


@pytest.mark.parametrize("shape", [(6, 6), (4, 4, 6), (8, 4, 6), (6, 3, 3, 6)])
def test_rows_that_cannot_be_told_apart(shape):
    values = torch.ones(shape)
    with pytest.raises(UnreadableError, match="4 samples of the batch cannot be told"):
        mask_gradients(values, values, -1, 4)
    with pytest.raises(UnreadableError, match="unknown samples"):
        mask_gradients(values, values, -1, None)


def test_half_precision_is_added_up_in_single():
    values = torch.full((1, 2, 300, 300), 10.0, dtype=torch.float16)
    assert mask_gradients(values, values, 1, 1).tolist() == [[9e6, 9e6]]


def test_number_of_samples():
    images = torch.zeros(4, 3, 8, 8)
    assert num_samples([images, [0] * 9]) == 4
    assert num_samples([list(images)]) == 4
    assert num_samples([{"points": images}, torch.zeros(9)]) == 4
    assert num_samples([[images, images]]) is None  # views of the same samples
    assert num_samples([3, torch.tensor(1.0)]) is None
