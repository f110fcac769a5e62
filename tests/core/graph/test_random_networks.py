"""Random networks, pruned at random, compute what the silenced original computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mmrazor.core.graph import ChannelGraph
from mmrazor.core.graph.names import owner_of
from tests.core.graph.checking import check, with_random_values
from tests.core.graph.image_blocks import IMAGE_BLOCKS
from tests.core.graph.networks import ImageNet, Spatial, TokenNet
from tests.core.graph.token_blocks import TOKEN_BLOCKS, TokenMixer

SEEDS = st.integers(0, 2**16)
unchecked = settings(suppress_health_check=list(HealthCheck))


def makers(graph: ChannelGraph) -> set[str]:
    """Return the modules with a weight whose outputs can be pruned."""
    slots = [slot for group in graph.groups for slot in group.slots]
    return {owner_of(slot.name)[0] for slot in slots if slot.role == "out"}


@pytest.mark.parametrize("block", IMAGE_BLOCKS, ids=lambda block: block.__name__)
@pytest.mark.parametrize("flat", [False, True], ids=["mean", "flat"])
def test_block_on_maps(block: type[nn.Module], flat: bool) -> None:
    model = with_random_values(ImageNet([block], flat=flat))
    graph = check(model, model.inputs(), 1 + flat)
    wanted = {f"blocks.0.{name}" for name in block.prunable}
    assert wanted <= makers(graph), graph.unprunable
    assert "stem" in makers(graph)


@pytest.mark.parametrize("block", TOKEN_BLOCKS, ids=lambda block: block.__name__)
@pytest.mark.parametrize("token", [False, True], ids=["mean", "token"])
def test_block_on_tokens(block: type[nn.Module], token: bool) -> None:
    model = with_random_values(TokenNet([block], token=token))
    graph = check(model, model.inputs(), 3 + token)
    wanted = {f"blocks.0.{name}" for name in block.prunable}
    assert wanted <= makers(graph), graph.unprunable
    assert "embed" in makers(graph)


@given(st.lists(st.sampled_from(IMAGE_BLOCKS), min_size=2, max_size=4), SEEDS)
@settings(unchecked, max_examples=40)
def test_networks_on_maps(blocks: list[type[nn.Module]], seed: int) -> None:
    _check_maps(blocks, seed)


@given(st.lists(st.sampled_from(TOKEN_BLOCKS), min_size=2, max_size=3), SEEDS)
@settings(unchecked, max_examples=30)
def test_networks_on_tokens(blocks: list[type[nn.Module]], seed: int) -> None:
    _check_tokens(blocks, seed)


@given(
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2, 3, 12]),
    st.sampled_from([1, 2]),
    SEEDS,
)
@settings(unchecked, max_examples=15)
def test_convolutions_of_other_dims(
    dims: int, groups: int, multiplier: int, seed: int
) -> None:
    model = with_random_values(Spatial(dims, groups, multiplier), seed)
    graph = check(model, model.inputs(seed), seed)
    assert {"first", "grouped", "up"} <= makers(graph)


@pytest.mark.slow
@given(st.lists(st.sampled_from(IMAGE_BLOCKS), min_size=1, max_size=6), SEEDS)
@settings(unchecked, max_examples=400)
def test_many_networks_on_maps(blocks: list[type[nn.Module]], seed: int) -> None:
    _check_maps(blocks, seed)


@pytest.mark.slow
@given(st.lists(st.sampled_from(TOKEN_BLOCKS), min_size=1, max_size=5), SEEDS)
@settings(unchecked, max_examples=300)
def test_many_networks_on_tokens(blocks: list[type[nn.Module]], seed: int) -> None:
    _check_tokens(blocks, seed)


def _check_maps(blocks: list[type[nn.Module]], seed: int) -> None:
    torch.manual_seed(seed)
    model = with_random_values(ImageNet(blocks, flat=bool(seed % 2)), seed)
    check(model, model.inputs(seed), seed)


def _check_tokens(blocks: list[type[nn.Module]], seed: int) -> None:
    torch.manual_seed(seed)
    token = bool(seed % 2) and TokenMixer not in blocks
    model = TokenNet(blocks, 12 if seed % 3 else 24, token=token)
    check(with_random_values(model, seed), model.inputs(seed), seed)
