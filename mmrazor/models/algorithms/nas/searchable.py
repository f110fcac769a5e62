"""What all Algorithms have in common whose Architecture is a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ....core.cost import SpaceCost
from ....core.hooks.random_streams import mixed_seed
from ....core.space import SearchSpace
from ...mutators import NasMutator
from ..base import Algorithm


class SearchableAlgorithm(Algorithm):
    """An Algorithm whose Architecture has Choices.

    What a step draws depends on ``seed`` and on the number of steps so far alone: all
    ranks draw the same, and so does a run that is resumed.

    Args:
        architecture: As for :class:`~mmrazor.models.algorithms.Algorithm`.
        mutator: Config of the Mutator; without it the Mutables that are there already
            are found.
        seed: Of what is drawn.
        **kwargs: As for ``Algorithm``: ``teacher``, ``distiller`` and so on.

    Raises:
        ValueError: If there is nothing to search.
    """

    #: Candidates that do not run get no gradient. They are looked for, rather than
    #: touched with weight 0: that would give them a gradient of 0, with which weight
    #: decay and momentum move them.
    find_unused_parameters = True

    mutator: NasMutator
    search_steps: torch.Tensor

    def __init__(
        self,
        architecture: Any,
        mutator: Mapping[str, Any] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        named = {"type": "NasMutator", **(mutator or {})}
        super().__init__(architecture, mutator=named, **kwargs)
        self.seed = seed
        self.register_buffer("search_steps", torch.zeros((), dtype=torch.long))
        # The same as a number: reading the buffer would wait for the accelerator.
        self._step: int | None = 0

    @property
    def space(self) -> SearchSpace:
        """All Choices of the Architecture."""
        return self.mutator.space

    def select_(self, values: Mapping[str, Any]) -> None:
        """Run as the Subnet with these values from now on.

        Raises:
            ValueError: If the values do not fit.
        """
        self.space.select_(values)

    def drawn(self) -> dict[str, Any]:
        """Return the values that this step draws."""
        rng = np.random.default_rng(mixed_seed(self.seed, self.step()))
        return self.mutator.drawn(rng)

    def derived(self) -> dict[str, Any]:
        """Return the values that architecture parameters prefer, or that are selected.

        See :meth:`~mmrazor.models.mutators.NasMutator.derived`.
        """
        return self.mutator.derived()

    def space_cost(self, inputs: Any) -> SpaceCost:
        """Return the exact cost of any values, found by a few forwards.

        Args:
            inputs: What the Architecture is called with, as ``mmrazor.example_inputs``
                gives.

        Raises:
            RuntimeError: If a candidate cannot be run where it stands.
            ValueError: If candidates of a place give outputs of different shape.
        """
        return self.mutator.space_cost(self.architecture, inputs)

    def subnet_model(self, values: Mapping[str, Any]) -> nn.Module:
        """Return a plain copy of the Architecture with the values fixed.

        Raises:
            ValueError: If the values do not fit.
        """
        return self.mutator.fixed(self.architecture, values)

    def step(self) -> int:
        """Return the number of training steps so far."""
        if self._step is None:
            self._step = int(self.search_steps)
        return self._step

    def count_step_(self) -> None:
        """Note that a training step is done."""
        self._step = self.step() + 1
        self.search_steps += 1

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._step = None
