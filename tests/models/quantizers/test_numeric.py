"""Quantization of numbers against plain Python, torch's kernels and properties."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.models.quantizers import (
    QuantSettings,
    dequantized,
    fake_quantized,
    quantized,
    scale_and_zero_point,
)

FLAGS = [
    dict(symmetric=symmetric, signed=signed, narrow=narrow, reduce=reduce)
    for symmetric in (True, False)
    for signed in (True, False)
    for narrow in ((True, False) if signed else (False,))
    for reduce in (True, False)
]
SETTINGS = [QuantSettings(bits=b, **f) for b in (3, 4, 8) for f in FLAGS]
NUMBERS = st.floats(-1e6, 1e6, width=32)


def plain_range(low, high, settings):
    """The formulas of the white paper (section 2.2), in Python's numbers."""
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = settings.quant_min, settings.quant_max
    if settings.symmetric:
        reach = max(-low, high) if settings.signed else high
        return (reach / most if reach else 1.0), 0
    if low == high:
        return 1.0, least
    scale = (high - low) / (most - least)
    return scale, min(max(round(least - low / scale), least), most)


def plain_quantized(x, scale, zero_point, settings):
    integer = round(x / scale) + zero_point  # Python, too, rounds half to even
    return min(max(integer, settings.quant_min), settings.quant_max)


def per_element(x, axis, group_size=None):
    """Yield index and place of the scale of each element."""
    for index in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        channel = index[axis]
        rest = [i for d, i in enumerate(index) if d != axis]
        sizes = [n for d, n in enumerate(x.shape) if d != axis]
        flat = sum(i * math.prod(sizes[d + 1 :]) for d, i in enumerate(rest))
        yield tuple(index), (channel, flat // group_size) if group_size else (channel,)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 2.5), (0.5, 3.0), (-4.0, -1.0), (0.0, 0.0), (-3.0, 0.0)]
)
def test_range_to_scale(settings, low, high):
    scale, zero_point = scale_and_zero_point(*torch.tensor([low, high]), settings)
    expected = plain_range(low, high, settings)
    assert float(scale) == pytest.approx(expected[0], rel=1e-7)
    assert float(zero_point) == expected[1]
    assert scale.dtype == zero_point.dtype == torch.float32
    zero = torch.zeros(1)
    assert fake_quantized(zero, scale, zero_point, settings) == 0


def test_ranges_are_taken_one_by_one_and_in_their_dtype():
    low = torch.tensor([[-1.0, 0.0], [2.0, -3.0]], dtype=torch.float64)
    high = low + 1.7
    settings = QuantSettings(symmetric=False)
    scales, zeros = scale_and_zero_point(low, high, settings)
    assert scales.dtype == torch.float64
    for place in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        one = plain_range(float(low[place]), float(high[place]), settings)
        assert (float(scales[place]), float(zeros[place])) == one
    half = scale_and_zero_point(
        torch.tensor(0.0).half(), torch.tensor(1.0).half(), settings
    )
    assert half[0].dtype == torch.float32


def test_ranges_at_the_ends_of_float32_keep_a_finite_scale_above_zero():
    top = torch.finfo(torch.float32).max / 2
    for settings in SETTINGS:
        for reach in (top, 1e-44):
            ends = torch.tensor([-reach, reach])
            scale, zero_point = scale_and_zero_point(*ends, settings)
            assert 0 < scale < math.inf
            assert torch.isfinite(
                fake_quantized(ends, scale, zero_point, settings)
            ).all()


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, math.inf), (math.nan, 1.0), (1.0, -1.0), (-math.inf, 0.0)]
)
def test_what_is_no_range_is_refused(low, high):
    with pytest.raises(ValueError, match="cannot be quantized: its ends are finite"):
        scale_and_zero_point(torch.tensor(low), torch.tensor(high), QuantSettings())
    with pytest.raises(ValueError, match=r"low has shape \(1,\), high \(\)"):
        scale_and_zero_point(torch.zeros(1), torch.tensor(1.0), QuantSettings())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_integers_are_those_of_a_loop(settings, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, generator=generator, dtype=dtype) * 2
    scale, zero_point = scale_and_zero_point(x.min() / 2, x.max() / 2, settings)
    q = quantized(x, scale, zero_point, settings)
    # Python divides in float64: exact for float64, and off ties for float32.
    steps, zero = (x.double() / scale.double()).tolist(), int(zero_point)
    assert min(abs(s % 1 - 0.5) for s in steps) > 1e-5
    expected = [plain_quantized(s, 1.0, zero, settings) for s in steps]
    assert q.tolist() == expected
    assert q.dtype == dtype
    back = dequantized(q, scale, zero_point)
    assert torch.equal(back, fake_quantized(x, scale, zero_point, settings))
    for value, integer in zip(back.tolist(), expected, strict=True):
        assert value == pytest.approx((integer - zero) * float(scale), rel=1e-6)


def test_half_is_rounded_to_even_before_the_zero_point_is_added():
    x, one = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5]), torch.tensor(1.0)
    q = quantized(x, one, torch.tensor(1.0), QuantSettings(symmetric=False))
    assert q.tolist() == [1, 3, 3, 1, -1]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("group_size", [None, 4, 5, 100])
