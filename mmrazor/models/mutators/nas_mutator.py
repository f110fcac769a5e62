# MMRazor's NasMutator with NNI's idea that alternatives stand in a config. What a
# candidate is worth is a searcher's affair; what it costs is found here, once.
"""Make an Architecture searchable, from a config or because it is made so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.random import Generator
from torch import nn

from ...core.cost import SpaceCost
from ...core.space import SearchSpace
from ...core.values import check_spec
from ...registry import MODELS
from ..mutables import Mutable
from .counting import count_space
from .fixing import fixed_copy, mutables_of, space_of
from .places import replace_


@MODELS.register_module()
class NasMutator:
    """Find the Mutables of an Architecture, and put some where a config says.

    Args:
        places: By a pattern of module names, the config of the Mutable that takes the
            place. ``*`` stands for any text. In the config, the value ``'original'`` is
            the module that stands there and ``'{name}'`` an attribute of it. Mutables
            with the same ``name`` share one decision; without a name each has its own.

    Raises:
        ValueError: When called, if a pattern names no module, Mutables of one name
            have different values, or there is nothing to search.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        >>> mutator = NasMutator({'0': dict(
        ...     type='OneShotMutableOP',
        ...     candidates=dict(k3='original', k5=dict(
        ...         type='torch.nn.Conv2d', in_channels='{in_channels}',
        ...         out_channels='{out_channels}', kernel_size=5, padding=2)))})
        >>> model = mutator(model)
        >>> mutator.space['0.op'].values
        ('k3', 'k5')
        >>> mutator.fixed(model, {'0.op': 'k5'})[0].kernel_size
        (5, 5)
        >>> mutator.space_cost(model, torch.zeros(1, 3, 4, 4)).cost({'0.op': 'k5'})
        TableCost(macs=9600, params=608)
    """

    def __init__(self, places: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        check_spec("places", places or {})
        for name, place in (places or {}).items():
            check_spec(f"place '{name}'", place)
        self._places = dict(places or {})
        self._mutables: dict[str, Mutable] = {}
        self._space = SearchSpace()

    def __call__(self, model: nn.Module) -> nn.Module:
        """Change a model in place, and return it; its space is known from then on."""
        replace_(model, self._places)
        mutables = mutables_of(model)
        for path, mutable in mutables.items():
            mutable.name_(path)
        _tie_(mutables)
        space = space_of(mutables)
        if not len(space):
            raise ValueError(
                f"{type(model).__name__} has nothing to search: no Mutable is in it. "
                "Name modules and alternatives, NasMutator(places={'backbone.layer1.*."
                "conv2': dict(type='OneShotMutableOP', candidates=...)}), or take a "
                "backbone such as mmrazor.SearchableShuffleNetV2."
            )
        self._mutables, self._space = mutables, space
        return model

    @property
    def space(self) -> SearchSpace:
        """All Choices of the model."""
        self._check_called()
        return self._space

    @property
    def mutables(self) -> dict[str, Mutable]:
        """The Mutables of the model by path."""
        self._check_called()
        return dict(self._mutables)

    def drawn(self, rng: Generator) -> dict[str, Any]:
        """Draw a value for every Choice, with the probabilities of its Mutable."""
        values: dict[str, Any] = {}
        for mutable in self.mutables.values():
            # Of Mutables that share a Choice the first draws.
            if any(choice.name not in values for choice in mutable.choices()):
                values = {**mutable.drawn(rng), **values}
        return self.space.validate(values)

    def derived(self) -> dict[str, Any]:
        """Return the values that architecture parameters prefer, or that are selected.

        See :meth:`~mmrazor.models.mutables.Mutable.derived`.
        """
        values: dict[str, Any] = {}
        for mutable in self.mutables.values():
            values |= mutable.derived()
        return self.space.validate(values)

    def fixed(self, model: nn.Module, values: Mapping[str, Any]) -> nn.Module:
        """Return a plain copy of the model, with the values fixed.

        In it each Mutable is replaced by what it becomes, so that ``backbone.layer1``
        has the state-dict keys of its selected candidate. The copy shares nothing with
        the model.

        Args:
            model: The model that this was called with, or a copy of it.
            values: Of every Choice.

        Raises:
            ValueError: If the values do not fit.
        """
        return fixed_copy(model, self.space.validate(values))[0]

    def space_cost(self, model: nn.Module, inputs: Any) -> SpaceCost:
        """Return the exact cost of any values, found by a few forwards of the model.

        It runs about as often as the largest Choice has values; every candidate runs.

        Args:
            model: The model that this was called with, or a copy of it.
            inputs: What it is called with; see ``mmrazor.example_inputs``.

        Raises:
            RuntimeError: If a candidate cannot be run where it stands.
            ValueError: If candidates of a place give outputs of different shape, or a
                Choice changes the cost of a module that has nothing to do with it.
        """
        self._check_called()
        return count_space(model, inputs)

    def _check_called(self) -> None:
        if not self._mutables:
            raise ValueError(
                "NasMutator has no search space yet. Call it with a model first: "
                "model = mutator(model)."
            )


def _tie_(mutables: Mapping[str, Mutable]) -> None:
    """Let Mutables whose Choices have one name share them."""
    first: dict[tuple[str, ...], str] = {}
    for path, mutable in mutables.items():
        names = tuple(choice.name for choice in mutable.choices())
        other = mutables[first.setdefault(names, path)]
        if other is not mutable and names:
            try:
                mutable.tie_(other)
            except ValueError as err:
                raise ValueError(
                    f"'{first[names]}' and '{path}' both have the name "
                    f"{' '.join(names)}. {err}"
                ) from err
