"""Random importance: the baseline that every other one has to beat."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from ....core.graph.channel_group import ChannelGroup
from ....registry import MODELS
from .base import Importance


@MODELS.register_module()
class RandomImportance(Importance):
    """Uniform scores in [0, 1) that depend on the seed and the group's name alone.

    So the order of groups, other random numbers and repeated calls change nothing, and
    every process of a distributed run keeps the same channels.

    Args:
        seed: At least 0.

    Raises:
        ValueError: If ``seed`` is negative.
    """

    def __init__(self, seed: int = 0) -> None:
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must be at least 0.")
        self.seed = seed

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        numbers = np.random.default_rng([self.seed, zlib.crc32(group.name.encode())])
        return torch.from_numpy(numbers.random(group.size))
