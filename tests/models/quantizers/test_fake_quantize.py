"""Modules that observe and round: torch's own, loops, states, Choices and modes."""

import copy
import os
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.ao.quantization import FakeQuantize as TorchFakeQuantize
from torch.ao.quantization import MovingAverageMinMaxObserver as TorchObserver

from mmrazor.models.mutators import NasMutator
from mmrazor.models.quantizers import (
    FakeQuantize,
    LearnedStepSize,
    MinMaxObserver,
    QuantSettings,
    fake_quantized,
    scale_and_zero_point,
)
from mmrazor.registry import MODELS

KINDS = [FakeQuantize, LearnedStepSize]
DATA = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
MIN_MAX = dict(type="MinMaxObserver")
GRAINS = {
    "tensor": (dict(), None),
    "channel": (dict(granularity="channel"), 1),
    "group": (dict(granularity="group", group_size=4), 1),
}


def calibrated(kind=FakeQuantize, settings=None, axis=None, data=DATA, **kwargs):
    made = kind(settings or dict(bits=4), axis, **kwargs)
    made.observing, made.quantizing = True, False
    assert made(data) is data
    made.observe_end_()
    assert not made.observing
    made.quantizing = True
    return made


def test_it_rounds_and_trains_as_torchs_own_does():
    ours = FakeQuantize(
        dict(symmetric=False, signed=False),
        observer=dict(type="MovingAverageObserver", momentum=0.25),
    )
    ours.observing = True
    reference = TorchFakeQuantize(TorchObserver, averaging_constant=0.25)
    for batch in DATA:
        grads = []
        for module in (ours, reference):
            x = batch.clone().requires_grad_()
            y = module(x)
            y.square().sum().backward()
            grads.append((y.detach(), x.grad))
        torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.scale, reference.scale[0])
    assert float(ours.zero_point) == int(reference.zero_point)


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_ranges_and_integers_are_those_of_a_loop(grain, symmetric):
    given, axis = GRAINS[grain]
    made = calibrated(settings=dict(bits=4, symmetric=symmetric, **given), axis=axis)
    parts = {
        "tensor": [DATA],
        "channel": list(DATA.unbind(1)),
        "group": [p for c in DATA.unbind(1) for p in c.flatten().split(4)],
    }[grain]
    shape = {"tensor": (), "channel": (4,), "group": (4, 4)}[grain]
    assert made.scale.shape == made.zero_point.shape == made.low.shape == shape
    one = QuantSettings(bits=4, symmetric=symmetric)
    rounded = []
    for part, low, high, scale, zero_point in zip(
        parts,
        *(v.flatten() for v in (made.low, made.high, made.scale, made.zero_point)),
        strict=True,
    ):
        assert (low, high) == (part.min(), part.max())
        pair = scale_and_zero_point(low, high, one)
        assert (scale, zero_point) == pair
        rounded.append(fake_quantized(part, *pair, one).flatten())
    y = made(DATA)
    moved = y if axis is None else y.movedim(axis, 0)
    assert torch.equal(moved.flatten(), torch.cat(rounded))
    q = made.quantized_(DATA)
    assert q.min() >= -8
    assert q.max() <= 7
    assert torch.equal(q, q.round())


def test_several_bits_each_have_the_range_that_suits_them():
    data = DATA**3
    bits = [8, 4, 2]
    made = calibrated(bits=bits, observer=dict(type="MSEObserver"), data=data)
    (choice,) = made.choices()
    assert (choice.name, choice.values) == ("bits", (8, 4, 2))
    highs = []
    for number in (4, 2, 8):
        choice.selected = number
        alone = calibrated(
            settings=dict(bits=number), observer=dict(type="MSEObserver"), data=data
        )
        fixed = made.fix()
        assert fixed.choices() == []
        assert made.settings_now.bits == fixed.settings_now.bits == number
        for module in (made, fixed):
            assert torch.equal(module(data), alone(data))
            assert torch.equal(module.quantized_(data), alone.quantized_(data))
        assert fixed.state_dict().keys() == alone.state_dict().keys()
        highs.append(float(made.high))
    assert len(set(highs)) == 3


