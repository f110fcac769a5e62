"""The float model comes back for a while after its parameters were changed."""

import torch
from torch import nn

from mmrazor.models.quantizers import Quantizer, calibrate_, quant_report
from mmrazor.models.quantizers.originals import as_original, changed_


def test_the_model_runs_as_it_did_before_its_parameters_changed():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(5, 4)
    with torch.no_grad():
        wanted = net(x)
        quantizer = Quantizer("generic", weight=dict(bits=3))
        quantizer.prepare_(net, x)
        calibrate_(net, quantizer, [x])
        parameter, first = net[0].weight, net[0].weight.detach().clone()
        changed_(net, quantizer, "0.weight", torch.zeros(3, 4))
        changed_(net, quantizer, "0.weight", torch.ones(3, 4, dtype=torch.double))
        assert net[0].weight is parameter
        assert torch.equal(parameter, torch.ones(3, 4))
        assert torch.equal(quantizer.originals["0.weight"], first)
        assert "0.weight" not in quantizer.state_dict()
        with as_original(net, quantizer):
            assert torch.equal(net(x), wanted)
        assert torch.equal(parameter, torch.ones(3, 4))
        assert not torch.allclose(net(x), wanted)


def test_the_report_compares_with_the_float_model():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(5, 4)
    quantizer = Quantizer("generic", activation=False)
    quantizer.prepare_(net, x)
    calibrate_(net, quantizer, [x])
    with torch.no_grad():
        changed_(net, quantizer, "0.weight", net[0].weight * 0.9)
        [layer] = quant_report(net, quantizer, x).layers
    assert layer.sqnr_db < 30
