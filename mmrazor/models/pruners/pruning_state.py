# A run that was killed is rebuilt from the original architecture and this: what is left
# of it, counted in the original's channels, and all that the next pruning depends on.
"""What a pruner has done so far, as plain data for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...core.cost import CostTable, TableCost
from ...core.graph import ChannelGraph
from ...core.graph.compose import composed
from ...core.graph.cuts import Cuts
from ...core.graph.products import ProductTerm
from ...core.space import KeepChannels, SearchSpace, Subnet

FORMAT = "mmrazor.pruning/1"


class PruningStateError(ValueError):
    """What a checkpoint says of pruning is damaged, or is that of another model."""


@dataclass(frozen=True)
class PruningState:
    """The original's groups and costs, and what is left of them.

    The costs are those of one trace of the original, so that a budget means the same at
    every pruning, also where later forward passes run other operations (a detector that
    finds fewer boxes).

    Args:
        sizes: Units of every group of the original.
        shapes: Shape of each of its parameters, and of buffers that may be cut.
        macs: MACs of every operation, see ``ChannelGraph.products``.
        params: Elements of every parameter, likewise.
        cuts: From the original to the model as it is.
        kept: Kept units of the original by group; groups that are missing keep all.
        frozen: Groups that turned out to break the model, and why.
        finished: Whether the target is reached.
        steps: One entry for every pruning: ``time``, ``macs``, ``params``, ``units``.
    """

    sizes: dict[str, int]
    shapes: dict[str, list[int]] = field(repr=False)
    macs: list[ProductTerm] = field(repr=False)
    params: list[ProductTerm] = field(repr=False)
    cuts: Cuts = field(default_factory=Cuts, repr=False)
    kept: dict[str, list[int]] = field(default_factory=dict, repr=False)
    frozen: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, graph: ChannelGraph) -> PruningState:
        """Return the state before the first pruning."""
        tensors: dict[str, Tensor] = dict(graph.model.named_parameters())
        for group in graph.groups:
            tensors.update({slot.name: group.tensor(slot) for slot in group.slots})
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        return cls(graph.sizes(), shapes, *graph.products())

    def counts(self) -> dict[str, int]:
        """Return the number of units that every group of the original has left."""
        return {
            name: len(self.kept[name]) if name in self.kept else size
            for name, size in self.sizes.items()
        }

    def table(self, sizes: Mapping[str, int] | None = None) -> CostTable:
        """Return the costs of any choice.

        Args:
            sizes: Units to choose from by group; default are the original's.
        """
        return CostTable.of(sizes or self.sizes, self.macs, self.params)

    def dense_cost(self) -> TableCost:
        """Return what the original costs."""
        return self.table().dense

    def cost(self) -> TableCost:
        """Return what is left of it."""
        return self.table().cost(self.counts())

    def progress(self) -> str:
        """Say what is left, for the log."""
        cost, dense = self.cost(), self.dense_cost()
        units, of_units = sum(self.counts().values()), sum(self.sizes.values())
        return (
            f"MACs {cost.macs / dense.macs:.1%} of {dense.macs / 1e9:.4g} G, "
            f"parameters {cost.params / dense.params:.1%} of "
            f"{dense.params / 1e6:.4g} M, channels {units} of {of_units}"
        )

    def pruned(
        self,
        kept: Mapping[str, Sequence[int]],
        cuts: Cuts,
        time: int | None,
        finished: bool,
    ) -> PruningState:
        """Return the state after one more pruning.

        Args:
            kept: Kept units by group, counted in those that were left.
            cuts: From the model as it was to what is left.
            time: Step or epoch; None before training.
            finished: Whether the target is reached.
        """
        total = dict(self.kept)
        for name, indices in kept.items():
            before = total.get(name, range(self.sizes[name]))
            total[name] = [before[i] for i in indices]
        after = replace(
            self,
            kept=total,
            cuts=composed(self.cuts, cuts),
            finished=finished,
        )
        cost = after.cost()
        step = {"time": time, "macs": cost.macs, "params": cost.params}
        units = sum(after.counts().values())
        return replace(after, steps=[*self.steps, {**step, "units": units}])

    def subnet(self, score: Mapping[str, float] | None = None) -> Subnet:
        """Return the Subnet that rebuilds the model from the original."""
        open_ = [name for name in self.sizes if name not in self.frozen]
        space = SearchSpace([KeepChannels(name, self.sizes[name]) for name in open_])
        choices = {n: self.kept.get(n, list(range(self.sizes[n]))) for n in open_}
        cost = self.cost()
        numbers = {"macs": cost.macs, "params": cost.params}
        slots = {**self.cuts.to_dict(), "shapes": self.shapes}
        return Subnet(space.fingerprint(), choices, slots, numbers, dict(score or {}))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        return {
            "format": FORMAT,
            "sizes": dict(self.sizes),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "macs": [_plain_term(term) for term in self.macs],
            "params": [_plain_term(term) for term in self.params],
            "cuts": self.cuts.to_dict(),
            "kept": {name: list(units) for name, units in self.kept.items()},
            "frozen": dict(self.frozen),
            "finished": self.finished,
            "steps": [dict(step) for step in self.steps],
        }

    @classmethod
    def from_dict(cls, data: Any) -> PruningState:
        """Read plain data back.

        Raises:
            PruningStateError: If it is not what :meth:`to_dict` makes.
        """
        try:
            values = dict(data)
            values.pop("scores", None)  # what a pruner adds while it reads gradients
            if values.pop("format") != FORMAT:
                raise ValueError(f"its format is {data['format']!r}, not {FORMAT!r}")
            values["cuts"] = Cuts.from_dict(values["cuts"])
            for key in ("macs", "params"):
                values[key] = [_term(item) for item in values[key]]
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise PruningStateError(
                "What the checkpoint says of pruning cannot be read "
                f"({type(err).__name__}: {err}). Take a checkpoint that this version "
                "of mmrazor wrote while pruning."
            ) from err


def _term(item: Any) -> ProductTerm:
    module, factor, dims = item
    return str(module), int(factor), tuple((int(c), dict(per)) for c, per in dims)


def _plain_term(term: ProductTerm) -> list[Any]:
    module, factor, dims = term
    return [module, factor, [[const, dict(per_unit)] for const, per_unit in dims]]