def test_a_mutator_finds_its_choice_and_fixes_it():
    model = nn.Sequential(nn.Linear(5, 5), calibrated(bits=[2, 8]))
    mutator = NasMutator()
    mutator(model)
    assert list(mutator.space) == ["1.bits"]
    fixed = mutator.fixed(model, {"1.bits": 8})
    alone = calibrated(settings=dict(bits=8))
    assert torch.equal(fixed(DATA), alone(model[0](DATA)))
    assert fixed[1].state_dict().keys() == alone.state_dict().keys()


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    @pytest.mark.parametrize("grain", GRAINS)
    @pytest.mark.parametrize("bits", [(), (4, 2)])
    def test_a_state_dict_loads_into_a_fresh_module(self, kind, grain, bits):
        given, axis = GRAINS[grain]
        make = lambda: kind(dict(bits=4, **given), axis, bits=bits)  # noqa: E731
        made = calibrated(kind, dict(bits=4, **given), axis, bits=bits)
        fresh = make()
        fresh.load_state_dict(made.state_dict())
        assert torch.equal(fresh(DATA), made(DATA))
        # In the middle of calibration, too.
        half, whole = make(), make()
        batches = [DATA, DATA * 2, DATA * 0.5]
        for module, seen in ((half, batches[:2]), (whole, batches)):
            module.observing, module.quantizing = True, False
            for batch in seen:
                module(batch)
        fresh.load_state_dict(half.state_dict())
        fresh.observing, fresh.quantizing = True, False
        assert fresh.ready
        fresh(batches[2])
        for module in (fresh, whole):
            module.observe_end_()
            module.quantizing = True
        assert torch.equal(fresh(DATA), whole(DATA))
        # And a state without a range makes it forget its own.
        fresh.load_state_dict(make().state_dict())
        assert not fresh.ready

    def test_states_of_other_bits_are_refused(self, kind):
        state = calibrated(kind, bits=[2, 4]).state_dict()
        states = {f"0.{name}": value for name, value in state.items()}
        with pytest.raises(RuntimeError, match="'0' has 1 bit-widths, and the state 2"):
            nn.Sequential(kind({})).load_state_dict(states)

    def test_the_range_is_there_without_an_end_of_observing(self, kind):
        made, ended = kind(dict(bits=4)), calibrated(kind)
        made.observing, made.quantizing = True, False
        assert not made.ready
        made(DATA)
        assert made.ready
        made.observing, made.quantizing = False, True
        assert torch.equal(made(DATA), ended(DATA))
        made.observing, made.quantizing = False, False
        assert made(DATA) is DATA

    def test_without_a_range_it_says_to_calibrate(self, kind):
        made = kind({}).eval()
        for read in (
            lambda: made(DATA),
            lambda: made.scale,
            lambda: made.low,
            lambda: made.quantized_(DATA),
        ):
            with pytest.raises(RuntimeError, match="no range.*Calibrate first"):
                read()
        with pytest.raises(RuntimeError, match="has seen no data"):
            made.observe_end_()
        assert "no range yet" in repr(made)

    @pytest.mark.parametrize("grain", GRAINS)
    def test_a_range_can_be_set(self, kind, grain):
        given, axis = GRAINS[grain]
        made = kind(dict(bits=4, **given), axis, bits=[4, 8])
        shape = {"tensor": (), "channel": (4,), "group": (4, 4)}[grain]
        made.set_range_(torch.full(shape, -2.0), torch.full(shape, 7.0))
        torch.testing.assert_close(made.scale, torch.ones(shape), check_dtype=False)
        made.choices()[0].selected = 8
        torch.testing.assert_close(made.scale, torch.full(shape, 7 / 127))
        with pytest.raises(ValueError, match=r"shape \(2, 2, 2\) does not fit"):
            made.set_range_(torch.zeros(2, 2, 2), torch.zeros(2, 2, 2))
        with pytest.raises(ValueError, match="ends are finite and in order"):
            made.set_range_(torch.full(shape, 2.0), torch.full(shape, 1.0))

    def test_nan_is_refused_while_it_is_observed(self, kind):
        made = kind({})
        made.observing = True
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            made(torch.tensor([1.0, np.nan]))

    def test_an_empty_tensor_is_returned(self, kind):
        made = calibrated(kind)
        made.observing = True
        assert made(torch.zeros(0, 4)).shape == (0, 4)

    def test_it_copies_and_moves_to_float64(self, kind):
        made = calibrated(kind, settings=dict(granularity="channel"), axis=1)
        twin = copy.deepcopy(made).double()
        torch.testing.assert_close(twin(DATA.double()).float(), made(DATA))
        assert twin(DATA.double()).dtype == torch.float64

    def test_it_is_built_by_name(self, kind):
        cfg = dict(
            type=f"mmrazor.{kind.__name__}",
            settings=dict(bits=4, granularity="channel"),
            axis=0,
            observer=MIN_MAX,
            bits=[8, 4],
        )
        made = MODELS.build(cfg)
        assert type(made) is kind
        assert type(made.observer) is MinMaxObserver
        assert made.observer.axis == 0
        assert made.settings_now == QuantSettings(granularity="channel")

    def test_what_is_refused(self, kind):
        with pytest.raises(ValueError, match="granularity='channel' needs axis"):
            kind(dict(granularity="channel"))
        with pytest.raises(ValueError, match="makes the observer's axis None, not 0"):
            kind({}, 0, dict(type="MinMaxObserver", axis=0))
        with pytest.raises(ValueError, match="bits is a whole number from 2 to 8"):
            kind({}, bits=[8, 16])
        with pytest.raises(ValueError, match="is no observer"):
            kind({}, observer="Observer")

    @pytest.mark.gpu
    @pytest.mark.parametrize("grain", GRAINS)
    def test_a_gpu_gives_the_same(self, kind, grain):
        given, axis = GRAINS[grain]
        made = calibrated(kind, dict(bits=4, **given), axis)
        there = calibrated(kind, dict(bits=4, **given), axis, data=DATA.cuda())
        torch.testing.assert_close(there(DATA.cuda()).cpu(), made(DATA))
        moved = copy.deepcopy(made).cuda()
        assert torch.equal(moved(DATA.cuda()).cpu(), made(DATA))
        loaded = kind(dict(bits=4, **given), axis).cuda()
        loaded.load_state_dict(made.state_dict())
        assert torch.equal(loaded(DATA.cuda()).cpu(), made(DATA))


def worker(rank, port, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=int(rank), world_size=2)
    data = DATA[: 3 - 3 * int(rank)] if rank == "1" else DATA
    # The second process sees nothing.
    found = [calibrated(kind, data=data)(DATA).detach() for kind in KINDS]
    try:
        LearnedStepSize({})(DATA)
    except RuntimeError as err:
        found.append(str(err))
    torch.save(found, out)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.dist
def test_two_processes_round_as_one_does(saved_by_two):
    for *rounded, message in saved_by_two(__file__):
        for kind, one in zip(KINDS, rounded, strict=True):
            assert torch.equal(one, calibrated(kind)(DATA).detach())
        assert "Calibrate first" in message


if __name__ == "__main__":
    worker(*sys.argv[1:])
