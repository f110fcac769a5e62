"""Every operation that multiplies, against a count written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.core.cost import count_cost
from mmrazor.core.op_macs import mac_terms

A, B, V = torch.rand(3, 4), torch.rand(4, 5), torch.rand(4)
STACK, OTHER = torch.rand(2, 3, 4), torch.rand(2, 4, 5)
NORMED = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
HEADS = torch.rand(2, 3, 7, 8)  # batch, heads, tokens, width


class Calls(nn.Module):
    """Runs a function."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, _: Tensor) -> Any:
        return self.function()


PRODUCTS: dict[str, tuple[Callable[[], Any], int]] = {
    "mm": (lambda: A @ B, 3 * 4 * 5),
    "bmm": (lambda: torch.bmm(STACK, OTHER), 2 * 3 * 4 * 5),
    "addmm": (lambda: torch.addmm(torch.rand(5), A, B), 3 * 4 * 5),
    "baddbmm": (lambda: torch.baddbmm(torch.rand(5), STACK, OTHER), 2 * 3 * 4 * 5),
    "addbmm": (lambda: torch.addbmm(torch.rand(3, 5), STACK, OTHER), 2 * 3 * 4 * 5),
    "mv": (lambda: A.mv(V), 3 * 4),
    "addmv": (lambda: torch.addmv(torch.rand(3), A, V), 3 * 4),
    "addmv in place": (lambda: torch.rand(3).addmv_(A, V), 3 * 4),
    "dot": (lambda: V.dot(V), 4),
    "vdot": (lambda: torch.vdot(V, V), 4),
    "addr": (lambda: torch.addr(torch.rand(3, 4), torch.rand(3), V), 3 * 4),
    "matmul of vectors": (lambda: torch.matmul(V, V), 4),
    "matmul by a vector": (lambda: torch.matmul(STACK, V), 2 * 3 * 4),
    "matmul of a vector": (lambda: torch.matmul(V, OTHER), 2 * 4 * 5),
    "matmul, broadcast": (lambda: torch.matmul(STACK[:, None], B), 2 * 3 * 4 * 5),
    "inner": (lambda: torch.inner(A, A), 3 * 3 * 4),
    "tensordot": (lambda: torch.tensordot(STACK, OTHER, ([2], [1])), 6 * 4 * 10),
    "multi_dot": (lambda: torch.linalg.multi_dot([A, B, torch.rand(5, 1)]), 20 + 12),
    "einsum": (lambda: torch.einsum("bij,bjk->ik", STACK, OTHER), 3 * 8 * 5),
    "einsum of three": (lambda: torch.einsum("i,ij,j->", A[:, 0], A, V), 12 + 4),
    "integers": (
        lambda: torch._int_mm(*[torch.ones(32, 32, dtype=torch.int8)] * 2),
        32**3,
    ),
    "fused activation": (lambda: torch._addmm_activation(V[:1], A, B), 3 * 4 * 5),
    "bilinear": (
        lambda: F.bilinear(torch.rand(6, 3), torch.rand(6, 4), torch.rand(5, 3, 4)),
        6 * 5 * 3 * 4,
    ),
    "distances": (lambda: torch.cdist(torch.rand(6, 4), torch.rand(7, 4)), 6 * 7 * 4),
    "distances to itself": (lambda: F.pdist(torch.rand(6, 4)), 15 * 4),
    "distances by products": (
        lambda: torch.cdist(torch.rand(40, 4), torch.rand(30, 4)),
        40 * 30 * 4,
    ),
    "weighted bag": (
        lambda: F.embedding_bag(
            torch.ones(2, 3, dtype=torch.long),
            torch.rand(4, 5),
            per_sample_weights=torch.rand(2, 3),
            mode="sum",
        ),
        6 * 5,
    ),
    "attention": (lambda: F.scaled_dot_product_attention(*[HEADS] * 3), 2 * 6 * 49 * 8),
    "attention, fused": (
        lambda: torch._scaled_dot_product_flash_attention_for_cpu(*[HEADS] * 3),
        2 * 6 * 49 * 8,
    ),
    "attention, further width": (
        lambda: F.scaled_dot_product_attention(HEADS, HEADS, torch.rand(2, 3, 7, 5)),
        6 * 49 * (8 + 5),
    ),
    "attention, shared heads": (
        lambda: F.scaled_dot_product_attention(
            HEADS, *[HEADS[:, :1]] * 2, enable_gqa=True
        ),
        2 * 6 * 49 * 8,
    ),
    "conv1d without a batch": (
        lambda: F.conv1d(torch.rand(4, 9), torch.rand(6, 2, 3), groups=2),
        7 * 6 * 2 * 3,
    ),
    "conv3d by depth": (
        lambda: F.conv3d(
            torch.rand(2, 4, 5, 5, 5), torch.rand(4, 1, 3, 3, 3), groups=4
        ),
        2 * 27 * 4 * 27,
    ),
    "conv2d, dilated": (
        lambda: F.conv2d(torch.rand(1, 4, 9, 9), torch.rand(5, 4, 3, 3), dilation=2),
        25 * 5 * 4 * 9,
    ),
    "conv2d, transposed": (
        lambda: F.conv_transpose2d(
            torch.rand(2, 4, 5, 5), torch.rand(4, 3, 2, 2), stride=2, groups=2
        ),
        2 * 25 * 4 * 3 * 4,
    ),
    "conv over time": (
        lambda: torch.conv_tbc(torch.rand(9, 2, 4), torch.rand(3, 4, 6), torch.rand(6)),
        7 * 2 * 3 * 4 * 6,
    ),
    "linear with a norm of weights": (
        lambda: NORMED(torch.rand(2, 4)),
        2 * 4 * 3,
    ),
    "deformable": (
        lambda: torchvision.ops.deform_conv2d(
            torch.rand(2, 4, 5, 5), torch.rand(2, 18, 3, 3), torch.rand(6, 2, 3, 3)
        ),
        2 * 9 * 6 * 2 * 9,
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("inference", [False, True], ids=["no_grad", "inference_mode"])
def test_products(name: str, inference: bool) -> None:
    function, macs = PRODUCTS[name]

    def run() -> Any:
        with torch.inference_mode(inference):
            return function()

    cost = count_cost(Calls(run), V)
    assert (cost.macs, cost.uncounted) == (macs, {})


FREE: dict[str, Callable[[], Any]] = {
    "sum of a bag": lambda: F.embedding_bag(torch.ones(2, 3).long(), A, mode="sum"),
    "outer": lambda: torch.outer(V, V),
    "cross": lambda: torch.linalg.cross(A[:, :3], A[:, :3]),
    "gated": lambda: F.glu(A),
    "log of a sigmoid": lambda: F.logsigmoid(A),
    "packed": lambda: nn.utils.rnn.pack_padded_sequence(STACK, [3, 2], True),
    "grid": lambda: F.grid_sample(
        torch.rand(1, 2, 4, 4), F.affine_grid(torch.rand(1, 2, 3), [1, 2, 4, 4])
    ),
    "boxes": lambda: torchvision.ops.nms(torch.rand(3, 4), torch.rand(3), 0.5),
    "unpooled": lambda: F.max_unpool1d(*F.max_pool1d(STACK, 2, return_indices=True), 2),
}


@pytest.mark.parametrize("name", FREE)
def test_what_is_free_is_not_listed(name: str) -> None:
    cost = count_cost(Calls(FREE[name]), V)
    assert (cost.macs, cost.uncounted) == (0, {})


UNCOUNTED: dict[str, tuple[Callable[[], Any], str]] = {
    "fft": (lambda: torch.fft.rfft(A), "aten._fft_r2c"),
    "sparse": (lambda: torch.sparse.mm(A.to_sparse(), B), "aten._sparse_addmm"),
    "inverse": (lambda: torch.linalg.inv(A[:, :3]), "aten.linalg_inv_ex"),
    "power series": (lambda: torch.matrix_exp(A[:, :3]), "aten.linalg_matrix_exp"),
    "regions": (
        lambda: torchvision.ops.roi_align(
            torch.rand(1, 2, 4, 4), [torch.tensor([[0.0, 0, 2, 2]])], 2
        ),
        "torchvision.roi_align",
    ),
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_what_has_no_formula_is_listed_by_name(name: str) -> None:
    function, listed = UNCOUNTED[name]
    cost = count_cost(Calls(function), V)
    assert cost.macs == 0
    assert listed in cost.uncounted


def _write(x: Tensor, out: Tensor) -> None:
    out.copy_(x @ x.T)


def test_operators_of_others_are_listed_also_if_they_return_nothing() -> None:
    library = torch.library.Library("mmrazor_test_macs", "DEF")
    library.define("write(Tensor x, Tensor(a!) out) -> ()")
    library.define("quantized(Tensor x) -> Tensor")
    library.impl("write", _write, "CPU")
    library.impl(
        "quantized", lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), "CPU"
    )
    ops = torch.ops.mmrazor_test_macs
    cost = count_cost(Calls(lambda: ops.write(A, torch.zeros(3, 3))), V)
    assert cost.uncounted == {"mmrazor_test_macs.write": 1}
    cost = count_cost(Calls(lambda: ops.quantized(A)), V)
    assert cost.uncounted == {"mmrazor_test_macs.quantized": 1}


RECURRENT = [nn.LSTM, nn.GRU, nn.RNN]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"bidirectional": True, "num_layers": 2},
    {"batch_first": True},
    {"bias": False},
]


