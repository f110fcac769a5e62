# `x.reshape(B, N, 3, num_heads, C // num_heads)` computes a head's width from the width
# of what comes in; `split(self.width // 2)` computes a width from an attribute. A trace
# shows the numbers, not where they come from. So the model is run with fewer channels
# in what the numbers count; where that fails, remedies are tried in turn (remedies.py),
# those first that leave most to prune. Only one with which the code runs is taken; what
# the small model computes is verified later as ever.
"""Find out how code computes the numbers that count channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from .attribute_rules import AttributeRule
from .channel_graph import ChannelGraph
from .id_flow import IdFlow
from .remedies import Remedy, remedies
from .scaling import scaled_fields
from .slim import slim
from .trace import OpTrace, tensors_in
from .verify import recorded_seeded

Rules = Mapping[type, Sequence[AttributeRule]]
Build = Callable[[Rules], ChannelGraph]
# Each takes a copy of the model and a run of it, up to where it fails.
_MOST_TRIALS = 32
_NAMES = (
    "view _unsafe_view reshape _reshape_alias expand split split_with_sizes chunk "
    "tensor_split slice narrow new_zeros zeros new_ones ones new_full full"
)
_COUNTING = frozenset(f"aten::{name}" for name in _NAMES.split())


def with_computed_widths(
    flow: IdFlow, build: Build, examples: Sequence[Any]
) -> ChannelGraph:
    """Return the channel graph with which code that computes widths still runs.

    Args:
        flow: What the rules of operations noted; ties that are needed are added.
        build: Makes the graph of what the flow noted, with rules for attributes.
        examples: What the model is called with, one after the other.
    """
    return _Adapter(flow, build, examples).settled()


@dataclass(frozen=True)
class _Outcome:
    """What came of running a smaller model.

    Args:
        stack: Modules in which it failed, innermost last; none if it ran.
        recorded: The run on the first example, if all ended.
    """

    stack: Sequence[str]
    recorded: OpTrace | None


class _Adapter:
    def __init__(self, flow: IdFlow, build: Build, examples: Sequence[Any]) -> None:
        self.flow = flow
        self.build = build
        self.examples = examples
        self.rules: dict[type, tuple[AttributeRule, ...]] = {}
        self.kinds: dict[type, list[str]] = {}  # all that pass numbers
        self.hopeless: set[str] = set()  # groups counted where nothing helped

    def settled(self) -> ChannelGraph:
        """Probe and mend until the smaller model runs or nothing helps."""
        graph = self.build(self.rules)
        self.kinds = _counting_modules(graph)
        kinds = dict(self.kinds)
        while kinds:
            places = [name for names in kinds.values() for name in names]
            outcome = self._probed(graph, places)
            if outcome.recorded is not None:
                if not self._forbid_scaled(graph, outcome.recorded):
                    break
                graph = self.build(self.rules)
                continue
            kind = self._blamed(graph, kinds, outcome.stack)
            if kind is None:
                break
            places = kinds[kind]
            mended = self._mended(graph, kind, places)
            if mended is None:
                self.hopeless |= set(graph.counted_in(*kinds.pop(kind)))
            else:
                graph = mended
        return graph

    def _probed(self, graph: ChannelGraph, places: Iterable[str]) -> _Outcome:
        """Run the model with fewer channels in all that some modules count."""
        outcome = _Outcome([], None)
        for kept in self._fewer(graph, places):
            small = slim(graph.model, graph.cuts(kept))
            stack = [""]
            try:
                runs = [recorded_seeded(small, one, stack) for one in self.examples]
            except Exception:  # noqa: BLE001 - user code may raise anything
                return _Outcome(stack, None)
            outcome = _Outcome([], runs[0])
        return outcome

    def _fewer(
        self, graph: ChannelGraph, places: Iterable[str]
    ) -> list[dict[str, range]]:
        """Return kept channels for each run.

        Groups of one size keep different numbers of channels, so that one that stands
        for another shows. Those of two channels cannot: of them every other one stays
        whole, in a second run the rest.
        """
        seen: Counter[int] = Counter()
        runs: list[dict[str, range]] = [{}, {}]
        for name in graph.counted_in(*places):
            if name in self.hopeless:
                continue
            size = graph[name].size
            first = size - max(1, size // 3) - 1
            number = seen[size]
            seen[size] += 1
            kept = range(1 + (first + number) % (size - 1))
            for index, run in enumerate(runs):
                if size > 2 or number % 2 == index:
                    run[name] = kept
        return runs if seen[2] > 1 else runs[:1]

    def _blamed(
        self,
        graph: ChannelGraph,
        kinds: Mapping[type, Sequence[str]],
        stack: Sequence[str],
    ) -> type | None:
        """Return the class whose numbers alone make the model fail."""
        order = [type(graph.model.get_submodule(name)) for name in reversed(stack)]
        near = [kind for kind in dict.fromkeys(order) if kind in kinds]
        for kind in [*near, *(kind for kind in kinds if kind not in near)]:
            if self._probed(graph, kinds[kind]).stack:
                return kind
        return None

    def _mended(
        self, graph: ChannelGraph, kind: type, places: Sequence[str]
    ) -> ChannelGraph | None:
        """Return the graph with the first remedy that helps the modules of a class."""
        before = self._place(graph, places)
        trials = remedies(graph, self.flow, places, self._fewer(graph, places))
        for _, remedy in zip(range(_MOST_TRIALS), trials, strict=False):
            if not self._tried(graph, places, before, kind, remedy):
                continue
            for name in remedy.ties if len(remedy.ties) > 1 else ():
                less = remedy.without(name)
                if self._tried(graph, places, before, kind, less):
                    remedy = less
            mended = self._with(graph, kind, remedy)
            self.rules[kind] = remedy.rules
            return mended
        return None

    def _place(self, graph: ChannelGraph, places: Sequence[str]) -> type | None:
        """Return the innermost class that computes widths and in which a run fails.

        ``nn.Module`` stands for none of them, None for a run that does not fail.
        """
        stack = self._probed(graph, places).stack
        for name in reversed(stack):
            kind = type(graph.model.get_submodule(name))
            if kind in self.kinds:
                return kind
        return nn.Module if stack else None

    def _tried(
        self,
        graph: ChannelGraph,
        places: Sequence[str],
        before: type | None,
        kind: type,
        remedy: Remedy,
    ) -> bool:
        """Tell whether the modules of a class do not fail any more with a remedy.

        What fails inside of a module of another class that computes widths is not the
        fault of this one.
        """
        with self.flow.trying():
            candidate = self._with(graph, kind, remedy)
            if set(candidate.unprunable) - set(graph.unprunable):
                return False  # what does not shrink does not fail
            after = self._place(candidate, places)
        return after is None or (before is kind and after not in (kind, nn.Module))

    def _with(self, graph: ChannelGraph, kind: type, remedy: Remedy) -> ChannelGraph:
        rules = {**self.rules, kind: remedy.rules}
        if not remedy.ties:
            return graph.with_rules(rules)
        remedy.apply_(self.flow)
        return self.build(rules)

    def _forbid_scaled(self, graph: ChannelGraph, recorded: OpTrace) -> bool:
        """Keep dims whose size code turns into a factor; tell whether there are any."""
        frozen = len(self.flow.noted.frozen)
        forbidden = sum(len(grid.forbidden) for grid in self.flow.noted.grids)
        for call, fields in scaled_fields(graph.recorded, recorded, self.flow):
            self.flow.call = call
            for field, dim in fields:
                self.flow.forbid(field, dim, "is counted by a factor")
        self.flow.call = None
        after = sum(len(grid.forbidden) for grid in self.flow.noted.grids)
        return len(self.flow.noted.frozen) > frozen or after > forbidden


def _counting_modules(graph: ChannelGraph) -> dict[type, list[str]]:
    """Return the modules that pass numbers of channels in their own code, by class.

    Flat results are left out: the number of rows counts no channels, and the rest is
    left to torch.
    """
    passing = {
        call.module
        for call in graph.recorded.calls
        if call.name in _COUNTING and any(t.dim() > 2 for t in tensors_in(call.result))
    }
    kinds: dict[type, list[str]] = {}
    for name, module in graph.model.named_modules():
        if name in passing and not _is_of_torch(module) and graph.counted_in(name):
            kinds.setdefault(type(module), []).append(name)
    return kinds


def _is_of_torch(module: nn.Module) -> bool:
    """Tell whether a module is one of torch's layers, or made from one."""
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch.nn."):
            return kind not in (nn.Module, nn.Sequential)
    return False
