"""Observers against torch's, numpy's percentiles, search and plain formulas."""

import itertools
import math
import os
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.ao.quantization import observer as theirs

from mmrazor.models.quantizers import QuantSettings, fake_quantized
from mmrazor.models.quantizers import observers as package
from mmrazor.models.quantizers.numeric import scale_and_zero_point
from mmrazor.models.quantizers.observers import (
    EntropyObserver,
    LSQObserver,
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    Observer,
    PercentileObserver,
    build_observer,
    kept_bins,
)

KINDS = [
    found
    for found in vars(package).values()
    if isinstance(found, type) and issubclass(found, Observer) and found is not Observer
]
AFFINE = QuantSettings(symmetric=False)
BATCHES = torch.randn(6, 4, 50, generator=torch.Generator().manual_seed(0))
BATCHES *= torch.tensor([1.0, 3.0, 0.2, 1.0, 5.0, 0.5])[:, None, None]


def seen(observer, batches=BATCHES):
    for batch in batches:
        observer(batch)
    return observer


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (MinMaxObserver(), theirs.MinMaxObserver()),
        (MinMaxObserver(axis=0), theirs.PerChannelMinMaxObserver(ch_axis=0)),
        (MinMaxObserver(axis=1), theirs.PerChannelMinMaxObserver(ch_axis=1)),
        (
            MovingAverageObserver(momentum=0.1),
            theirs.MovingAverageMinMaxObserver(averaging_constant=0.1),
        ),
        (
            MovingAverageObserver(momentum=0.3, axis=0),
            theirs.MovingAveragePerChannelMinMaxObserver(averaging_constant=0.3),
        ),
    ],
)
def test_ranges_and_scales_are_those_of_torch(ours, reference):
    seen(ours)
    seen(reference)
    low, high = ours.range()
    torch.testing.assert_close(low, reference.min_val)
    torch.testing.assert_close(high, reference.max_val)
    # torch's unsigned 8 bits, affine.
    settings = QuantSettings(symmetric=False, signed=False)
    scale, zero_point = scale_and_zero_point(low, high, settings)
    expected = reference.calculate_qparams()
    torch.testing.assert_close(scale.view(-1), expected[0].view(-1))
    assert zero_point.view(-1).tolist() == expected[1].view(-1).tolist()


@pytest.mark.parametrize("percentile", [51, 90, 99, 99.99, 100])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_percentiles_are_numpys_to_a_bin(percentile, axis):
    observer = seen(PercentileObserver(percentile, axis))
    low, high = observer.range()
    rows = BATCHES.reshape(1, -1) if axis is None else None
    if rows is None:
        rows = torch.stack(list(BATCHES), 1 if axis == 0 else 0)
        rows = rows.movedim(axis if axis == 0 else 2, 0).flatten(1)
    assert low.shape == high.shape == (() if axis is None else (len(rows),))
    pairs = zip(low.view(-1), high.view(-1), strict=True)
    for row, found in zip(rows, pairs, strict=True):
        # Of so many numbers, that many are kept at each end.
        ordered = np.sort(row.numpy())
        kept = math.ceil(len(ordered) * round(percentile * 100) / 10_000)
        exact = ordered[len(ordered) - kept], ordered[kept - 1]
        assert exact[1] == np.percentile(row, percentile, method="inverted_cdf")
        width = 2 * float(row.abs().max() * 2) / observer.statistic.bins
        assert exact[0] - width <= float(found[0]) <= exact[0]
        assert exact[1] <= float(found[1]) <= exact[1] + width
    if percentile == 100:
        assert all(map(torch.equal, seen(MinMaxObserver(axis)).range(), (low, high)))


