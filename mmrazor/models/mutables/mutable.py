# As NNI's mutables and torch's parametrizations: the module stands in the model where
# the plain one will stand, so that the user's code around it is not changed.
"""A module whose forward reads Choices and which becomes plain once they are fixed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from mmengine.model import BaseModule
from numpy.random import Generator
from torch import nn

from ...core.space import Choice, OneOf


class Mutable(BaseModule):
    """A module whose forward reads Choices and which turns itself into a plain one.

    A Choice without a name is named after the place of the module when a Mutator finds
    it: ``backbone.layers.0.op`` is the Choice ``op`` of ``backbone.layers.0``.
    """

    def __init__(self, init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        self._roles: dict[str, OneOf] = {}
        self._unnamed: set[str] = set()

    def choices(self) -> list[Choice]:
        """Return the Choices that this module itself reads, not those inside it."""
        return list(self._roles.values())

    @abstractmethod
    def fix(self) -> nn.Module:
        """Return the plain module for the values now selected, not a copy of it."""

    def drawn(self, rng: Generator) -> dict[str, Any]:
        """Draw a value for each Choice; each value with the same probability."""
        return {choice.name: choice.sample(rng) for choice in self.choices()}

    def derived(self) -> dict[str, Any]:
        """Return the values that training prefers; those selected if it learns none."""
        return {choice.name: choice.selected for choice in self.choices()}

    def name_(self, path: str) -> None:
        """Name the Choices that have no name yet after the place of the module."""
        for role in self._unnamed:
            old = self._roles[role]
            named = OneOf(f"{path}.{role}" if path else role, old.values)
            named.selected = old.selected
            self._roles[role] = named
        self._unnamed.clear()

    def tie_(self, other: Mutable) -> None:
        """Share the decisions of another Mutable of the same kind.

        Raises:
            ValueError: If the two allow different values.
        """
        mine, theirs = (
            {role: choice.values for role, choice in mutable._roles.items()}
            for mutable in (self, other)
        )
        if type(self) is not type(other) or mine != theirs:
            raise ValueError(
                f"{type(self).__name__} with {mine} cannot share the decision of "
                f"{type(other).__name__} with {theirs}. Give both the same kind and "
                "values in the same order, or another name."
            )
        self._roles = dict(other._roles)
        self._unnamed = set(other._unnamed)

    def _add_choice(self, role: str, values: Iterable[Any], name: str | None) -> None:
        self._roles[role] = OneOf(role if name is None else name, values)
        if name is None:
            self._unnamed.add(role)
