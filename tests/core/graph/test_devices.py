"""Models that are on a GPU are traced, pruned and checked there."""

from __future__ import annotations

import pytest
import torch

from tests.core.graph.checking import check, with_random_values
from tests.core.graph.image_blocks import IMAGE_BLOCKS
from tests.core.graph.networks import ImageNet, TokenNet
from tests.core.graph.token_blocks import TOKEN_BLOCKS


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions with fewer bits differ by more than 1e-4."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.gpu
@pytest.mark.parametrize("block", IMAGE_BLOCKS, ids=lambda block: block.__name__)
def test_block_on_maps(block: type) -> None:
    model = with_random_values(ImageNet([block]))
    check(model.cuda(), model.inputs().cuda(), 1)


@pytest.mark.gpu
@pytest.mark.parametrize("block", TOKEN_BLOCKS, ids=lambda block: block.__name__)
def test_block_on_tokens(block: type) -> None:
    model = with_random_values(TokenNet([block]))
    check(model.cuda(), model.inputs().cuda(), 1)
