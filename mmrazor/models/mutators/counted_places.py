"""The modules whose cost depends on Choices, and a count that watches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ...core.cost import Cost, ModuleCost, count_cost
from ...core.forward import map_tensors
from ...core.names import is_inside
from ..mutables import MutableValue
from .fixing import mutables_of

Shapes = dict[str, dict[Any, tuple[Any, ...]]]


@dataclass(frozen=True)
class Place:
    """A module whose cost depends on Choices: a Mutable, or what reads a MutableValue.

    Args:
        path: Its path in the supernet.
        module: The module.
        around: Choices of the places that it is inside of.
        names: All Choices that it depends on: those around it, then its own.
        costs: Its cost by their values, as far as they are known.
    """

    path: str
    module: nn.Module
    around: tuple[str, ...]
    names: tuple[str, ...]
    costs: dict[tuple[Any, ...], ModuleCost] = field(default_factory=dict)

    def key(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values of its Choices."""
        return tuple(values[name] for name in self.names)


def places_of(model: nn.Module) -> list[Place]:
    """List the modules of a model whose cost depends on Choices."""
    modules = dict(model.named_modules())
    own: dict[str, tuple[str, ...]] = {}
    for path, mutable in mutables_of(model).items():
        names = tuple(choice.name for choice in mutable.choices())
        readers = [path]
        if isinstance(mutable, MutableValue):
            readers = [p for p, m in modules.items() if mutable in m.children()]
        for reader in readers:
            own[reader] = (*own.get(reader, ()), *names)
    places = []
    for path, names in own.items():
        outer = [own[p] for p in own if p != path and is_inside(path, p)]
        around = tuple(dict.fromkeys(name for names in outer for name in names))
        every = tuple(dict.fromkeys((*around, *names)))
        places.append(Place(path, modules[path], around, every))
    return places


def run_counted(
    fixed: nn.Module,
    inputs: Any,
    places: Sequence[Place],
    copies: Mapping[int, Any],
    values: Mapping[str, Any],
    shapes: Shapes,
) -> Cost:
    """Count a fixed copy and see what its places give out.

    Args:
        fixed: The copy.
        inputs: What it is called with.
        places: Of the supernet.
        copies: What became of each module of the supernet, by its ``id``.
        values: The values that are fixed.
        shapes: Shapes that each place gave out, by the values of its Choices; what is
            seen is added.

    Raises:
        RuntimeError: If what was selected for a place cannot be run.
        ValueError: If a place gives out another shape than with other values.
    """
    watch = _Watch(shapes, values)
    with ExitStack() as stack:
        for place in places:
            copy = copies.get(id(place.module))
            if copy is not None:
                for handle in watch.follow(place, copy):
                    stack.callback(handle.remove)
        try:
            cost = count_cost(fixed, inputs)
        except Exception as err:
            # A wrong shape shows in the module after; say so before that one's fault.
            watch.check()
            if not watch.running:
                raise
            place = watch.running[-1]
            raise RuntimeError(
                f"What is selected for '{place.path}' cannot be run there "
                f"({watch.shown(place)}): {type(err).__name__}: {err}. Make the "
                "candidate take what the module it stands for takes."
            ) from err
    watch.check()
    return cost


class _Watch:
    """Notes which place runs and the shapes that it gives out."""

    def __init__(self, shapes: Shapes, values: Mapping[str, Any]) -> None:
        self.shapes = shapes
        self.values = values
        self.running: list[Place] = []
        self.seen: list[tuple[Place, Any]] = []

    def follow(self, place: Place, module: nn.Module) -> list[Any]:
        def enter(*_: Any) -> None:
            self.running.append(place)

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            self.running.pop()
            self.seen.append((place, map_tensors(output, _shape)))

        enters = module.register_forward_pre_hook(enter)
        return [enters, module.register_forward_hook(leave)]

    def check(self) -> None:
        """Compare with what the places gave out in other runs.

        Raises:
            ValueError: If one gave another shape.
        """
        outputs: dict[str, tuple[Any, ...]] = {}
        by_path = {place.path: place for place, _ in self.seen}
        for place, shape in self.seen:
            outputs[place.path] = (*outputs.get(place.path, ()), shape)
        for path, given in outputs.items():
            place = by_path[path]
            if not hasattr(place.module, "choices"):
                continue  # a module may read a value for the size of its output
            earlier = self.shapes.setdefault(path, {})
            for shown, other in earlier.items():
                if other[: len(given)] != given:
                    raise ValueError(
                        f"The candidates of '{path}' give outputs of different shape: "
                        f"{_listed(other)} with {shown}, and {_listed(given)} with "
                        f"{self.shown(place)}. Make them agree, for example in stride, "
                        "padding and channels."
                    )
            earlier[self.shown(place)] = given

    def shown(self, place: Place) -> str:
        return ", ".join(f"{name}={self.values[name]!r}" for name in place.names)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _listed(shapes: tuple[Any, ...]) -> str:
    return " and ".join(map(str, dict.fromkeys(map(str, shapes))))
