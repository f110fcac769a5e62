# Fake quantization goes to where a runtime has integers: behind the call that makes a
# value, past what the runtime computes with it (batch norm, relu), so that everybody
# who reads the value reads the same integers. What is computed from no weights' results
# or leads to none, such as the decoding of boxes, stays in float.
"""Where a model is quantized: pure functions of a run and a backend's table."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatch

from torch import nn

from ...core.names import is_inside
from .backends import Backend
from .dependence import from_inputs, from_products, to_products, to_softmax
from .flow import Call, Flow
from .functions import FUSED, MOVES, WEIGHTED, pads_images
from .places import Places, Weight
from .sites import Site, flat_tensors


def places_of(flow: Flow, backend: Backend, ignore: tuple[str, ...] = ()) -> Places:
    """Return where a model is quantized for a backend.

    Args:
        flow: A run of it.
        backend: What it takes.
        ignore: Names of modules that stay in float with all inside, or patterns.
    """
    return _Placing(flow, backend, ignore).done()


class _Placing:
    def __init__(self, flow: Flow, backend: Backend, ignore: tuple[str, ...]) -> None:
        self.flow, self.backend, self.ignore = flow, backend, ignore
        self.places = Places()
        self.moved: dict[int, Site] = {}  # by value, whose output it is
        self.moving = from_inputs(flow)
        self.made = from_products(flow, self.moving)
        self.used = to_products(flow)
        self.scores = to_softmax(flow)

    def done(self) -> Places:
        for call in self.flow.calls:
            if call.macs or call.uncounted:
                site = call.label or call.site
                macs = self.places.macs
                macs[site] = macs.get(site, 0) + call.macs
            if call.label is not None:
                name = self.backend.name
                why = f"{name} takes no {call.label.kind}"
                self.places.left_alone.setdefault(call.label, why)
                before = self.places.uncounted.get(call.label, ())
                names = dict.fromkeys((*before, *call.uncounted))
                self.places.uncounted[call.label] = tuple(names)
            if call.kind not in self.backend.kinds:
                if call.kind in WEIGHTED:
                    self._leave(call, f"{self.backend.name} takes no {call.kind}")
                continue
            reason = self._refusal(call)
            if reason is None:
                self._quantize(call)
            elif reason:
                self._leave(call, reason)
        for site in self.places.left_alone:
            self.places.weights.pop(site, None)
        self._share()
        self.places.moved = self._moves()
        self.places.last = self._last()
        return self.places

    def _leave(self, call: Call, reason: str) -> None:
        self.places.left_alone.setdefault(call.site, reason)

    def _refusal(self, call: Call) -> str | None:
        """Return why a call stays in float: '' if nobody would ask."""
        if any(is_in(call.site.module, name) for name in self.ignore):
            return "is to be ignored"
        floats = [value for value in call.inputs if value in self.flow.floats]
        if call.kind in WEIGHTED:
            if call.inputs[1] in self.moving:
                return "has a weight that depends on the input"
            moves = call.inputs[0] in self.moving
            return None if moves else "is given what depends on no input"
        if call.kind == "matmul":
            inside = len(floats) == 2 and any(value in self.moving for value in floats)
            return None if inside else "multiplies what depends on no input"
        if not self.scores.isdisjoint(call.outputs):
            return ""  # a mask is added, which may be -inf
        number = sum(value in self.made for value in floats)
        if number < len(floats) or number < (1 if call.kind == "avg_pool" else 2):
            return ""
        return None if any(value in self.used for value in call.outputs) else ""

    def _quantize(self, call: Call) -> None:
        if call.kind in WEIGHTED:
            self._need(call, 0)
            self.places.weights[call.site] = _weight_of(call, self.flow)
        else:
            for place, value in enumerate(call.inputs):
                if value in self.flow.floats:
                    self._need(call, place)
        if call.kind in self.backend.outputs:
            self._output(_end_of(call, self.flow))

    def _need(self, call: Call, place: int) -> None:
        """Have an input quantized: where it is made if that is a site, or else here."""
        value, moves = _before_moves(call.inputs[place], self.flow)
        maker = self.flow.makers.get(value)
        if maker is None or maker.kind == "other":
            self.places.inputs.setdefault((call.site, place), f"value_{value}")
            return
        self._output(maker)
        where = call.site, place
        if self.places.sources.setdefault(where, maker.site) != maker.site:
            self.places.mixed.add(where)
        self.moved |= {move.outputs[0]: maker.site for move in moves}

    def _moves(self) -> dict[Site, Site]:
        """Return the sites that always move what one other site has made.

        Padding that a runtime leaves to the convolutions behind it is none of them:
        it does so if nothing stands between.
        """
        sources: defaultdict[Site, set[Site | None]] = defaultdict(set)
        for call in self.flow.calls:
            if call.kind in MOVES:
                source = self.moved.get(call.outputs[0])
                fused = _is_padding(call, self.flow)
                sources[call.site].add(None if fused else source)
        found = {site: next(iter(s)) for site, s in sources.items() if len(s) == 1}
        return {site: source for site, source in found.items() if source is not None}

    def _last(self) -> set[Site]:
        calls = [call for call in self.flow.calls if call.macs and call.label is None]
        ends = [call for call in calls if self.used.isdisjoint(call.outputs)]
        return {c.site for c in ends if not self.moving.isdisjoint(c.inputs)}

    def _output(self, call: Call) -> None:
        self.places.outputs.setdefault(call.site, f"{call.site}")

    def _share(self) -> None:
        """Name quantizers after places, one for each value; share where asked to."""
        first: dict[str, str] = {}
        for (site, place), value in self.places.inputs.items():
            first.setdefault(value, f"{site}.in{place}")
            self.places.inputs[site, place] = first[value]
        for call in self.flow.calls:
            if call.kind in self.backend.shared and call.site in self.places.outputs:
                self._share_with_inputs(call)

    def _share_with_inputs(self, call: Call) -> None:
        name = self.places.outputs[call.site]
        for place, value in enumerate(call.inputs):
            before, _ = _before_moves(value, self.flow)
            maker = self.flow.makers.get(before)
            if maker is not None and maker.site in self.places.outputs:
                self.places.outputs[maker.site] = name
            elif (call.site, place) in self.places.inputs:
                self.places.inputs[call.site, place] = name


def is_in(module: str, name: str) -> bool:
    """Tell whether a module is one of a name or pattern, or inside it.

    Example:
        >>> is_in('neck.convs.0.conv', 'neck'), is_in('neck.convs.0.conv', '*.convs.?')
        (True, True)
    """
    parts = module.split(".")
    outer = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return is_inside(module, name) or any(fnmatch(one, name) for one in outer)


def check_names(model: nn.Module, names: Iterable[str]) -> None:
    """Check that a model has a module of each name or pattern.

    Raises:
        ValueError: If it has not; the text names what comes near.
    """
    known = [name for name, _ in model.named_modules()]
    for name in names:
        if any(is_in(module, name) for module in known):
            continue
        near = difflib.get_close_matches(name, known, n=3)
        hint = f" Near it are {near}." if near else ""
        raise ValueError(
            f"{type(model).__name__} has no module '{name}', and none that it matches "
            f"as a pattern.{hint} See model.named_modules()."
        )


def edges_of(flow: Flow) -> set[str]:
    """Return the modules that call the first and the last layer with a weight."""
    order = [call.site.module for call in flow.calls if call.kind in WEIGHTED]
    return {order[0], order[-1]}


def _weight_of(call: Call, flow: Flow) -> Weight:
    groups = 1
    if call.kind != "linear":
        given = call.args[6] if len(call.args) > 6 else 1
        groups = call.kwargs.get("groups", given)
    axis = 1 if call.kind == "conv_transpose" else 0
    value = call.inputs[1]
    before, _ = _before_moves(value, flow)
    numel = flat_tensors(call.args, call.kwargs)[1].numel()
    return Weight(flow.names.get(value), axis, groups, flow.names.get(before), numel)


def _before_moves(value: int, flow: Flow) -> tuple[int, list[Call]]:
    """Return what a value was before it was moved, and the calls that moved it."""
    moves = []
    maker = flow.makers.get(value)
    while maker is not None and maker.kind in MOVES:
        moves.append(maker)
        value = maker.inputs[0]
        maker = flow.makers.get(value)
    return value, moves


def _end_of(call: Call, flow: Flow) -> Call:
    """Return the last call of those that a runtime computes together with this one."""
    while True:
        following = flow.sole_user(call.outputs[0])
        if following is None or following.kind not in FUSED:
            return call
        if following.inputs[0] != call.outputs[0]:
            return call
        call = following


def _is_padding(call: Call, flow: Flow) -> bool:
    """Tell whether a call pads images that convolutions alone read."""
    if not pads_images(call.func, call.args, call.kwargs):
        return False
    users = flow.users.get(call.outputs[0], [])
    alone = call.outputs[0] not in flow.results
    return alone and all(one.kind == "conv" and place == 0 for one, place in users)
