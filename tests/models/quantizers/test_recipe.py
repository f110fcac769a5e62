"""Which settings hold where."""

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import FakeQuantize, LearnedStepSize, Quantizer
from tests.models.quantizers.toys import conv, images


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.body = conv(3, 4), nn.Sequential(conv(4, 4), nn.ReLU())
        self.neck, self.head = conv(4, 4), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(self.neck(self.body(self.stem(x))))


def prepared(**kwargs):
    quantizer = Quantizer("generic", **kwargs)
    quantizer.prepare_(Net(), images())
    return quantizer


def bits(quantizer):
    """Return the bits of weights, and of what each layer is given, in order."""
    steps = [quantizer.step_at(site) for site in quantizer.layers()]
    given = [quantizer.input_quantizer(site) for site in quantizer.layers()]
    return (
        [step.weight.settings_now.bits for step in steps],
        [one.settings_now.bits for one in given],
    )


def test_settings_hold_everywhere():
    found = prepared(weight=dict(bits=4), activation=dict(bits=6))
    assert bits(found) == ([4] * 4, [6] * 4)


def test_overrides_hold_in_modules_and_later_ones_go_first():
    overrides = {
        "body": dict(weight=dict(bits=2)),
        "*e*": dict(activation=dict(bits=5)),  # stem, neck and head
        "head": dict(weight=dict(bits=3), activation=dict(bits=7)),
    }
    found = prepared(overrides=overrides)
    # A quantizer is where its value is made: body's input is stem's output.
    assert bits(found)[0] == [8, 2, 8, 3]
    at = {name: m.settings_now.bits for name, m in found.activations.items()}
    assert at == {
        "stem:conv/in0": 5,
        "stem:conv": 5,
        "body/1:clamp": 8,
        "neck:conv": 5,
    }


def test_edges_are_the_first_and_the_last_layer():
    found = prepared(
        weight=dict(bits=4),
        activation=dict(bits=4),
        edges=dict(weight=dict(bits=8), activation=dict(bits=6)),
    )
    assert bits(found) == ([8, 4, 4, 8], [6, 4, 4, 6])


def test_overrides_hold_at_edges_too():
    found = prepared(
        edges=dict(weight=dict(bits=8)),
        weight=dict(bits=4),
        overrides={"head": dict(weight=dict(bits=2))},
    )
    assert bits(found)[0] == [8, 4, 4, 2]


def test_activations_stay_in_float():
    found = prepared(activation=False, weight=dict(bits=4))
    assert not found.activations
    assert not found.places.inputs
    assert not found.places.outputs
    assert bits_of_weights(found) == [4] * 4


def bits_of_weights(quantizer):
    return [module.settings_now.bits for module in quantizer.weights.values()]


def test_classes_and_observers_are_named():
    found = prepared(
        weight=dict(type="LearnedStepSize", bits=4),
        activation=dict(observer=dict(type="PercentileObserver", percentile=99.0)),
    )
    assert {type(m) for m in found.weights.values()} == {LearnedStepSize}
    assert {type(m) for m in found.activations.values()} == {FakeQuantize}
    observers = {type(m.observer).__name__ for m in found.activations.values()}
    assert observers == {"PercentileObserver"}


def test_a_list_of_bits_is_a_choice():
    found = prepared(weight=dict(bits=[8, 4, 2]))
    choices = [module.choices()[0].values for module in found.weights.values()]
    assert [list(values) for values in choices] == [[8, 4, 2]] * 4


def test_an_override_names_a_site_and_the_last_one_holds():
    sites = [f"{site}" for site in prepared().layers()]
    overrides = {
        sites[1]: dict(weight=dict(bits=3)),
        "*": dict(weight=dict(bits=6)),
        sites[2]: dict(weight=dict(bits=2)),
    }
    assert bits_of_weights(prepared(overrides=overrides)) == [6, 6, 2, 6]


def test_weights_in_groups():
    model = Net()
    found = Quantizer("generic", weight=dict(granularity="group", group_size=9))
    found.prepare_(model, images())
    step = found.step_at(found.layers()[0])
    step.weight.observing, step.weight.quantizing = True, False
    step.weight(model.stem.weight)
    step.weight.observe_end_()
    assert step.weight.scale.shape == (4, 3)
    reach = model.stem.weight.detach().abs().view(4, 3, 9).amax(2)
    assert torch.allclose(step.weight.scale, reach / 127)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        (dict(weight=dict(bit=8)), "'bit' is no setting of quantization; 'bits' is"),
        (dict(weight=dict(bits=9)), "bits is a whole number from 2 to 8"),
        (dict(weight=dict(bits=[8, 1])), "takes weights of .* not 1|from 2 to 8"),
        (dict(activation=dict(granularity="channel")), "one scale for the whole"),
        (dict(edges=dict(weights=dict(bits=8))), "'edges' has .'weights'.; it takes"),
        (dict(overrides=dict(a=dict(bits=8))), "'a' has .'bits'.; it takes dict"),
        (dict(overrides=dict(a=dict(weight=dict(bit=8)))), "'bit' is no setting"),
        (dict(edges=dict(activation=dict(bits=1))), "from 2 to 8"),
    ],
)
def test_wrong_settings_are_told_at_once(kwargs, text):
    with pytest.raises(ValueError, match=text):
        Quantizer("generic", **kwargs)


@pytest.mark.parametrize(
    "kwargs", [dict(ignore=["boody"]), dict(overrides={"boody": dict()})]
)
def test_names_that_are_none_are_told(kwargs):
    quantizer = Quantizer("generic", **kwargs)
    with pytest.raises(ValueError, match="Net has no module 'boody'.*'body'"):
        quantizer.prepare_(Net(), images())


def test_sites_that_are_none_are_told():
    [first, *_] = prepared().layers()
    quantizer = Quantizer("generic", overrides={f"{first}.1": dict()})
    with pytest.raises(ValueError, match=f"at '{first}.1', .*Near it are .'{first}'"):
        quantizer.prepare_(Net(), images())


def test_an_unknown_class_or_observer_is_told():
    with pytest.raises(KeyError, match="NoQuantize"):
        Quantizer(weight=dict(type="NoQuantize"))
    with pytest.raises(ValueError, match="'NoObserver' is no observer"):
        Quantizer(weight=dict(observer=dict(type="NoObserver")))
