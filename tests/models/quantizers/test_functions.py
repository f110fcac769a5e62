"""Kinds of torch functions, and how much they multiply."""

import operator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmrazor.models.quantizers.functions import kind_of, num_macs

X = torch.rand(2, 4, 8, 8)


class Heard(TorchFunctionMode):
    """Keeps the functions that torch is called with, as a model's run does."""

    def __init__(self):
        super().__init__()
        self.kinds = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.kinds.append(kind_of(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (nn.Conv1d(4, 2, 1).forward, "conv"),
        (lambda x: F.conv_transpose1d(x, torch.rand(4, 2, 1)), "conv_transpose"),
        (nn.Linear(8, 2).forward, "linear"),
        (lambda x: x @ x.mT, "matmul"),
        (lambda x: torch.bmm(x, x.mT), "matmul"),
        (lambda x: F.scaled_dot_product_attention(x, x, x), "attention"),
        (lambda x: x + x, "add"),
        (lambda x: 1 + x, "add"),
        (lambda x: operator.iadd(x.clone(), x), "add"),
        (lambda x: x.clone().add_(x), "add"),
        (lambda x: torch.mul(x, x), "mul"),
        (lambda x: torch.cat([x, x]), "cat"),
        (lambda x: F.max_pool1d(x, 2), "max_pool"),
        (nn.MaxPool1d(2).forward, "max_pool"),
        (nn.MaxPool1d(2, return_indices=True).forward, None),
        (nn.AdaptiveAvgPool1d(2).forward, "avg_pool"),
        (nn.BatchNorm1d(4).forward, "norm"),
        (nn.ReLU(inplace=True).forward, "clamp"),
        (nn.ReLU6().forward, "clamp"),
        (lambda x: x.clamp(min=0), "clamp"),
        (lambda x: x[:, 1:], "move"),
        (lambda x: x.flatten(1), "move"),
        (lambda x: x.chunk(2, 1), "move"),
        (nn.Dropout(0.5).forward, "move"),
        (nn.GELU().forward, None),
        (nn.LayerNorm(8).forward, None),
        (lambda x: x - x, None),
        (lambda x: x / 2, None),
    ],
)
def test_kind_of_a_call(call, kind):
    x = X[:, :, 0].clone()
    with Heard() as heard:
        call(x)
    assert heard.kinds[-1] == kind


def test_a_name_is_not_taken_for_another_that_it_begins():
    def adder(x: Tensor) -> Tensor:
        return x

    assert kind_of(adder) is None
    assert kind_of(object()) is None


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), (2, 4, 8, 8)),
        (nn.Conv1d(4, 6, 3, stride=2, bias=False), (2, 4, 9)),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2, bias=False), (2, 4, 3, 3)),
        (nn.Linear(4, 3, bias=False), (2, 5, 4)),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, nn.Module) else "",
)
def test_macs_are_the_products_that_a_loop_would_make(module, shape):
    # With ones everywhere, an output is the number of its products; padding adds zeros.
    given = torch.ones(shape)
    with torch.no_grad():
        module.weight.fill_(1)
        module.eval()
        products = module(given)
    kinds = {nn.Linear: "linear", nn.ConvTranspose2d: "conv_transpose"}
    kind = kinds.get(type(module), "conv")
    found = num_macs(kind, [given, module.weight], products)
    if getattr(module, "padding", (0,))[0]:
        assert found == 2 * 6 * 64 * 18  # what is multiplied with padding counts too
    else:
        assert found == int(products.sum())


def test_macs_of_a_product_of_activations():
    x, y = torch.ones(2, 3, 4, 5), torch.ones(2, 3, 5, 6)
    assert num_macs("matmul", [x, y], x @ y) == int((x @ y).sum())
    assert num_macs("add", [x, x], x) == 0
