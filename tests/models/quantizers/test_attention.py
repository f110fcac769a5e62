"""Attention in pieces is attention."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmrazor.models.quantizers.attention import open_attention_, plain_attention


def qkv(heads=2, key_heads=2, length=5, keys=5):
    torch.manual_seed(0)
    shapes = (heads, length, 4), (key_heads, keys, 4), (key_heads, keys, 6)
    return [torch.randn(3, *shape) for shape in shapes]


MASK = torch.tensor([[True, False, True, True, False]]).expand(5, 5)


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(),
        dict(is_causal=True),
        dict(attn_mask=MASK),
        dict(attn_mask=torch.linspace(-1, 1, 25).view(5, 5)),
        dict(attn_mask=MASK.expand(3, 2, 5, 5)),
        dict(scale=0.3),
        dict(scale=0.3, is_causal=True),
    ],
    ids=["plain", "causal", "boolean", "added", "batched", "scale", "both"],
)
def test_it_is_torchs(kwargs):
    found = plain_attention(*qkv(), **kwargs)
    wanted = F.scaled_dot_product_attention(*qkv(), **kwargs)
    assert torch.allclose(found, wanted, atol=1e-6)


def test_causal_with_other_lengths_and_few_heads_of_keys():
    given = qkv(heads=4, key_heads=2, length=3, keys=5)
    kwargs = dict(is_causal=True, enable_gqa=True)
    found = plain_attention(*given, **kwargs)
    wanted = F.scaled_dot_product_attention(*given, **kwargs)
    assert torch.allclose(found, wanted, atol=1e-6)


def test_dropout_drops():
    torch.manual_seed(0)
    q, k, _ = qkv()
    found = plain_attention(q, k, torch.ones(3, 2, 5, 6), dropout_p=0.5)
    assert not torch.allclose(found, torch.ones_like(found))  # rows sum to 1 without
    assert plain_attention(q, k, torch.ones(3, 2, 5, 6), dropout_p=1.0).abs().sum() == 0


@pytest.mark.parametrize("batch_first", [True, False])
def test_layers_are_opened_and_compute_the_same(batch_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(3, 5, 8)
    wanted, names = model(x), set(model.state_dict())
    open_attention_(model)
    assert not any(isinstance(m, nn.MultiheadAttention) for m in model.modules())
    assert set(model.state_dict()) == names
    assert torch.allclose(model(x), wanted, atol=1e-6)


def test_layers_with_other_options_and_the_model_itself_stay():
    special = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    model = nn.ModuleDict(dict(special=special))
    open_attention_(model)
    assert model["special"] is special
    whole = nn.MultiheadAttention(8, 2)
    open_attention_(whole)
    assert type(whole) is nn.MultiheadAttention