def test_channels_and_groups_are_those_of_a_loop(axis, group_size):
    kind = dict(granularity="group", group_size=group_size)
    kind = kind if group_size else dict(granularity="channel")
    settings = QuantSettings(bits=4, symmetric=False, **kind)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, 2, 2, generator=generator)
    places = list(per_element(x, axis, group_size))
    shape = [max(p[d] for _, p in places) + 1 for d in range(len(places[0][1]))]
    scale = torch.rand(shape, generator=generator) + 0.05
    zero_point = torch.randint(-8, 8, shape, generator=generator).float()
    q = quantized(x, scale, zero_point, settings, axis)
    fake = fake_quantized(x, scale, zero_point, settings, axis)
    back = dequantized(q, scale, zero_point, axis, group_size)
    assert torch.equal(back, fake)
    for index, place in places:
        one = float(x[index]), float(scale[place]), int(zero_point[place])
        assert q[index] == plain_quantized(*one, settings)
        expected = (float(q[index]) - one[2]) * one[1]
        assert float(fake[index]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_torchs_kernel_agrees(settings):
    """torch multiplies by the inverse: equal off ties, and where a step is 2**-n."""
    x = torch.randn(1000, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    ends = settings.quant_min, settings.quant_max
    for scale in (torch.tensor(2.0**-5), torch.tensor(0.0371)):
        zero = (ends[0] + ends[1]) // 2
        args = x, scale, torch.tensor(float(zero)), settings
        with torch.no_grad():
            steps = x.double() / scale.double()
        off_ties = (steps.remainder(1) - 0.5).abs() > 1e-4
        ours = fake_quantized(*args)
        theirs = torch.fake_quantize_per_tensor_affine(x, float(scale), zero, *ends)
        torch.testing.assert_close(ours[off_ties], theirs[off_ties], rtol=1e-6, atol=0)
        grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, theirs)]
        torch.testing.assert_close(
            grads[0][off_ties], grads[1][off_ties], rtol=1e-6, atol=0
        )
        assert (grads[0] == 0).any()
    exact = torch.arange(-600, 600) * 2.0**-6  # every second one is a tie
    ours = fake_quantized(exact, torch.tensor(2.0**-5), args[2], settings)
    theirs = torch.fake_quantize_per_tensor_affine(exact, 2.0**-5, zero, *ends)
    assert torch.equal(ours, theirs)


def test_torchs_kernel_for_channels_agrees():
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(3))
    scale = torch.tensor([2.0**-4, 2.0**-5, 2.0**-3, 0.25, 0.125])
    zero_point = torch.tensor([0.0, 3.0, -5.0, 1.0, 2.0])
    settings = QuantSettings(bits=4, symmetric=False, granularity="channel")
    ours = fake_quantized(x, scale, zero_point, settings, axis=1)
    theirs = torch.fake_quantize_per_channel_affine(
        x, scale, zero_point.int(), 1, settings.quant_min, settings.quant_max
    )
    assert torch.equal(ours, theirs)


@given(
    st.lists(NUMBERS, min_size=1, max_size=20),
    st.sampled_from(SETTINGS),
)
def test_rounding_again_changes_nothing_and_errs_by_half_a_step(numbers, settings):
    x = torch.tensor(numbers, dtype=torch.float64)
    scale, zero_point = scale_and_zero_point(x.min(), x.max(), settings)
    once = fake_quantized(x, scale, zero_point, settings)
    assert torch.equal(fake_quantized(once, scale, zero_point, settings), once)
    least = (settings.quant_min - zero_point) * scale
    most = (settings.quant_max - zero_point) * scale
    inside = (x >= least) & (x <= most)
    error = (once - x).abs()
    assert (error[inside] <= scale * (0.5 + 1e-9)).all()
    assert torch.equal(once[~inside], x.clamp(least, most)[~inside])


@given(st.integers(0, 2**31), st.sampled_from(FLAGS), st.sampled_from([0, 1, 2]))
def test_channels_are_as_if_each_were_a_tensor(seed, flags, axis):
    x = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(seed))
    whole = QuantSettings(bits=4, **flags)
    settings = QuantSettings(bits=4, granularity="channel", **flags)
    low, high = (
        getattr(x.movedim(axis, 0).flatten(1), end)(1) for end in ("amin", "amax")
    )
    scale, zero_point = scale_and_zero_point(low, high, settings)
    together = fake_quantized(x, scale, zero_point, settings, axis)
    for i in range(x.shape[axis]):
        alone = fake_quantized(x.select(axis, i), scale[i], zero_point[i], whole)
        assert torch.equal(together.select(axis, i), alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_reckoned_in_float32(dtype):
    x = torch.randn(100, generator=torch.Generator().manual_seed(4)).to(dtype)
    x.requires_grad_()
    scale, zero_point = torch.tensor(0.013), torch.tensor(0.0)
    args = scale, zero_point, QuantSettings()
    y = fake_quantized(x, *args)
    assert torch.equal(y, fake_quantized(x.float(), *args).to(dtype))
    assert torch.equal(quantized(x, *args).float(), quantized(x.float(), *args))
    y.sum().backward()
    assert x.grad.dtype == dtype


def test_an_empty_tensor_stays_empty():
    x = torch.zeros(0, 3)
    args = torch.tensor(1.0), torch.tensor(0.0), QuantSettings()
    assert fake_quantized(x, *args).shape == quantized(x, *args).shape == (0, 3)


@pytest.mark.gpu
def test_a_gpu_gives_the_same():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(6))
    for settings in SETTINGS:
        found = []
        for device in ("cpu", "cuda"):
            one = x.to(device).requires_grad_()
            pair = scale_and_zero_point(one.min(), one.max(), settings)
            y = fake_quantized(one, *pair, settings)
            grad = torch.autograd.grad(y.sum(), one)[0]
            found.append((quantized(one, *pair, settings).cpu(), y.cpu(), grad.cpu()))
        for ours, theirs in zip(*found, strict=True):
            assert torch.equal(ours, theirs)
