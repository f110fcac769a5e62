"""Data that go past a batch norm which other data go through."""

import pytest
import torch
from torch import nn

from mmrazor.models.quantizers import Quantizer, calibrate_, quant_report
from mmrazor.models.quantizers.sites import Site
from tests.models.quantizers.toys import conv, images, randomized


class BySize(nn.Module):
    """Small images skip the norm, or one of two calls does."""

    def __init__(self, twice=False):
        super().__init__()
        self.conv, self.norm, self.last = conv(3, 4), nn.BatchNorm2d(4), conv(4, 2, 1)
        self.twice = twice

    def forward(self, x):
        y = self.norm(self.conv(x)) if x.shape[-1] > 6 or self.twice else self.conv(x)
        if self.twice and x.shape[-1] <= 6:
            y = y + self.conv(x)
        return self.last(y.relu())


@pytest.mark.parametrize("twice", [False, True])
def test_a_folded_norm_that_other_images_skip_is_told(twice, caplog):
    net, batches = randomized(BySize(twice)), [images(), images(2, 3, 6, 6)]
    quantizer = Quantizer()
    quantizer.prepare_(net, batches[0])
    assert quantizer.folded == [("conv", "norm")]
    calibrate_(net, quantizer, [batches[0], batches[0]])
    assert quantizer.skipped_norms == {}
    net = randomized(BySize(twice))
    quantizer = Quantizer()
    quantizer.prepare_(net, batches[0])
    calibrate_(net, quantizer, batches)
    calls = "2 times, the norm 1" if twice else "1 times, the norm 0"
    assert quantizer.skipped_norms == {
        "norm": f"it is folded into 'conv', and batch 2 calls the layer {calls} times"
    }
    report = quant_report(net, quantizer)
    [text] = report.warnings
    assert "Batch norm 'norm' changes data that skip it in the float model" in text
    assert report.to_dict()["skipped_norms"] == quantizer.skipped_norms
    assert not any(hooks for hooks in (net.conv._forward_pre_hooks,))


def test_one_that_is_not_folded_yet_never_will_be():
    net, small = randomized(BySize()), images(2, 3, 6, 6)
    wanted = net(small).detach()
    quantizer = Quantizer(fold=False)
    quantizer.prepare_(net, images())
    assert len(quantizer.folds) == 1
    calibrate_(net, quantizer, [images(), small])
    assert quantizer.folds == []
    assert "some data skip it" in quantizer.kept_norms[Site("norm", "norm")]
    assert quantizer.step_at(Site("conv", "conv")).fold is None
    quantizer.fold_(net)
    assert isinstance(net.norm, nn.BatchNorm2d)
    with quantizer.in_float():
        assert torch.equal(net(small), wanted)
