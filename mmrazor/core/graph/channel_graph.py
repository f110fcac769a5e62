# One eager trace, one rule per operation, one pass of connected components. Compared
# with DepGraph (Fang et al., 2023, arXiv:2301.12900), which walks autograd's graph from
# layer to layer, dependencies here are between single channels, so concatenation,
# flattening, heads and shuffles are ordinary cases.
"""Find which channels of a model live or die together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from .attention import is_replaceable
from .attributes import attribute_values
from .channel_group import ChannelGroup
from .cuts import Cuts
from .grouping import GroupTable, make_groups
from .id_flow import IdFlow, SizeArgument
from .mixing import infinite_at_zero, mixed_dims
from .names import is_inside
from .products import (
    ProductTerm,
    counted_lines,
    mac_products,
    parameter_products,
)
from .resolve import resolve
from .rules import apply_rule
from .rules.table import PRODUCTS
from .trace import OpCall, OpTrace, tensors_in, trace
from .training import training_traces


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
    ) -> None:
        self.model = model
        self.recorded = recorded
        self.groups: list[ChannelGroup] = list(table.groups)
        self.unprunable: dict[str, str] = dict(table.unprunable)
        self.mixes = mixes
        self._table = table
        self._sizes = sizes
        self._products = products

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

    def counted_in(self, module: str) -> list[str]:
        """Return the groups whose channels a number in a module's code counts."""
        return self._table.named_by(
            [size.ids for size in self._sizes if size.module == module]
        )

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
            self.model, slots, self._sizes, self._table.labels, dropped
        )
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


def channel_graph(
    model: nn.Module,
    inputs: Any,
    *,
    ignore: Sequence[str] = (),
    tie: Sequence[Sequence[str]] = (),
    whole: Sequence[str] = (),
    also: Sequence[Any] | None = None,
) -> ChannelGraph:
    """Find the groups of channels of a model that can be pruned.

    Args:
        model: Any module; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.
        ignore: Modules (with all inside them) whose parameters keep their size.
        tie: Lists of modules whose outputs must keep the same channels.
        whole: Modules to treat as one: their insides stay as they are, and what goes in
            and comes out keeps its channels.
        also: Inputs that run other parts of the model, which cost nothing but have to
            shrink as well. By default, if the inputs leave parameters unused, the
            ``loss`` mode of an OpenMMLab model: its auxiliary heads run in training
            alone.

    Raises:
        TraceError: If the model does not run on the inputs.
        ValueError: If a module named does not exist or does not fit the others.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> graph = channel_graph(net, torch.zeros(1, 4))
        >>> [(group.name, group.size) for group in graph.groups]
        [('0.out', 8)]
    """
    recorded = trace(model, inputs)
    if also is None:
        others = training_traces(model, inputs, recorded)
    else:
        others = [trace(model, extra) for extra in also]
    return graph_of_trace(model, recorded, ignore, tie, whole, others)


def graph_of_trace(
    model: nn.Module,
    recorded: OpTrace,
    ignore: Sequence[str] = (),
    tie: Sequence[Sequence[str]] = (),
    whole: Sequence[str] = (),
    others: Sequence[OpTrace] = (),
) -> ChannelGraph:
    """Build the channel graph from traces that are there already."""
    _check_modules(model, [*ignore, *whole, *(name for names in tie for name in names)])
    flow = IdFlow(model)
    for one in (recorded, *others):
        _follow(flow, one, whole)
    _freeze_parameters(flow, _left_alone(model, ignore))
    _tie_outputs(flow, tie)
    classes = resolve(flow.noted)
    counted = counted_lines(recorded, flow, classes.labels)
    table = make_groups(model, flow.noted, classes, counted)
    products = (
        mac_products(recorded, flow, table),
        parameter_products(model, table),
    )
    mixes = _mixes(recorded, flow, table)
    return ChannelGraph(model, table, flow.noted.sizes, products, mixes, recorded)


def _follow(flow: IdFlow, recorded: OpTrace, whole: Sequence[str]) -> None:
    for call in recorded.calls:
        apply_rule(flow, call)
        if whole and any(is_inside(call.module, name) for name in whole):
            for tensor in tensors_in([call.args, call.kwargs, call.result]):
                flow.freeze(flow.of(tensor), "is inside a module treated as one")
    flow.call = None
    for tensor in recorded.outputs():
        flow.freeze(flow.of(tensor), "is an output of the network")


def _mixes(recorded: OpTrace, flow: IdFlow, table: GroupTable) -> bool:
    for call in recorded.calls:
        for tensor, dims in _sensitive(call, flow):
            if any(table.touches(field, dims) for field in flow.of(tensor)):
                return True
    return False


def _sensitive(call: OpCall, flow: IdFlow) -> Iterator[tuple[Tensor, Sequence[int]]]:
    """Yield tensors, and their dims along which a zero is not a missing element."""
    fragile = infinite_at_zero(call.name, call.args)
    if fragile is not None:
        yield fragile, range(fragile.dim())
    mixed = mixed_dims(call.name, call.args, call.kwargs)
    # a product with a parameter has zeros in the parameter as well
    by_parameter = call.name in PRODUCTS and any(
        flow.name_of(tensor) for tensor in tensors_in(call.args)
    )
    if mixed is not None and not by_parameter:
        yield mixed


def _check_modules(model: nn.Module, names: Sequence[str]) -> None:
    if not names:
        return
    known = dict(model.named_modules())
    for name in names:
        if name not in known:
            near = [other for other in known if other.endswith(name.split(".")[-1])][:5]
            raise ValueError(
                f"{type(model).__name__} has no module '{name}'."
                + (f" Near names: {near}." if near else "")
            )


def _left_alone(model: nn.Module, ignore: Sequence[str]) -> dict[str, str]:
    """Return modules whose parameters keep their size, and why."""
    reasons = {
        name: f"is in '{name}', which has add_bias_kv or add_zero_attn"
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention) and not is_replaceable(module)
    }
    return reasons | {name: f"is in '{name}', which is ignored" for name in ignore}


def _freeze_parameters(flow: IdFlow, reasons: Mapping[str, str]) -> None:
    for (name, _), (first, size) in flow.noted.axes.items():
        for module, reason in reasons.items():
            if is_inside(name, module):
                flow.noted.frozen.append((np.arange(first, first + size), reason))


def _tie_outputs(flow: IdFlow, tie: Sequence[Sequence[str]]) -> None:
    for names in tie:
        lines = []
        for name in names:
            axis = flow.noted.axes.get((f"{name}.weight", 0))
            if axis is None:
                raise ValueError(
                    f"tie={list(names)}: '{name}' has no weight that was used in the "
                    "forward pass. Name convolutions or linear layers."
                )
            lines.append(np.arange(axis[0], axis[0] + axis[1]))
        if len({len(line) for line in lines}) > 1:
            raise ValueError(
                f"tie={list(names)}: they make {[len(line) for line in lines]} "
                "channels. Only layers with equally many can be tied."
            )
        flow.noted.ties += [(lines[0], line) for line in lines[1:]]
