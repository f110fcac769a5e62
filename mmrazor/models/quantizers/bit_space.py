# The widths are data of the quantizers that are there already: nothing is put into the
# model, and what a Subnet costs is a sum over a table.
"""The bit-widths of weights as a SearchSpace, and the bytes of every Subnet."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast, final

from torch import nn

from ...core.space import OneOf, SearchSpace
from .base import BaseFakeQuantize
from .places import Weight
from .quantizer import Quantizer
from .sites import Site
from .stored_size import stored_size


@final
class BitSpace:
    """The Choices of a calibrated Quantizer's weights, and what they cost.

    A Choice is named after the module that multiplies, ``backbone.conv1.bits``, or
    after the site if that has several weights, ``attention:linear.1.bits``. Layers
    share it if their weights are one parameter, or their settings have one ``name``.

    Args:
        model: The model.
        quantizer: Prepared for it, and calibrated.

    Attributes:
        space: The Choices, in the order of the run.
        sites: By Choice, the layers that it is for.
        fixed_bytes: Bytes of all parameters that have no Choice, as they are stored.

    Raises:
        ValueError: If no weight has several bit-widths, or layers that share a Choice
            have others to choose from.

    Example:
        >>> import torch
        >>> from mmrazor.models.quantizers import calibrate_
        >>> net, data = nn.Sequential(nn.Linear(8, 4, bias=False)), [torch.rand(2, 8)]
        >>> quantizer = Quantizer('generic', weight=dict(bits=[8, 4]))
        >>> quantizer.prepare_(net, data[0])
        >>> calibrate_(net, quantizer, data)
        >>> bits = BitSpace(net, quantizer)
        >>> bits.costs({'0.bits': 8}), bits.costs({'0.bits': 4})
        ({'size_bytes': 48}, {'size_bytes': 32})
    """

    def __init__(self, model: nn.Module, quantizer: Quantizer) -> None:
        modules = _named_and_tied(model, quantizer)
        self.space = SearchSpace(_choice(m) for m in modules.values())
        if self.space.size() < 2:
            raise ValueError(
                f"No weight of {type(model).__name__} has several bit-widths to choose "
                "from. List them, the widest first: weight=dict(bits=[8, 4])."
            )
        self.sites: dict[str, list[Site]] = {name: [] for name in self.space}
        for site, module in modules.items():
            self.sites[_choice(module).name].append(site)
        size = stored_size(model, quantizer)
        self._table = {
            name: {
                bits: sum(
                    size.weights[site].num_bytes(bits)
                    for site in self.sites[name]
                    if site in size.weights
                )
                for bits in cast("tuple[int, ...]", cast(OneOf, choice).values)
            }
            for name, choice in self.space.items()
        }
        self.fixed_bytes = size.rest + sum(
            weight.num_bytes(quantizer.step_at(site).weight.settings_now.bits)
            for site, weight in size.weights.items()
            if site not in modules
        )

    def widths(self, name: str) -> list[int]:
        """Return the bit-widths of a Choice, widest first."""
        return sorted(self._table[name], reverse=True)

    def num_bytes(self, name: str, bits: int) -> int:
        """Return the bytes of what a Choice is for, at a width."""
        return self._table[name][bits]

    def uniform(self, bits: int) -> dict[str, int]:
        """Return for each Choice its widest width up to some, or else its narrowest.

        Args:
            bits: At most so many, where there is a choice.
        """
        fitting = {
            name: [width for width in self.widths(name) if width <= bits]
            for name in self.space
        }
        return {
            name: found[0] if found else self.widths(name)[-1]
            for name, found in fitting.items()
        }

    def widest(self) -> dict[str, int]:
        """Return the widest width of each Choice."""
        return {name: self.widths(name)[0] for name in self.space}

    def costs(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Return the bytes of all parameters as they are stored, as ``size_bytes``."""
        sizes = (self._table[name][bits] for name, bits in values.items())
        return {"size_bytes": self.fixed_bytes + sum(sizes)}

    def range(self) -> dict[str, tuple[float, float]]:
        """Return the least and the greatest cost; both are reached."""
        least = sum(min(sizes.values()) for sizes in self._table.values())
        most = sum(max(sizes.values()) for sizes in self._table.values())
        return {"size_bytes": (self.fixed_bytes + least, self.fixed_bytes + most)}

    def by_site(self, values: Mapping[str, Any]) -> dict[str, int]:
        """Return the bit-width of each layer, by its name in reports."""
        return {
            f"{site}": values[name] for name in self.space for site in self.sites[name]
        }


def _choice(module: BaseFakeQuantize) -> OneOf:
    return cast(OneOf, module.choices()[0])


def _named_and_tied(
    model: nn.Module, quantizer: Quantizer
) -> dict[Site, BaseFakeQuantize]:
    """Name the Choices, share those that are one; return the layers that have some."""
    places = quantizer.places.weights
    found = {site: quantizer.step_at(site).weight for site in places}
    counts = Counter(site.module for site in places)
    for site, module in found.items():
        module.name_(site.module if counts[site.module] == 1 else f"{site}")
    same: defaultdict[Any, list[Site]] = defaultdict(list)
    for site, module in found.items():
        whole = _whole_parameter(model, places[site])
        if whole is not None:
            same["parameter", whole].append(site)
        for choice in module.choices():
            same["name", choice.name].append(site)
    for sites in same.values():
        _tie_(sites, found)
    return {site: module for site, module in found.items() if module.choices()}


def _whole_parameter(model: nn.Module, weight: Weight) -> str | None:
    """Return the parameter that a weight is, in any order; None for a part of one."""
    if weight.parameter is None:
        return None
    numel = model.get_parameter(weight.parameter).numel()
    return weight.parameter if numel == weight.numel else None


def _tie_(sites: Iterable[Site], modules: Mapping[Site, BaseFakeQuantize]) -> None:
    first, *others = sites
    for site in others:
        one, other = modules[first], modules[site]
        if one is other or not (one.choices() or other.choices()):
            continue
        try:
            other.tie_(one)
        except ValueError as err:
            raise ValueError(
                f"'{first}' and '{site}' have one bit-width, as their weights are one "
                f"parameter or their settings have one name. {err}"
            ) from err