def _weights(module: nn.Module) -> int:
    names = ("weight_ih", "weight_hh", "weight_hr")
    return sum(p.numel() for n, p in module.named_parameters() if n.startswith(names))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers(
    kind: type[nn.RNNBase], settings: dict[str, Any], dtype: torch.dtype
) -> None:
    layer = kind(3, 4, **settings).to(dtype)
    cost = count_cost(layer, torch.rand(5, 2, 3, dtype=dtype))
    assert (cost.macs, cost.uncounted) == (5 * 2 * _weights(layer), {})


def test_a_recurrent_layer_by_hand() -> None:
    # Four gates of four values, each of three inputs and four states, for each of five
    # steps of two sequences; the second layer has four inputs.
    layer = nn.LSTM(3, 4, 2)
    assert count_cost(layer, torch.rand(5, 2, 3)).macs == 10 * 16 * (3 + 4 + 4 + 4)


def test_projected_states() -> None:
    layer = nn.LSTM(3, 4, proj_size=2)
    cost = count_cost(layer, torch.rand(5, 2, 3))
    assert cost.macs == 10 * (16 * 3 + 16 * 2 + 2 * 4)


@pytest.mark.parametrize("kind", [*RECURRENT])
def test_packed_sequences_count_by_their_lengths(kind: type[nn.RNNBase]) -> None:
    layer = kind(3, 4, bidirectional=True)
    packed = nn.utils.rnn.pack_padded_sequence(
        torch.rand(5, 2, 3), [2, 5], enforce_sorted=False
    )
    cost = count_cost(layer, {"input": packed})
    assert (cost.macs, cost.uncounted) == (7 * _weights(layer), {})


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_single_sequence(kind: type[nn.RNNBase]) -> None:
    layer = kind(3, 4)
    assert count_cost(layer, torch.rand(5, 3)).macs == 5 * _weights(layer)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_recurrent_cells(kind: type[nn.RNNCellBase]) -> None:
    cell = kind(3, 4)
    cost = count_cost(cell, torch.rand(2, 3))
    assert (cost.macs, cost.uncounted) == (2 * _weights(cell), {})


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_under_inference_mode(kind: type[nn.RNNBase]) -> None:
    layer = kind(3, 4)
    x = torch.rand(5, 2, 3)

    def run() -> Any:
        with torch.inference_mode():
            return layer(x)

    cost = count_cost(Calls(run), V)
    assert (cost.macs, cost.uncounted) == (10 * _weights(layer), {})


@pytest.mark.parametrize("name", ["_cudnn_rnn", "miopen_rnn", "lstm", "_lstm_mps"])
def test_fused_operators_of_other_devices(name: str) -> None:
    # Their shapes are enough, so that they need not run here.
    layer = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    weights = list(layer.parameters())
    x = torch.rand(5, 2, 3)
    args: tuple[Any, ...] = (x, weights, 5)
    if name in ("lstm", "_lstm_mps"):
        args = (x, [x, x], weights, True)
    terms = mac_terms(f"aten::{name}", args, {}, None)
    assert sum(term.macs() for term in terms or ()) == 10 * _weights(layer)
