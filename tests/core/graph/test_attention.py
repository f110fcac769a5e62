"""PrunedMultiheadAttention does what nn.MultiheadAttention does."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import PrunedMultiheadAttention, channel_graph, slim
from tests.core.graph.checking import with_random_values

WIDTH, HEADS, LENGTH, SOURCE, BATCH = 12, 3, 4, 5, 2


def layers(**options: object) -> tuple[nn.MultiheadAttention, PrunedMultiheadAttention]:
    layer = nn.MultiheadAttention(WIDTH, HEADS, **options)  # type: ignore[arg-type]
    with_random_values(layer, 1)
    return layer, PrunedMultiheadAttention(layer, WIDTH // HEADS)


def inputs(kdim: int = WIDTH, vdim: int = WIDTH, first: bool = True) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = [
        torch.randn(BATCH, length, width, generator=generator)
        for length, width in ((LENGTH, WIDTH), (SOURCE, kdim), (SOURCE, vdim))
    ]
    return made if first else [x.transpose(0, 1) for x in made]


def same(layer: nn.Module, pruned: nn.Module, *args: Tensor, **options: object) -> None:
    with torch.no_grad():
        expected, weights = layer(*args, **options)
        actual, actual_weights = pruned(*args, **options)
    torch.testing.assert_close(actual, expected, equal_nan=True)
    assert (weights is None) == (actual_weights is None)
    if weights is not None:
        torch.testing.assert_close(actual_weights, weights, equal_nan=True)


@pytest.mark.parametrize(
    ("bias", "first", "need", "average", "widths"),
    itertools.product(
        [True, False], [True, False], [True, False], [True, False], [None, (7, 9)]
    ),
)
def test_options(
    bias: bool, first: bool, need: bool, average: bool, widths: tuple[int, int] | None
) -> None:
    kdim, vdim = widths or (WIDTH, WIDTH)
    layer, pruned = layers(bias=bias, batch_first=first, kdim=kdim, vdim=vdim)
    args = inputs(kdim, vdim, first)
    same(layer, pruned, *args, need_weights=need, average_attn_weights=average)


MASK = torch.tensor([[i > t + 1 for i in range(SOURCE)] for t in range(LENGTH)])
PADDING = torch.tensor([[False] * SOURCE, [False, False, False, True, True]])


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("need", [True, False])
@pytest.mark.parametrize(
    "padding", [None, PADDING, -1e9 * PADDING], ids=["full", "bool", "float"]
)
@pytest.mark.parametrize("kind", ["none", "bool", "float", "each head", "batch"])
def test_masks(kind: str, padding: Tensor | None, need: bool) -> None:
    layer, pruned = layers(batch_first=True)
    generator = torch.Generator().manual_seed(0)
    masks = {
        "none": None,
        "bool": MASK,
        "float": torch.randn(LENGTH, SOURCE, generator=generator),
        "each head": torch.randn(BATCH * HEADS, LENGTH, SOURCE, generator=generator),
        "batch": MASK.expand(BATCH * HEADS, LENGTH, SOURCE),
    }
    mask = masks[kind]
    same(
        layer,
        pruned,
        *inputs(),
        key_padding_mask=padding,
        attn_mask=mask,
        need_weights=need,
    )


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_unbatched(first: bool, padded: bool) -> None:
    layer, pruned = layers(batch_first=first)
    args = [x[0] for x in inputs()]
    same(layer, pruned, *args, key_padding_mask=PADDING[1] if padded else None)


def test_causal() -> None:
    layer, pruned = layers(batch_first=True)
    x = inputs()[0]
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
    same(layer, pruned, x, x, x, attn_mask=mask, is_causal=True)
    same(layer, pruned, x, x, x, attn_mask=mask, is_causal=True, need_weights=False)


def test_gradients_reach_the_parameters_taken_over() -> None:
    layer, pruned = layers(batch_first=True)
    assert pruned.in_proj_weight is layer.in_proj_weight
    args = inputs()
    (expected,) = torch.autograd.grad(layer(*args)[0].sum(), layer.in_proj_weight)
    (actual,) = torch.autograd.grad(pruned(*args)[0].sum(), layer.in_proj_weight)
    torch.testing.assert_close(actual, expected)


def test_dropout_in_training_alone() -> None:
    layer = nn.MultiheadAttention(WIDTH, HEADS, dropout=0.5, batch_first=True)
    pruned = PrunedMultiheadAttention(layer, WIDTH // HEADS)
    args = inputs()
    assert pruned.training
    for need in (True, False):
        first = pruned(*args, need_weights=need)[0]
        assert not torch.equal(first, pruned(*args, need_weights=need)[0])
    pruned.eval()
    assert torch.equal(pruned(*args)[0], pruned(*args)[0])


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_options_that_are_refused(options: dict) -> None:
    layer = nn.MultiheadAttention(WIDTH, HEADS, **options)
    with pytest.raises(ValueError, match=r"add_bias_kv or add_zero_attn.*ignore=\["):
        PrunedMultiheadAttention(layer, WIDTH // HEADS)


class Block(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            WIDTH,
            HEADS,
            batch_first=True,
            **options,  # type: ignore[arg-type]
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + self.attention(x, x, x, attn_mask=mask)[0]


def test_mask_for_each_head_meets_fewer_heads() -> None:
    model, x = Block(), inputs()[0]
    graph = channel_graph(model, x)
    small = slim(model, graph.cuts({"attention.out": [0, 2]}))
    assert isinstance(small.attention, PrunedMultiheadAttention)
    assert small.attention.num_heads == 2
    mask = torch.randn(BATCH * HEADS, LENGTH, LENGTH)
    with pytest.raises(ValueError, match=r"for 3 heads meets a layer that has 2 left"):
        small(x, mask)
    alike = torch.randn(BATCH, 1, LENGTH, LENGTH).expand(-1, HEADS, -1, -1)
    torch.testing.assert_close(
        small(x, alike.flatten(0, 1)), small(x, alike[:, :2].flatten(0, 1))
    )


def test_state_dict_keeps_its_names() -> None:
    model, x = Block(), inputs()[0]
    graph = channel_graph(model, x)
    small = slim(model, graph.cuts({"attention.out": [1]}))
    assert small.state_dict().keys() == model.state_dict().keys()
    assert small.attention.in_proj_weight.shape == (WIDTH, WIDTH)
    assert small.attention.out_proj.in_features == WIDTH // HEADS


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_layers_with_refused_options_are_not_pruned(options: dict) -> None:
    """The layer keeps its size, with a reason; nothing raises."""
    model, x = Block(**options), inputs()[0]
    graph = channel_graph(model, x)
    assert not [g.name for g in graph.groups if g.name.startswith("attention")]
    reason = "is in 'attention', which has add_bias_kv or add_zero_attn"
    assert graph.unprunable["attention.out"] == reason
