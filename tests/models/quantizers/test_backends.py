"""The table of backends: what each takes, checked against itself and by its errors."""

import pytest

from mmrazor.models.quantizers import BACKENDS, Quantizer, QuantSettings
from mmrazor.models.quantizers.backends import backend_named
from mmrazor.models.quantizers.functions import _KINDS


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=list(BACKENDS))
def test_an_entry_is_whole(backend):
    kinds = set(_KINDS.values())
    assert backend.kinds <= kinds
    assert backend.outputs <= backend.kinds
    assert backend.shared <= kinds
    assert {"conv", "linear"} <= backend.kinds
    assert backend.checked("weight", backend.weight) is backend.weight
    assert backend.checked("activation", backend.activation) is backend.activation
    assert backend_named(backend.name) is backend is backend_named(backend)
    # Zero is an integer of every scale, so that padding and ReLU are exact.
    assert backend.weight.symmetric
    assert backend.weight.granularity == "channel"


@pytest.mark.parametrize(
    ("name", "part", "bits", "text"),
    [
        ("onnxruntime", "weight", 3, "'onnxruntime' takes weights of 4, 8 bits, not 3"),
        ("tensorrt", "weight", 4, "'tensorrt' takes weights of 8 bits, not 4"),
        ("openvino", "activation", 4, "takes activations of 8 bits, not 4"),
    ],
)
def test_bits_that_are_not_taken(name, part, bits, text):
    with pytest.raises(ValueError, match=text) as caught:
        Quantizer(name, **{part: dict(bits=bits)})
    assert "backend='generic'" in str(caught.value)
    Quantizer("generic", **{part: dict(bits=bits)})


def test_activations_have_one_scale():
    settings = QuantSettings(granularity="channel")
    with pytest.raises(ValueError, match="one scale for the whole tensor"):
        BACKENDS["generic"].checked("activation", settings)


def test_a_backend_that_is_not_there():
    with pytest.raises(ValueError, match="no backend 'tflite'. Use one of") as caught:
        Quantizer("tflite")
    assert all(name in str(caught.value) for name in BACKENDS)