@pytest.mark.parametrize(
    "settings",
    [
        QuantSettings(bits=4),
        QuantSettings(bits=3, symmetric=False),
        QuantSettings(bits=4, signed=False),
        QuantSettings(bits=8, symmetric=False, signed=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("axis", [None, 0])
def test_no_part_of_the_range_has_less_squared_error(settings, axis):
    """Against all shares tried on the numbers themselves, not on a histogram."""
    data = BATCHES[0] ** 3  # long tails
    data = data.abs() if not settings.signed and settings.symmetric else data
    low, high = seen(MSEObserver(axis), [data]).range(settings)
    rows = data.reshape(1, -1) if axis is None else data
    pairs = zip(low.view(-1), high.view(-1), strict=True)
    better = []
    for row, ends in zip(rows, pairs, strict=True):

        def error(low, high, row=row):
            pair = scale_and_zero_point(low, high, settings)
            return float((fake_quantized(row, *pair, settings) - row).square().sum())

        shares = [i / 100 for i in range(1, 101)]
        errors = [error(row.min() * share, row.max() * share) for share in shares]
        assert error(*ends) <= min(errors) * 1.01
        better.append(error(*ends) < errors[-1])
        assert better[-1] or error(*ends) == errors[-1]
    assert any(better) or settings.bits == 8


def test_torchs_histogram_observer_is_not_better():
    """It searches a clipping of the squared error, too, in another way."""
    data = torch.randn(10_000, generator=torch.Generator().manual_seed(1)) ** 3
    settings = QuantSettings(symmetric=False, signed=False)
    reference = theirs.HistogramObserver()
    reference(data)
    scale, zero_point = reference.calculate_qparams()
    pair = scale_and_zero_point(*seen(MSEObserver(), [data]).range(settings), settings)
    errors = [
        float((fake_quantized(data, *p, settings) - data).square().sum())
        for p in (pair, (scale[0], zero_point[0].float()))
    ]
    assert errors[0] <= errors[1] * 1.02


def plain_kept_bins(counts, num_levels):
    """TensorRT's search as its slides write it down, bin by bin."""
    last = max(i for i, c in enumerate(counts) if c) + 1
    if last <= num_levels:
        return last
    best = math.inf, None
    for i in range(num_levels, last + 1):
        p = [float(c) for c in counts[:i]]
        p[-1] += sum(counts[i:])
        groups = [[] for _ in range(num_levels)]
        for j in range(i):
            groups[j * num_levels // i].append(j)
        q = [0.0] * i
        for group in groups:
            filled = [j for j in group if counts[j]]
            for j in filled:
                q[j] = sum(counts[j] for j in group) / len(filled)
        divergence = 0.0
        for a, b in zip(p, q, strict=True):
            if a and not b:
                divergence = math.inf
            elif a:
                a, b = a / sum(p), b / sum(q)
                divergence += a * math.log(a / b)
        if divergence < best[0] - 1e-12:
            best = divergence, i
    return best[1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("num_levels", [2, 4, 7])
def test_entropy_is_the_plain_search(seed, num_levels):
    rng = np.random.default_rng(seed)
    counts = np.histogram(np.abs(rng.laplace(size=300)), 40, (0, 6))[0]
    if seed == 7:
        counts[3:] = 0
    assert kept_bins(counts, num_levels) == plain_kept_bins(counts.tolist(), num_levels)


@pytest.mark.parametrize(
    ("settings", "sign", "num_levels"),
    [
        (QuantSettings(bits=4), 0, 8),
        (QuantSettings(bits=4), 1, 8),
        (QuantSettings(bits=4, signed=False), 1, 16),
        (QuantSettings(bits=4, symmetric=False), 1, 16),
        (QuantSettings(bits=4, symmetric=False), -1, 16),
        (QuantSettings(bits=4, symmetric=False), 0, 8),
    ],
)
def test_entropy_clips_at_the_plain_threshold(settings, sign, num_levels):
    rng = np.random.default_rng(0)
    data = rng.laplace(size=2000).astype(np.float32)
    data = np.abs(data) * sign if sign else data
    observer = seen(EntropyObserver(bins=64), [torch.tensor(data)])
    width = float(observer.statistic.grid().width())
    top = math.ceil(np.abs(data).max() / width)
    counts = np.histogram(np.abs(data), top, (0, top * width))[0]
    counts[0] = counts[1]
    threshold = plain_kept_bins(counts.tolist(), num_levels) * width
    low, high = observer.range(settings)
    assert float(low) == max(data.min(), -threshold)
    assert float(high) == min(data.max(), threshold)
    assert threshold < np.abs(data).max()


def test_entropy_by_channel_is_entropy_of_each_and_zeros_do_not_matter():
    low, high = seen(EntropyObserver(axis=0), [BATCHES[0]]).range()
    relu = BATCHES[0].relu()
    padded = torch.cat([relu, torch.zeros(4, 500)], 1)
    ranges = [seen(EntropyObserver(), [x]).range(AFFINE) for x in (relu, padded)]
    assert ranges[0] == ranges[1]
    for i in range(4):
        alone = seen(EntropyObserver(), [BATCHES[0][i]]).range()
        assert (low[i], high[i]) == alone


def test_the_range_of_lsq_by_hand():
    numbers = BATCHES.flatten().tolist()
    mean = sum(map(abs, numbers)) / len(numbers)
    low, high = seen(LSQObserver()).range(QuantSettings(bits=4))
    assert float(high) == pytest.approx(2 * mean / 7**0.5 * 7)
    assert low == -high
    low, high = seen(LSQObserver()).range(QuantSettings(bits=4, signed=False))
    assert float(low) == 0
    assert float(high) == pytest.approx(2 * mean / 15**0.5 * 15)
    with pytest.raises(ValueError, match=r"no zero point\. Give symmetric"):
        seen(LSQObserver()).range(AFFINE)


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    def test_is_empty_until_it_sees(self, kind):
        observer = kind()
        assert not observer.has_data()
        with pytest.raises(RuntimeError, match=f"{kind.__name__} has seen no data"):
            observer.range()
        with pytest.raises(ValueError, match=r"shape \(0, 3\) has no numbers"):
            observer(torch.zeros(0, 3))
        seen(observer).reset_()
        assert not observer.has_data()
        assert all(not buffer.numel() for buffer in observer.buffers())

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("axis", [None, 0])
    def test_refuses_what_is_not_finite(self, kind, bad, axis):
        observer = seen(kind(axis=axis))
        before = observer.range()
        data = BATCHES[0].clone()
        data[2, 3] = bad
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            observer(data)
        assert all(map(torch.equal, observer.range(), before))

    def test_refuses_other_channels(self, kind):
        observer = seen(kind(axis=1))
        with pytest.raises(
            ValueError, match=r"shape \(4, 2\) has 2 channels on axis 1"
        ):
            observer(torch.zeros(4, 2))

    def test_channels_are_as_if_each_were_a_tensor(self, kind):
        for batches, axis in [(BATCHES, 0), (BATCHES.mT, -1)]:
            low, high = seen(kind(axis=axis), batches).range()
            for i in range(4):
                alone = seen(kind(), BATCHES[:, i]).range()
                assert (low[i], high[i]) == alone

    @pytest.mark.parametrize("axis", [None, 0])
    def test_goes_on_from_a_state_dict(self, kind, axis):
        whole = seen(kind(axis=axis))
        half, fresh = seen(kind(axis=axis), BATCHES[:3]), kind(axis=axis)
        fresh.load_state_dict(half.state_dict())
        assert all(map(torch.equal, seen(fresh, BATCHES[3:]).range(), whole.range()))

    def test_takes_every_floating_dtype(self, kind):
        low, high = seen(kind()).range()
        for dtype in (torch.float64, torch.float16, torch.bfloat16):
            found = seen(kind(), BATCHES.to(dtype)).range()
            rtol = 1e-6 if dtype == torch.float64 else 0.05
            for one, other in zip(found, (low, high), strict=True):
                torch.testing.assert_close(
                    one, other, rtol=rtol, atol=0, check_dtype=False
                )

    @pytest.mark.parametrize("number", [0.0, 1e-40, 3.0, -3.0, 1e30])
    def test_takes_numbers_that_are_all_the_same(self, kind, number):
        low, high = seen(kind(), [torch.full((5,), number)]).range()
        assert torch.isfinite(low)
        assert low <= high
        # LSQ begins with a step of twice the mean.
        reach = max(abs(number), float(high - low) / 2)
        assert low <= number + reach * 0.01
        assert high >= number - reach * 0.01

    def test_leaves_gradients_and_data_alone(self, kind):
        x = BATCHES[0].clone().requires_grad_()
        observer = kind()
        assert observer(x) is None
        assert not any(end.requires_grad for end in observer.range())
        assert torch.equal(x, BATCHES[0])

    def test_is_built_by_name(self, kind):
        observer = build_observer(dict(type=f"mmrazor.{kind.__name__}"), axis=1)
        assert type(observer) is kind
        assert observer.axis == 1
        assert build_observer(observer) is observer
        assert build_observer(dict(type=kind, axis=0), axis=1).axis == 0

    @pytest.mark.gpu
    @pytest.mark.parametrize("axis", [None, 0])
    def test_finds_the_same_on_a_gpu(self, kind, axis):
        found = seen(kind(axis=axis), BATCHES.cuda()).range()
        for ours, expected in zip(found, seen(kind(axis=axis)).range(), strict=True):
            assert ours.is_cuda
            torch.testing.assert_close(ours.cpu(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MovingAverageObserver(0), "momentum=0: the weight"),
        (lambda: MovingAverageObserver(1.5), "momentum=1.5: the weight"),
        (lambda: PercentileObserver(50), "percentile=50: it is above 50"),
        (lambda: PercentileObserver(100.1), "percentile=100.1"),
        (lambda: MSEObserver(num_steps=0), "num_steps=0: at least 1"),
        (lambda: build_observer("MaxObserver"), "'MaxObserver' is no observer. There"),
        (lambda: build_observer("RandomSearcher"), "is no observer"),
    ],
)
def test_what_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
    with pytest.raises(TypeError, match="not 3"):
        build_observer(3)
    with pytest.raises(TypeError, match="percentil"):
        build_observer(dict(type="PercentileObserver", percentil=99))


PLACES = list(itertools.product([kind.__name__ for kind in KINDS], [None, 0]))


def states(batches):
    """Return ranges of every observer before and after they are put together."""
    found = {}
    for name, axis in PLACES:
        observer = seen(build_observer(name, axis=axis), batches)
        alone = observer.range() if observer.has_data() else None
        observer.sync_()
        found[name, axis] = alone, observer.range()
    return found


def worker(rank, port, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=int(rank), world_size=2)
    halves, all_or_none = BATCHES[int(rank) :: 2], BATCHES[: 6 - 6 * int(rank)]
    torch.save([states(halves), states(all_or_none)], out)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.dist
def test_two_processes_agree_with_one_that_saw_all(saved_by_two):
    first, second = saved_by_two(__file__)
    one = states(BATCHES)
    for part, place in itertools.product((0, 1), PLACES):
        (mine, found), (other, same) = first[part][place], second[part][place]
        assert all(map(torch.equal, found, same)), place
        averaged = place[0] == "MovingAverageObserver" and part == 0
        expected = one[place][1]
        if averaged:
            expected = [(a + b) / 2 for a, b in zip(mine, other, strict=True)]
        # Sums of floating point depend on their order, counts and ends do not.
        rtol = 1e-6 if averaged or place[0] == "LSQObserver" else 0
        torch.testing.assert_close(list(found), list(expected), rtol=rtol, atol=0)


if __name__ == "__main__":
    worker(*sys.argv[1:])
