"""Ranges found on data: what was seen, when, and how it fails."""

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import (
    CalibrationError,
    QuantizedRunError,
    Quantizer,
    calibrate_,
    calibration,
)
from mmrazor.models.quantizers.sites import Site
from tests.models.quantizers.toys import Chain, conv, images, randomized


def prepared(model=None, **kwargs):
    torch.manual_seed(0)
    model = model or randomized(Chain())
    quantizer = Quantizer(**kwargs)
    quantizer.prepare_(model, images())
    return model, quantizer


def test_ranges_are_those_of_all_batches_in_float():
    net, quantizer = prepared()
    batches = [images(seed=seed) for seed in range(3)]
    with quantizer.in_float(), torch.no_grad():
        results = torch.cat([net.conv1(batch).relu() for batch in batches])
    advanced = []
    calibrate_(net, quantizer, iter(batches), advance=lambda: advanced.append(1))
    first = quantizer.input_quantizer(Site("conv1", "conv"))
    pixels = torch.cat(batches)
    assert (first.low, first.high) == (pixels.min(), pixels.max())
    behind = quantizer.input_quantizer(Site("conv2", "conv"))
    assert (behind.low, behind.high) == (0, results.max())
    weight = net.fc.weight.detach()
    step = quantizer.step_at(Site("fc", "linear"))
    assert torch.equal(step.weight.low, weight.amin(1))
    assert torch.equal(step.weight.high, weight.amax(1))
    assert len(advanced) == 3
    assert all(m.quantizing and not m.observing for m in quantizer.quantizers())


def test_weights_are_observed_in_the_first_batch_alone():
    net, quantizer = prepared()
    step = quantizer.step_at(Site("fc", "linear"))
    seen = []
    step.weight.observer.register_forward_hook(lambda *_: seen.append(1))
    calibrate_(net, quantizer, [images()] * 3)
    assert len(seen) == 1


def test_the_model_keeps_its_mode_and_its_statistics():
    torch.manual_seed(0)
    net, quantizer = prepared(Chain().train(), fold=False)
    before = net.bn1.running_mean.clone()
    calibrate_(net, quantizer, [images()])
    assert net.training
    assert torch.equal(net.bn1.running_mean, before)


def test_batches_are_run_as_it_is_told():
    net, quantizer = prepared()
    batches = [{"image": images()}, {"image": images(seed=1)}]
    calibrate_(net, quantizer, batches, run=lambda model, batch: model(batch["image"]))
    assert quantizer.ready


@pytest.mark.parametrize("observer", ["MinMaxObserver", "MSEObserver", "LSQObserver"])
def test_activations_that_are_cut_off_at_0_are_named(monkeypatch, observer):
    said = []
    monkeypatch.setattr(calibration, "print_log", lambda text, **_: said.append(text))
    unsigned = dict(signed=False, symmetric=True, observer=observer)
    net, quantizer = prepared(backend="generic", activation=unsigned)
    calibrate_(net, quantizer, [images(), -images()])
    assert len(said) == 1
    named = said[0].partition("cut off: ")[2].partition(". Give")[0].split(", ")
    assert named == ["conv1:conv/in0"]  # all others are behind ReLU or its averages


def test_integers_for_both_signs_cut_nothing_off(monkeypatch):
    said = []
    monkeypatch.setattr(calibration, "print_log", lambda text, **_: said.append(text))
    for fitting in (dict(symmetric=False), dict(signed=True)):
        settings = dict(signed=False, symmetric=True) | fitting
        net, quantizer = prepared(backend="generic", activation=settings)
        calibrate_(net, quantizer, [images()])
    assert not said


class Late(nn.Module):
    """A part that runs for large inputs only."""

    def __init__(self):
        super().__init__()
        self.stem, self.late = conv(3, 4), conv(4, 4)

    def forward(self, x):
        x = self.stem(x)
        return self.late(x) if x.shape[-1] >= 8 else x


def test_a_part_that_runs_in_a_later_batch_is_quantized():
    net, quantizer = prepared(Late())
    calibrate_(net, quantizer, [images(1, 3, 4, 4), images(1, 3, 4, 4), images()])
    assert [str(site) for site in quantizer.layers()] == ["stem:conv", "late:conv"]
    weight = quantizer.step_at(Site("late", "conv")).weight
    assert torch.equal(weight.high, net.late.weight.detach().flatten(1).amax(1))


def test_a_part_that_never_runs_stays_in_float(monkeypatch):
    said = []
    monkeypatch.setattr(calibration, "print_log", lambda text, **_: said.append(text))
    net, quantizer = prepared(Late())
    calibrate_(net, quantizer, [images(1, 3, 4, 4)])
    (text,) = said
    assert text.endswith("which stay in float: late:conv.")
    x = images()
    stem = quantizer.step_at(Site("stem", "conv")).output(
        nn.functional.conv2d(
            quantizer.input_quantizer(Site("stem", "conv"))(x),
            quantizer.step_at(Site("stem", "conv")).weight(net.stem.weight),
            net.stem.bias,
            padding=1,
        )
    )
    assert torch.equal(net(x), net.late(stem))


def test_it_can_be_done_again_on_other_data():
    net, quantizer = prepared(Late())
    calibrate_(net, quantizer, [images()])
    site = Site("late", "conv")
    weight, given = quantizer.step_at(site).weight.high, quantizer.input_quantizer(site)
    first = given.high.clone()
    calibrate_(net, quantizer, [images(1, 3, 4, 4) * 10])
    assert given.high > 5 * first
    # Not seen this time: as it was.
    assert torch.equal(quantizer.step_at(site).weight.high, weight)
    assert quantizer.ready


def test_no_batch():
    net, quantizer = prepared()
    with pytest.raises(CalibrationError, match="the batches are empty. Give some tens"):
        calibrate_(net, quantizer, [])


def test_a_batch_that_the_model_does_not_take():
    net, quantizer = prepared()
    batches = [images(), images(2, 5, 8, 8)]
    with pytest.raises(QuantizedRunError, match="stopped in batch 2: .* 5 channels"):
        calibrate_(net, quantizer, batches)
    with pytest.raises(CalibrationError, match="stopped in batch 1: .*argument"):
        calibrate_(net, quantizer, [dict(picture=images())])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named(value):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = conv(3, 4), conv(4, 4)
            self.number = 1.0

        def forward(self, x):
            return self.two(self.one(x) * self.number)

    net, quantizer = prepared(Broken())
    net.number = value
    text = "stopped in batch 1: At '%s': A tensor .* holds NaN or infinity"
    with pytest.raises(QuantizedRunError, match=text % ":mul"):
        calibrate_(net, quantizer, [images()])
    net.number = 1.0
    net.two.weight.data[0, 0, 0, 0] = value
    with pytest.raises(QuantizedRunError, match=text % "two:conv"):
        calibrate_(net, quantizer, [images()])
