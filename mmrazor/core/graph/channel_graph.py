# One eager trace, one rule per operation, one pass of connected components. Compared
# with DepGraph (Fang et al., 2023, arXiv:2301.12900), which walks autograd's graph from
# layer to layer, dependencies here are between single channels, so concatenation,
# flattening, heads and shuffles are ordinary cases. build.py makes it.
"""Which channels of a model live or die together."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from torch import nn

from .attribute_rules import AttributeRule
from .attributes import attribute_values
from .channel_group import ChannelGroup
from .code_numbers import Counted, counted
from .cuts import Cuts
from .grouping import GroupTable
from .id_flow import SizeArgument
from .products import ProductTerm
from .stated_widths import StatedWidth, new_widths
from .trace import OpTrace


class ChannelGraph:
    """The channels of a model, in groups.

    Args:
        model: The model.
        table: Groups, and the class of every id.
        sizes: Numbers in the code that count channels.
        products: MACs and parameters as products of channel counts.
        mixes: Whether an operation mixes channels that can be dropped (a norm over
            them, a softmax), so that silencing needs more than zeros.
        recorded: The trace that all this was found by.
        stated: Widths that modules state for more than their forward pass.
        rules: How attributes follow from numbers, by the class of the modules.

    Attributes:
        groups: What can be pruned.
        unprunable: What cannot, by the place that makes the channels, and why.
    """

    def __init__(
        self,
        model: nn.Module,
        table: GroupTable,
        sizes: list[SizeArgument],
        products: tuple[list[ProductTerm], list[ProductTerm]],
        mixes: bool,
        recorded: OpTrace,
        stated: Sequence[StatedWidth] = (),
        rules: Mapping[type, Sequence[AttributeRule]] | None = None,
    ) -> None:
        self.model = model
        self.recorded = recorded
        self.groups: list[ChannelGroup] = list(table.groups)
        self.unprunable: dict[str, str] = dict(table.unprunable)
        self.mixes = mixes
        self._table = table
        self._sizes = sizes
        self._products = products
        self._stated = stated
        self._rules = dict(rules or {})

    def __getitem__(self, name: str) -> ChannelGroup:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(
            f"No group '{name}'. Groups: {', '.join(g.name for g in self.groups)}."
        )

    def sizes(self) -> dict[str, int]:
        """Return the channels of every group found, frozen later or not."""
        return {group.name: group.size for group in self._table.groups}

    def products(self) -> tuple[list[ProductTerm], list[ProductTerm]]:
        """Return MACs of each operation and sizes of each parameter.

        Each is ``(module, factor, dims)`` with ``dims`` a tuple of
        ``(const, {group: per_unit})``: the count is the factor times the product over
        dims of ``const + sum(per_unit[group] * kept units)``.
        """
        return self._products

    def counted_in(self, *modules: str) -> list[str]:
        """Return the groups whose channels numbers in the code of modules count."""
        found = self.groups_of(
            [size.ids for size in self._sizes if size.module in modules]
        )
        open_ = {group.name for group in self.groups}
        return [name for name in found if name in open_]

    def with_rules(self, rules: Mapping[type, Sequence[AttributeRule]]) -> ChannelGraph:
        """Return this graph with other rules for attributes."""
        result = copy.copy(self)
        result._rules = dict(rules)
        return result

    def passed(self, kept: Mapping[str, Sequence[int]]) -> Counted:
        """Return the numbers that code passes, with what each becomes.

        Args:
            kept: As for :meth:`dropped`.
        """
        return counted(self._sizes, self._table.labels, self.dropped(kept))

    def classes_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the class of each id: equal where channels go together."""
        return self._table.labels[ids]

    def groups_of(self, ids: Sequence[np.ndarray]) -> list[str]:
        """Return the groups that have channels among some ids."""
        return self._table.named_by(ids)

    def freeze(self, names: Iterable[str], reason: str) -> None:
        """Take groups out of what can be pruned."""
        chosen = set(names)
        for group in self.groups:
            if group.name in chosen:
                self.unprunable[group.name] = reason
        self.groups = [group for group in self.groups if group.name not in chosen]

    def dropped(self, kept: Mapping[str, Sequence[int]]) -> np.ndarray:
        """Return for every class of channels whether it is dropped.

        Args:
            kept: Indices of the kept channels by group; groups that are not named keep
                all.

        Raises:
            ValueError: If a group is unknown, or an index is out of range.
        """
        return self._table.dropped(kept)

    def dropped_lines(
        self, kept: Mapping[str, Sequence[int]]
    ) -> dict[tuple[str, int], np.ndarray]:
        """Return, for each parameter axis that shrinks, which indices are dropped."""
        dropped = self.dropped(kept)
        lines = {}
        for key, labels in self._table.axes.items():
            line = dropped[labels]
            if line.any():
                lines[key] = line
        return lines

    def cuts(self, kept: Mapping[str, Sequence[int]]) -> Cuts:
        """Return what is needed to build the model with these channels.

        Args:
            kept: As for :meth:`dropped`.
        """
        dropped = self.dropped(kept)
        slots: dict[str, dict[int, list[int]]] = {}
        lists: dict[bytes, list[int]] = {}  # axes of one group share theirs
        for (name, axis), line in self.dropped_lines(kept).items():
            key = line.tobytes()
            if key not in lists:
                lists[key] = np.flatnonzero(~line).tolist()
            slots.setdefault(name, {})[axis] = lists[key]
        attributes, replaced = attribute_values(
            self.model, slots, self._sizes, self._table.labels, dropped, self._rules
        )
        stated = new_widths(
            self.model, self._stated, self._table.labels, dropped, attributes
        )
        for module, values in stated.items():
            attributes.setdefault(module, {}).update(values)
        return Cuts(slots, attributes, replaced)

    def __str__(self) -> str:
        lines = [
            f"{len(self.groups)} groups of channels in {type(self.model).__name__}"
        ]
        for group in self.groups:
            lines.append(f"  {group.name}: {group.size} channels")
            lines += [f"    {s.name}[{s.axis}] {s.role}" for s in group.slots]
        if self.unprunable:
            lines.append(f"{len(self.unprunable)} that cannot be pruned")
            lines += [f"  {name}: {why}" for name, why in self.unprunable.items()]
        return "\n".join(lines)
