"""One of several operations at one place: what all kinds of it have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.random import Generator
from torch import Tensor, nn

from ...registry import MODELS
from .mutable import Mutable

Candidate = nn.Module | Mapping[str, Any]


class MutableOP(Mutable):
    """One of several operations, by name; its Choice is ``op``.

    Args:
        candidates: The operations by name, as modules or configs. They take the same
            inputs and give outputs of the same shape.
        name: Name of the Choice; places of one name share one decision. Without it the
            place gives the name.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If there are no candidates or a name cannot be one of a module.
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidate],
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.candidates = nn.ModuleDict()
        for key, candidate in _checked(candidates).items():
            self.candidates[key] = built(candidate)
        self._add_choice("op", list(candidates), name)

    def fix(self) -> nn.Module:
        """Return the candidate now selected."""
        return self.candidates[self._roles["op"].selected]


class AlphaOP(MutableOP):
    """Several operations with an architecture parameter ``alpha`` for each.

    Args:
        candidates, name, init_cfg: As for :class:`MutableOP`.
        never: Names of candidates that are weighed in training and never derived, such
            as the ``none`` of DARTS.

    Raises:
        ValueError: If ``never`` has unknown names or leaves no candidate.
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidate],
        name: str | None = None,
        never: tuple[str, ...] | list[str] = (),
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(candidates, name, init_cfg)
        unknown = sorted(set(never) - set(candidates))
        if unknown or set(candidates) <= set(never):
            raise ValueError(
                f"never={list(never)} must be some, not all, of the candidates "
                f"{list(candidates)}."
            )
        self._never = frozenset(never)
        self.alpha = new_alpha(len(candidates))

    def probabilities(self) -> Tensor:
        """Return the softmax over ``alpha``, shape ``(candidates,)``."""
        return torch.softmax(self.alpha, 0)

    def drawn(self, rng: Generator) -> dict[str, Any]:
        """Draw a candidate with its probability."""
        return {self._roles["op"].name: draw(self._by_name(), rng)}

    def derived(self) -> dict[str, Any]:
        """Return the most probable candidate of those that may be derived."""
        return {self._roles["op"].name: self._best()}

    def strength(self) -> float:
        """Return the probability of the candidate that is derived."""
        return self._by_name()[self._best()]

    def tie_(self, other: Mutable) -> None:
        """Share decision and ``alpha`` of another one.

        Raises:
            ValueError: If the two have different candidates.
        """
        super().tie_(other)
        assert isinstance(other, AlphaOP)
        self.alpha = other.alpha

    def _best(self) -> str:
        allowed = {k: p for k, p in self._by_name().items() if k not in self._never}
        return max(allowed, key=allowed.__getitem__)

    def _by_name(self) -> dict[str, float]:
        return dict(zip(self.candidates, self.probabilities().tolist(), strict=True))


def new_alpha(count: int) -> nn.Parameter:
    """Return architecture parameters near zero, as DARTS begins with."""
    return nn.Parameter(1e-3 * torch.randn(count))


def draw(probabilities: Mapping[str, float], rng: Generator) -> str:
    """Draw a key with its probability; they need not sum to one exactly.

    Example:
        >>> import numpy as np
        >>> draw({'a': 0.0, 'b': 1.0}, np.random.default_rng(0))
        'b'
    """
    names, total = list(probabilities), sum(probabilities.values())
    shares = [share / total for share in probabilities.values()]
    return names[int(rng.choice(len(names), p=shares))]


def built(candidate: Candidate) -> nn.Module:
    """Return a module that is given as such or as a config."""
    if isinstance(candidate, nn.Module):
        return candidate
    module: nn.Module = MODELS.build({"_scope_": "mmrazor", **candidate})
    return module


def _checked(candidates: Mapping[str, Candidate]) -> Mapping[str, Candidate]:
    if not candidates:
        raise ValueError(
            "There are no candidates. Give at least one: candidates=dict(conv3x3=dict("
            "type='Conv2d', ...))."
        )
    empty = nn.ModuleDict()
    for key in candidates:
        if not isinstance(key, str) or not key or "." in key or hasattr(empty, key):
            raise ValueError(
                f"A candidate cannot be named {key!r}: it becomes part of the names of "
                "weights. Take a text without a dot that torch does not use itself, "
                f"such as {str(key).replace('.', '_') + '_op'!r}."
            )
    return candidates
