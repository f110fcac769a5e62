"""Random networks: quantized, they are what they were, or the report says so."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmrazor
from mmrazor.models.quantizers import sqnr_db
from mmrazor.models.quantizers.originals import as_original
from tests.models.quantizers.fuzz_nets import NETS, RandomNet, Step

METHODS = (
    [],
    ["CrossLayerEqualization"],
    ["BiasCorrection"],
    ["GPTQ", "BiasCorrection"],
    [dict(type="AdaRound", iterations=10)],
)


def check(steps, backend="onnxruntime", methods=()):
    """Check the whole model, the float model inside it and what is counted."""
    net = RandomNet(steps)
    x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    quant = mmrazor.quantize(net, [x], backend, methods=list(methods))
    with torch.no_grad():
        wanted, found = net(x), quant.model(x)
        with as_original(quant.model.architecture, quant.quantizer):
            in_float = quant.model(x)
    whole = sqnr_db(wanted, found)
    assert quant.report.sqnr_db == pytest.approx(whole, abs=1e-3)
    assert whole >= 25 or quant.report.warnings
    assert sqnr_db(wanted, in_float) > 90  # the same function
    cost = mmrazor.count_cost(net, x)
    assert sum(layer.macs for layer in quant.report.layers) == cost.macs
    listed = {name for layer in quant.report.layers for name in layer.uncounted}
    assert listed == set(cost.uncounted)
    return quant


EXAMPLES = {
    "a bias of two layers": [Step("conv", norm="own"), Step("tied bias")],
    "a weight of two layers": [Step("conv", norm="own"), Step("tied weight")],
    "a weight turned around": [Step("transposed", norm="own")],
    "a function's weight": [Step("functional", norm="own")],
    "a bias as a factor": [Step("scaled", norm="own", join="cat")],
    "a product of indices": [Step("einsum", norm="own")],
    "a norm in one branch": [Step("conv", norm="skipped"), Step("lstm", join="add")],
    "a layer again": [Step("conv", norm="own"), Step("again", norm="shared")],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_networks_that_are_easily_spoilt(name):
    assert check(EXAMPLES[name]).report.warnings == ()


@settings(max_examples=10)
@given(steps=NETS, methods=st.sampled_from(METHODS))
def test_a_random_network_is_what_it_was_or_is_told(steps, methods):
    check(steps, methods=methods)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    steps=NETS,
    methods=st.sampled_from(METHODS),
    backend=st.sampled_from(["onnxruntime", "openvino", "tensorrt", "generic"]),
)
def test_many_random_networks_are_what_they_were_or_are_told(steps, methods, backend):
    check(steps, backend, methods)
