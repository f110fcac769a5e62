"""Mutables of a model, and its plain copy when their Choices are fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from ...core.copying import copied
from ...core.space import SearchSpace
from ..mutables import Mutable


def mutables_of(model: nn.Module) -> dict[str, Mutable]:
    """Return the Mutables in a model by path; outer ones before inner ones."""
    return {n: m for n, m in model.named_modules() if isinstance(m, Mutable)}


def space_of(mutables: Mapping[str, Mutable]) -> SearchSpace:
    """Return the space of all Choices, in the order of the modules."""
    return SearchSpace(c for mutable in mutables.values() for c in mutable.choices())


@contextmanager
def selecting(space: SearchSpace, values: Mapping[str, Any]) -> Iterator[None]:
    """Select values for a while; afterwards those of before are selected again.

    Raises:
        ValueError: If the values do not fit.
    """
    before = space.selected()
    space.select_(values)
    try:
        yield
    finally:
        space.select_(before)


def fixed_copy(
    model: nn.Module, values: Mapping[str, Any]
) -> tuple[nn.Module, dict[int, Any]]:
    """Return a plain copy of a model with the values fixed.

    Candidates that are not selected are not copied.

    Args:
        model: Stays as it was.
        values: Of every Choice in it.

    Returns:
        The copy, and what became of each module, by the ``id`` of the one in ``model``.

    Raises:
        ValueError: If the values do not fit.
    """
    mutables = mutables_of(model)
    # What stands in the memo is taken in place of a copy.
    memo: dict[int, Any] = {}
    with selecting(space_of(mutables), values):
        for mutable in reversed(mutables.values()):
            memo[id(mutable)] = copied(mutable.fix(), memo)
        return copied(model, memo), memo
