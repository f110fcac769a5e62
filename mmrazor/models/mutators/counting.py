# A count of one fixed copy tells the cost of all its places at once, so as many counts
# are enough as one place has values. What is left when all places are taken off must be
# the same in every count: that proves that the cost is a sum over places.
"""Find what all values of a search space cost, by a few real counts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from torch import nn

from ...core.cost import Cost, CostTerm, ModuleCost, SpaceCost
from ...core.names import is_inside
from ...core.space import OneOf, SearchSpace
from .counted_places import Place, places_of, run_counted
from .fixing import fixed_copy, mutables_of, space_of

_MOST_COMBINATIONS = 4096
_MIXED_RUNS = 2
_NOTHING = ModuleCost(0, 0)


def count_space(model: nn.Module, inputs: Any) -> SpaceCost:
    """Return the exact cost of any values of a model's search space.

    Args:
        model: Has Mutables; it is left as it was.
        inputs: A tensor, a tuple of arguments or a dict of keyword arguments.

    Raises:
        RuntimeError: If a candidate cannot be run where it stands.
        ValueError: If candidates of a place give outputs of different shape, a Choice
            changes the cost of a module that has nothing to do with it, or there are
            too many values to try.
    """
    space = space_of(mutables_of(model))
    places = places_of(model)
    _check_few(space, places)
    paths = {id(module): path for path, module in model.named_modules()}
    shapes: dict[str, dict[Any, tuple[Any, ...]]] = {}
    uncounted: Counter[str] = Counter()
    base: dict[str, ModuleCost] = {}
    for values in _covering(space, places):
        fixed, copies = fixed_copy(model, values)
        cost = run_counted(fixed, inputs, places, copies, values, shapes)
        uncounted |= Counter(cost.uncounted)
        present = _present(fixed, cost, paths, copies)
        own = _own_costs(present, [place.path for place in places])
        for place in places:
            _note(place, values, own.pop(place.path, None), space)
        base = _same(base, own) if base else own
    terms = [CostTerm(place.path, place.names, place.costs) for place in places]
    known = base | {p.path: _NOTHING for p in places}
    return SpaceCost(known[""], terms, known, uncounted)


def _present(
    fixed: nn.Module, cost: Cost, paths: Mapping[int, str], copies: Mapping[int, Any]
) -> dict[str, ModuleCost]:
    """Return the cost of the modules of a supernet that are in its fixed copy."""
    counted = cost.by_module()
    names = {id(module): name for name, module in fixed.named_modules()}
    return {
        path: counted[names[id(copies[key])]]
        for key, path in paths.items()
        if id(copies.get(key)) in names
    }


def _own_costs(
    present: Mapping[str, ModuleCost], places: Sequence[str]
) -> dict[str, ModuleCost]:
    """Take the places off what is around them; drop what is inside of one."""
    found = {}
    for path, cost in present.items():
        if path not in places and any(is_inside(path, place) for place in places):
            continue
        within = [
            p for p in places if p in present and p != path and is_inside(p, path)
        ]
        outermost = [
            present[p]
            for p in within
            if not any(p != o and is_inside(p, o) for o in within)
        ]
        found[path] = ModuleCost(
            cost.macs - sum(one.macs for one in outermost),
            cost.params - sum(one.params for one in outermost),
        )
    return found


def _note(
    place: Place, values: Mapping[str, Any], cost: ModuleCost | None, space: SearchSpace
) -> None:
    """Note what a place costs with these values; None if it is not there with them."""
    if cost is None:
        # Whether it is there is decided by what is around it alone.
        free = [n for n in place.names if n not in place.around]
        for combination in product(*(space[name].allowed() for name in free)):
            given = {**values, **dict(zip(free, combination, strict=True))}
            place.costs[place.key(given)] = _NOTHING
        return
    before = place.costs.setdefault(place.key(values), cost)
    if before != cost:
        raise ValueError(
            f"The cost of '{place.path}' depends on more than {list(place.names)}: "
            f"{before} and {cost}. Candidates must give outputs of the same shape and "
            "have no weights in common."
        )


def _same(
    base: Mapping[str, ModuleCost], other: Mapping[str, ModuleCost]
) -> dict[str, ModuleCost]:
    """Return the costs that two counts agree on; that of the whole must be one."""
    if base.get("") != other.get(""):
        changed = [p for p in base if p in other and base[p] != other[p]]
        inner = max(changed, key=lambda path: path.count(".") + bool(path))
        raise ValueError(
            f"The cost of the module '{inner}' changes with a Choice that is not in "
            f"it: {base[inner]} and {other[inner]}. Give candidates no weights in "
            "common, and a module that a value changes a MutableValue of its own."
        )
    return {path: cost for path, cost in base.items() if other.get(path) == cost}


def _covering(space: SearchSpace, places: Sequence[Place]) -> Iterator[dict[str, Any]]:
    """Give values until the cost of each place is known for all values it reads."""
    domains = {name: choice.allowed() for name, choice in space.items()}
    left = [
        dict.fromkeys(product(*(domains[name] for name in p.names))) for p in places
    ]
    while any(left):
        values: dict[str, Any] = {}
        for place, keys in zip(places, left, strict=True):
            wanted = (dict(zip(place.names, key, strict=True)) for key in keys)
            values |= next((w for w in wanted if _agree(w, values)), {})
        yield {name: values.get(name, domain[0]) for name, domain in domains.items()}
        for place, keys in zip(places, left, strict=True):
            for key in place.costs:
                keys.pop(key, None)
    rng = random.Random(0)
    for _ in range(_MIXED_RUNS):
        yield {name: rng.choice(domain) for name, domain in domains.items()}


def _agree(wanted: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(values.get(name, value) == value for name, value in wanted.items())


def _check_few(space: SearchSpace, places: Iterable[Place]) -> None:
    for place in places:
        for name in place.names:
            if not isinstance(space[name], OneOf):
                raise ValueError(
                    f"{space[name]} has too many values to try each of them. What kept "
                    "channels cost is told by a CostTable."
                )
        total = prod(space[name].size() for name in place.names)
        if total > _MOST_COMBINATIONS:
            raise ValueError(
                f"'{place.path}' depends on {list(place.names)}, which have {total} "
                f"values together; up to {_MOST_COMBINATIONS} can be tried. Nest fewer "
                "Mutables in each other."
            )
