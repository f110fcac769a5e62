# The order of work: trace, rules, ties, classes, groups, products. Everything that
# decides is in the modules named; this one puts them in order.
"""Build the channel graph of a model."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..forward import eager_module, examples_of
from ..names import is_inside
from .attention import is_replaceable
from .attribute_rules import AttributeRule
from .channel_graph import ChannelGraph
from .computed_widths import with_computed_widths
from .grouping import GroupTable, make_groups
from .id_flow import IdFlow
from .mixing import infinite_at_zero, mixed_dims
from .never_run import NeverRun, follow_copies, keep_what_may_meet, never_run, warn_of
from .products import counted_lines, mac_products, parameter_products
from .resolve import resolve
from .rules import apply_rule
from .rules.table import PRODUCTS
from .stated_widths import stated_widths
from .trace import OpCall, OpTrace, tensors_in, trace
from .training import training_traces, unused_parameters


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
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments; or a list
            of such inputs, which together run all that is to shrink. Costs are those of
            the first.
        ignore: Modules (with all inside them) whose parameters keep their size.
        tie: Lists of modules whose outputs must keep the same channels.
        whole: Modules to treat as one: their insides stay as they are, and what goes in
            and comes out keeps its channels.
        also: Inputs that run other parts of the model, which cost nothing but have to
            shrink as well; what these leave unused is the caller's to know. By default,
            if the inputs leave parameters unused, the forward of training (the ``loss``
            mode of an OpenMMLab model, train mode of any other): auxiliary heads run in
            training alone. Copies of modules that run follow them; for parameters that
            are unused even then, all that they may read or make keeps its channels.

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
    model = eager_module(model)
    examples = examples_of(inputs)
    recorded = trace(model, examples[0])
    others = [trace(model, extra) for extra in [*examples[1:], *(also or [])]]
    if also is None:
        others += training_traces(model, examples, recorded, others)
    traces = [recorded, *others]
    flow = _followed(model, traces, ignore, tie, whole, complete=also is not None)
    build = partial(_graph_of_flow, model, traces, flow)
    return with_computed_widths(flow, build, examples)


def graph_of_trace(model: nn.Module, recorded: OpTrace) -> ChannelGraph:
    """Build the channel graph from a trace that is there already, as it is."""
    return _graph_of_flow(model, [recorded], _followed(model, [recorded]))


def _followed(
    model: nn.Module,
    traces: Sequence[OpTrace],
    ignore: Sequence[str] = (),
    tie: Sequence[Sequence[str]] = (),
    whole: Sequence[str] = (),
    complete: bool = True,
) -> IdFlow:
    """Note what the rules and the user say of the channels.

    Args:
        model: The model.
        traces: Of its runs.
        ignore: See :func:`channel_graph`, as for the next two.
        tie: See there.
        whole: See there.
        complete: Whether the traces are known to run all that matters.
    """
    _check_modules(model, [*ignore, *whole, *(name for names in tie for name in names)])
    flow = IdFlow(model)
    for one in traces:
        _follow(flow, one, whole)
    if not complete:
        _keep_the_rest(flow, model, traces)
    _freeze_parameters(flow, _left_alone(model, ignore))
    _tie_outputs(flow, tie)
    return flow


def _keep_the_rest(flow: IdFlow, model: nn.Module, traces: Sequence[OpTrace]) -> None:
    """See to parameters that none of the traces has used."""
    unused = unused_parameters(model, *traces)
    called = {of.module for one in traces for of in one.modules}
    found = never_run(model, unused, called)
    follow_copies(flow, model, traces, found.copies)
    rest = keep_what_may_meet(flow, model, traces, found.rest)
    left = [name for name in unused if any(is_inside(name, part) for part in rest)]
    warn_of(NeverRun(found.copies, tuple(rest)), len(left))


def _graph_of_flow(
    model: nn.Module,
    traces: Sequence[OpTrace],
    flow: IdFlow,
    rules: Mapping[type, Sequence[AttributeRule]] | None = None,
) -> ChannelGraph:
    recorded = traces[0]
    classes = resolve(flow.noted)
    counted = counted_lines(recorded, flow, classes.labels)
    table = make_groups(model, flow.noted, classes, counted)
    products = (
        mac_products(recorded, flow, table),
        parameter_products(model, table),
    )
    mixes = any(_mixes(one, flow, table) for one in traces)
    stated = stated_widths(model, traces, flow)
    return ChannelGraph(
        *(model, table, flow.noted.sizes, products, mixes, recorded),
        stated=stated,
        rules=rules,
    )


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
            near = near or difflib.get_close_matches(name, known, n=5)
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
