# Ids are handed out to every axis of every parameter; rules let them meet. Meetings are
# only noted here and resolved all at once afterwards (resolve.py), so that no rule
# recurses and order does not matter.
"""The flow that builds the channel graph: ids, and notes of their meetings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from .fields import squeezed, varying
from .flow import Flow
from .trace import OpCall

Ids = np.ndarray


@dataclass
class Grid:
    """Ids over two or more dims whose dropped ones must form slices of one dim.

    Args:
        ids: The ids.
        votes: For each dim, how strongly it is preferred for dropping.
        forbidden: For each dim along which nothing may be dropped, the reason.
    """

    ids: Ids
    votes: list[int]
    forbidden: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Coupling:
    """A smaller field whose ids are dropped with whole slices of a grid.

    Args:
        grid: Index of the grid.
        dims: Dims of the grid that ``part`` lies along.
        part: Ids over these dims.
    """

    grid: int
    dims: tuple[int, ...]
    part: Ids


@dataclass(frozen=True)
class SizeArgument:
    """A number in a call that counts the elements along one dim of some ids.

    Args:
        module: Name of the module that passed it.
        value: The number.
        ids: The ids, squeezed.
        dim: The dim of ``ids`` that it counts.
        call: Tells which numbers were passed in one call.
    """

    module: str
    value: int
    ids: Ids
    dim: int
    call: int = 0


@dataclass
class Constraints:
    """Everything that was noted about ids.

    Args:
        size: Number of ids handed out.
        ties: Pairs of equally long arrays of ids to keep or drop alike.
        grids: See :class:`Grid`.
        couplings: See :class:`Coupling`.
        frozen: Ids that must stay, and why.
        sizes: See :class:`SizeArgument`.
        axes: First id and length of each parameter axis.
        copies: Parameters and buffers of copies, which follow those that they copy.
        twins: Modules that are copies, and what each one copies.
    """

    size: int = 0
    ties: list[tuple[Ids, Ids]] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    couplings: list[Coupling] = field(default_factory=list)
    frozen: list[tuple[Ids, str]] = field(default_factory=list)
    sizes: list[SizeArgument] = field(default_factory=list)
    axes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    copies: set[str] = field(default_factory=set)
    twins: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Constraints:
        """Return notes that may grow apart from these."""
        return Constraints(
            self.size,
            list(self.ties),
            [Grid(g.ids, list(g.votes), dict(g.forbidden)) for g in self.grids],
            list(self.couplings),
            list(self.frozen),
            list(self.sizes),
            dict(self.axes),
        )


class IdFlow(Flow):
    """Hands out ids and notes what the rules say of them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.noted = Constraints()
        self._grid_index: dict[tuple, int] = {}
        self._coupled: set[tuple] = set()
        self._tied: set[tuple] = set()
        self._sized: set[tuple] = set()
        self._kept_alive: list[Tensor] = []
        self._calls: tuple[OpCall | None, int] = (None, 0)

    @contextmanager
    def trying(self) -> Iterator[Callable[[], None]]:
        """Forget on exit what is noted meanwhile, unless the function given is called.

        Example:
            >>> flow = IdFlow(nn.Linear(2, 3))
            >>> with flow.trying() as keep:
            ...     _ = flow.fresh(5)
            >>> flow.noted.size
            0
        """
        old = self.noted, self._grid_index, self._coupled, self._tied, self._sized
        kept = []
        self.noted = self.noted.copy()
        self._grid_index = dict(self._grid_index)
        self._coupled, self._tied = set(self._coupled), set(self._tied)
        self._sized = set(self._sized)
        try:
            yield lambda: kept.append(True)
        finally:
            if not kept:
                (
                    self.noted,
                    self._grid_index,
                    self._coupled,
                    self._tied,
                    self._sized,
                ) = old

    def fresh(self, size: int) -> Tensor:
        """Return ids that were not handed out before."""
        first = self.noted.size
        self.noted.size += size
        return torch.arange(first, first + size)

    def parameter_line(self, name: str, dim: int, size: int) -> Tensor:
        """Return new ids, and note which axis they belong to."""
        line = self.fresh(size)
        self.noted.axes[name, dim] = (self.noted.size - size, size)
        return line

    def tie(self, a: Tensor, b: Tensor) -> Tensor:
        """Note pairs of ids."""
        first, second = squeezed(a), squeezed(b)
        key = (_key(first), _key(second))
        if key[0] != key[1] and key not in self._tied:
            self._tied.add(key)
            self._kept_alive += [first, second]
            self.noted.ties.append((_flat(first), _flat(second)))
        return a

    def grid(self, field: Tensor, prefer: int | None = None) -> None:
        """Note a grid, and a vote for one of its dims."""
        self._grid(field, prefer)

    def _grid(self, field: Tensor, prefer: int | None = None) -> int:
        ids = squeezed(field)
        key = _key(ids)
        index = self._grid_index.get(key)
        if index is None:
            index = self._grid_index[key] = len(self.noted.grids)
            self._kept_alive.append(ids)
            self.noted.grids.append(Grid(ids.numpy(), [0] * ids.dim()))
        if prefer is not None and prefer in varying(field):
            self.noted.grids[index].votes[varying(field).index(prefer)] += 1
        return index

    def project(self, field: Tensor, dims: Sequence[int]) -> Tensor:
        """Return new ids, one for each slice, coupled with the field."""
        dims = tuple(dims)
        first = field
        for dim in varying(field):
            if dim not in dims:
                first = first.narrow(dim, 0, 1)
        # Slices that begin with the same id are the same slice seen twice.
        line = squeezed(first)
        unique, inverse = torch.unique(line, return_inverse=True)
        ids = self.fresh(len(unique))[inverse]
        view = [
            field.shape[d] if d in varying(first) else 1 for d in range(field.dim())
        ]
        part = ids.view(view).expand(field.shape)
        self.couple(field, varying(part), part)
        return part

    def joined(self, fields: Sequence[Tensor]) -> Tensor:
        """Return new ids, coupled with each field."""
        shape = fields[0].shape
        dims = {dim for part in fields for dim in varying(part)}
        small = [size if dim in dims else 1 for dim, size in enumerate(shape)]
        joint = self.fresh(prod(small)).view(small).expand(shape)
        for part in fields:
            self.couple(joint, varying(part), part)
        return joint

    def couple(self, field: Tensor, dims: Sequence[int], part: Tensor) -> None:
        """Note a coupling."""
        inside = varying(field)
        ids = squeezed(part)
        places = tuple(inside.index(dim) for dim in dims)
        index = self._grid(field)
        key = (index, places, _key(ids))
        if key not in self._coupled:
            self._coupled.add(key)
            self._kept_alive.append(ids)
            self.noted.couplings.append(Coupling(index, places, ids.numpy()))

    def forbid(self, field: Tensor, dim: int, reason: str) -> bool:
        """Note that a line, or a dim of a grid, has to stay, and why."""
        where = "" if self.call is None else f" ({self.call.name} in {self._place()})"
        dims = varying(field)
        if len(dims) > 1:
            grid = self.noted.grids[self._grid(field)]
            grid.forbidden.setdefault(dims.index(dim), reason + where)
            if len(grid.forbidden) < len(dims):
                return False
        self.noted.frozen.append((_flat(squeezed(field)), reason + where))
        return True

    def size_argument(self, value: int, field: Tensor, dim: int) -> None:
        """Note a number that the code passed."""
        ids = squeezed(field)
        module = self.call.module if self.call is not None else ""
        key = (module, value, _key(ids), varying(field).index(dim))
        if key not in self._sized:
            self._sized.add(key)
            self._kept_alive.append(ids)
            place = varying(field).index(dim)
            if self._calls[0] is not self.call:
                self._calls = self.call, self._calls[1] + 1
            number = self._calls[1]
            size = SizeArgument(module, value, ids.numpy(), place, number)
            self.noted.sizes.append(size)

    def _place(self) -> str:
        assert self.call is not None
        return f"'{self.call.module}'" if self.call.module else "the model"


def _flat(ids: Tensor) -> Ids:
    return ids.reshape(-1).numpy()


def _key(ids: Tensor) -> tuple:
    """Tell views of the same ids: by memory, or by content where they are few."""
    if ids.numel() <= 64:
        return tuple(ids.shape), tuple(ids.reshape(-1).tolist())
    return ids.data_ptr(), tuple(ids.shape), ids.stride()
