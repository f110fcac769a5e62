# Code may count on a width in ways that no trace shows (a head's width computed from
# the embedding's). Running the small model tells; then the groups involved are frozen
# with the reason, and the rest goes on.
"""Slim a model, check it, and freeze the groups that break it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ..forward import examples_of
from ..names import is_inside
from .channel_graph import ChannelGraph
from .cuts import Cuts
from .failing import Run, failing_modules, inference
from .slim import slim
from .trace import OpTrace, tensors_in
from .verify import (
    TOLERANCE,
    UnverifiableError,
    recorded_seeded,
    unsteadiness,
    verify_cuts,
)

Kept = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Checked:
    """A slimmed model that passed.

    Args:
        model: The smaller model.
        kept: Kept channels by group.
        cuts: What it was made from.
        max_difference: To the silenced original, relative.
        recorded: What the smaller model did with the inputs.
    """

    model: nn.Module
    kept: dict[str, list[int]]
    cuts: Cuts
    max_difference: float
    recorded: OpTrace


def checked_slimming(
    graph: ChannelGraph,
    choose: Callable[[ChannelGraph], Kept],
    inputs: Any,
    trial: Run | None = None,
) -> Checked:
    """Slim a model to the channels chosen; freeze groups that break it and go on.

    Args:
        graph: The model's channel graph; groups that break the model are frozen in it.
        choose: Returns kept channels for the groups that are left. Called again after
            groups were frozen.
        inputs: What the model is called with, or a list of such inputs: the small
            model is compared on each.
        trial: Runs the small model in another way, such as a step of training; what it
            raises counts as broken. The model itself has to pass.

    Returns:
        A model whose output equals the silenced original's, to 1e-4.

    Raises:
        ValueError: Whatever ``choose`` raises.
        UnverifiableError: If no number comes out that could be compared.
        RuntimeError: If the model is random in eval mode, so that nothing can be
            checked.
    """
    if any(bool(tensor.isnan().any()) for tensor in tensors_in(graph.recorded.output)):
        print_log(
            f"What {type(graph.model).__name__} returns on the example inputs holds "
            "nan, which is not compared. Give inputs with which it does not.",
            logger="current",
            level=30,
        )
    examples = examples_of(inputs)
    failed: dict[str, int] = {}
    blamed: dict[type, set[str]] = {}
    while True:
        kept = {name: list(indices) for name, indices in choose(graph).items()}
        cuts = graph.cuts(kept)
        small = slim(graph.model, cuts)
        run: Run = partial(inference, inputs=examples[0])
        problem = None
        try:
            recorded = recorded_seeded(small, examples[0])
            difference = verify_cuts(graph, kept, cuts, small, examples[0], recorded)
            for extra in examples[1:]:
                run = partial(inference, inputs=extra)
                other = verify_cuts(graph, kept, cuts, small, extra)
                difference = max(difference, other)
            if difference > TOLERANCE:
                problem = f"output differs by {difference:.2g}"
            elif trial is not None:
                run = trial
                trial(small)
        except UnverifiableError:
            raise
        except Exception as err:  # noqa: BLE001 - user code may raise anything
            problem = (
                f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}"
            )
        if problem is None:
            return Checked(small, kept, cuts, difference, recorded)
        breaks = partial(_breaks, graph, examples=examples, trial=trial)
        inner = failing_modules(small, run)
        module = inner[-1] if inner else None
        raises = partial(_raises, graph, run=run)
        culprits, place = _culprits(graph, kept, module, breaks, raises, failed)
        if module is None and _is_unsteady(graph, examples):
            problem += "; it gives other values each time it runs in eval mode"
            if not _some_pass(graph, kept, culprits):
                raise RuntimeError(
                    f"{type(graph.model).__name__} gives other values each time it "
                    "runs in eval mode, so that pruned channels cannot be checked. "
                    "Take out what is random."
                )
        if not culprits:
            raise RuntimeError(
                f"A copy of {type(graph.model).__name__} without any channel dropped "
                f"does not do what the original does ({problem})."
            )
        if module is not None:
            kind = type(graph.model.get_submodule(module))  # a cut may replace it
            blamed.setdefault(kind, set()).add(module)
            culprits += _alike(graph, culprits, module, blamed)
        graph.freeze(culprits, f"breaks the model{place} ({problem})")
        print_log(
            f"Not pruned, because it breaks the model{place}: {', '.join(culprits)}. "
            f"{problem}",
            logger="current",
            level=30,
        )


def _culprits(
    graph: ChannelGraph,
    kept: Kept,
    module: str | None,
    breaks: Callable[[Kept], bool],
    raises: Callable[[Kept], bool],
    failed: dict[str, int],
) -> tuple[list[str], str]:
    """Return the groups to blame, and where."""
    pruned = [g for g in graph.groups if len(kept.get(g.name, range(g.size))) < g.size]
    if module:
        failed[module] = failed.get(module, 0) + 1
        names = {group.name for group in pruned}
        counted = [name for name in graph.counted_in(module) if name in names]
        inside = [
            g.name
            for g in pruned
            if any(is_inside(name, module) for name in g.modules())
        ]
        # first those that a number in the code counts, then all that pass through
        found = counted if counted and failed[module] == 1 else inside
        if found:
            return _bisected(kept, found, raises) or found, f" in '{module}'"
    return _bisected(kept, [g.name for g in pruned], breaks), ""


def _alike(
    graph: ChannelGraph,
    culprits: list[str],
    module: str,
    blamed: Mapping[type, set[str]],
) -> list[str]:
    """Return the groups that take the culprits' place in other modules of the class.

    Only when a second module of the class breaks: one may be a special case.
    """
    inner = graph.model.get_submodule(module)
    if len(blamed[type(inner)]) < 2:
        return []
    inside = {name[len(module) :] for name in culprits if name.startswith(f"{module}.")}
    known = {group.name for group in graph.groups} - set(culprits)
    return [
        name + rest
        for name, other in graph.model.named_modules()
        if type(other) is type(inner)
        for rest in sorted(inside)
        if name + rest in known
    ]


def _some_pass(graph: ChannelGraph, kept: Kept, culprits: list[str]) -> bool:
    """Return whether some group that loses channels is not to blame."""
    blamed = set(culprits)
    return any(
        len(kept[group.name]) < group.size
        for group in graph.groups
        if group.name in kept and group.name not in blamed
    )


def _raises(graph: ChannelGraph, kept: Kept, run: Run) -> bool:
    """Return whether the model with these channels does not run."""
    return bool(failing_modules(slim(graph.model, graph.cuts(kept)), run))


def _is_unsteady(graph: ChannelGraph, examples: Sequence[Any]) -> bool:
    return any(unsteadiness(graph.model, one) > TOLERANCE for one in examples)


def _breaks(
    graph: ChannelGraph, kept: Kept, examples: Sequence[Any], trial: Run | None
) -> bool:
    """Return whether the model with these channels is wrong or does not run."""
    cuts = graph.cuts(kept)
    try:
        small = slim(graph.model, cuts)
        for inputs in examples:
            if verify_cuts(graph, kept, cuts, small, inputs) > TOLERANCE:
                return True
        if trial is not None:
            trial(small)
    except Exception:  # noqa: BLE001 - user code may raise anything
        return True
    return False


def _bisected(
    kept: Kept, names: list[str], breaks: Callable[[Kept], bool]
) -> list[str]:
    """Return groups without which the model is right, by trying halves."""
    if not names or not breaks({name: kept[name] for name in names}):
        return []
    if len(names) == 1:
        return names
    middle = len(names) // 2
    first = _bisected(kept, names[:middle], breaks)
    second = _bisected(kept, names[middle:], breaks)
    return [*first, *second] or names
