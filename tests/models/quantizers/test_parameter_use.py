"""Who reads a parameter, however it is read."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers.flow import flow_of
from mmrazor.models.quantizers.parameter_use import ParameterUse


class Net(nn.Module):
    """A packed parameter, one half of which a layer reads; the rest is a function's."""

    def __init__(self, extra):
        super().__init__()
        self.packed = nn.Parameter(torch.randn(8, 4))
        self.alone = nn.Linear(4, 4)
        self.extra = extra

    def forward(self, x):
        x = F.linear(self.alone(x), self.packed[:4])
        return self.extra(x, self.packed)


READERS = {
    "nothing": (lambda x, w: x, [":linear"]),
    "the other half": (lambda x, w: F.linear(x, w[4:]), [":linear", ":linear.1"]),
    "chunks": (lambda x, w: x @ w.chunk(2)[1].t(), [":linear", ":matmul"]),
    "arithmetic": (lambda x, w: x + w.sum(), [":linear", ":sum"]),
    "in place": (lambda x, w: x.add_(w[5]), [":linear", ":add"]),
    "a list": (lambda x, w: torch.cat([x, w]), [":linear", ":cat"]),
    "a product": (lambda x, w: torch.einsum("bi,oi->bo", x, w), [":linear", ":einsum"]),
    "its shape": (lambda x, w: x * w.shape[0] + w.dim(), [":linear"]),
    "numbers": (lambda x, w: x * float(w[0, 0]), [":linear", ":float"]),
}


def names(calls):
    return [call.text for call, _ in calls]


@pytest.mark.parametrize("name", READERS)
def test_calls_that_read_a_parameter(name):
    extra, wanted = READERS[name]
    net = Net(extra)
    use = ParameterUse(net, flow_of(net, torch.rand(2, 4)))
    assert names(use.reads(net.packed)) == wanted
    assert names(use.reads(net.alone.bias)) == ["alone:linear"]


def test_parts_of_a_parameter_are_read_apart():
    net = Net(READERS["the other half"][0])
    use = ParameterUse(net, flow_of(net, torch.rand(2, 4)))
    assert names(use.reads(net.packed[:4])) == [":linear"]
    assert names(use.reads(net.packed[4:])) == [":linear.1"]
    assert names(use.reads(net.packed[3:5])) == [":linear", ":linear.1"]


def test_who_else_reads_is_said_in_words():
    net = Net(lambda x, w: (x, w))
    net.aside = nn.Linear(4, 8)
    net.aside.weight = net.packed
    use = ParameterUse(net, flow_of(net, torch.rand(2, 4)))
    assert use.holders(net.packed) == ["", "aside"]
    others = use.others(net.packed, lambda call, place: place == 1, {""})
    assert others == [
        "'aside', which holds it too",
        "the caller, to whom the model returns it",
    ]
    assert use.others(net.alone.weight, lambda *_: True, {"alone"}) == []
    assert use.others(net.alone.weight, lambda *_: False, {"alone"}) == [
        "'alone:linear'"
    ]
