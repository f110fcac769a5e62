"""Where the quantizers of a model stand."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import nn

from .sites import Site


@dataclass(frozen=True)
class Weight:
    """A weight that is quantized.

    Args:
        name: Of the parameter that it is, with all its elements in their order; None
            if it is a part of one, or computed in a forward.
        axis: Of its output channels.
        groups: Of the convolution, 1 for others.
        parameter: Name of the parameter that its elements are those of; None if it is
            computed.
        numel: Number of its elements.
    """

    name: str | None
    axis: int
    groups: int = 1
    parameter: str | None = None
    numel: int = 0


@dataclass
class Places:
    """Where quantizers stand.

    Args:
        outputs: By site, the quantizer of what it returns.
        inputs: By site and place among its tensors, the quantizer of an input.
        sources: By site and place, the site whose output a quantized input is.
        mixed: Those of them that are given outputs of several sites in turn, of which
            ``sources`` names the first.
        moved: By site of a call that moves elements (pooling, reshaping), the site
            whose quantized output it is given: what it returns has the same scale.
        weights: By site, the weight.
        macs: By site, the multiply-accumulates in one run.
        uncounted: By site, operations that may multiply but have no count.
        left_alone: By site, why a kind that the backend takes stays in float.
        kept_floats: Names of the parameters whose elements calls in float read too.
        last: Sites of layers and products from whose results no other is computed.
    """

    outputs: dict[Site, str] = field(default_factory=dict)
    inputs: dict[tuple[Site, int], str] = field(default_factory=dict)
    sources: dict[tuple[Site, int], Site] = field(default_factory=dict)
    mixed: set[tuple[Site, int]] = field(default_factory=set)
    moved: dict[Site, Site] = field(default_factory=dict)
    weights: dict[Site, Weight] = field(default_factory=dict)
    macs: dict[Site, int] = field(default_factory=dict)
    uncounted: dict[Site, tuple[str, ...]] = field(default_factory=dict)
    left_alone: dict[Site, str] = field(default_factory=dict)
    kept_floats: set[str] = field(default_factory=set)
    last: set[Site] = field(default_factory=set)


def key_of(name: str) -> str:
    """Return the key of a quantizer's name: names of modules have no dots.

    Example:
        >>> key_of(f"{Site('backbone.conv1', 'conv')}")
        'backbone/conv1:conv'
    """
    return name.replace(".", "/")


def quantizer_of_input(places: Places, site: Site, place: int = 0) -> str | None:
    """Return the name of the quantizer of what a site is given, None if there is none.

    Args:
        places: Where quantizers stand.
        site: The site.
        place: Among its tensors.
    """
    if (site, place) in places.inputs:
        return places.inputs[site, place]
    source = places.sources.get((site, place))
    return None if source is None else places.outputs.get(source)


def quantizer_names(places: Places) -> Iterator[str]:
    """Yield the names of the quantizers of activations, each once."""
    yield from dict.fromkeys((*places.inputs.values(), *places.outputs.values()))


def rename_output_(places: Places, old: Site, new: Site) -> None:
    """Let the quantizer of one site's output stand at another that makes the same."""
    if old in places.outputs:
        places.outputs[new] = places.outputs.pop(old)
        for site, name in places.outputs.items():
            if name == f"{old}":  # others may share it
                places.outputs[site] = f"{new}"
        for where, name in places.inputs.items():
            if name == f"{old}":
                places.inputs[where] = f"{new}"
    for where, source in places.sources.items():
        if source == old:
            places.sources[where] = new
    for site, source in places.moved.items():
        if source == old:
            places.moved[site] = new


def forget_(places: Places, names: set[str], layers: set[Site]) -> set[Site]:
    """Leave out quantizers of activations and of weights.

    Args:
        places: Where quantizers stand.
        names: Of the quantizers of activations.
        layers: Sites whose weight stays in float.

    Returns:
        The sites that had one.
    """
    outputs = {site for site, name in places.outputs.items() if name in names}
    inputs = {where for where, name in places.inputs.items() if name in names}
    for site in outputs:
        del places.outputs[site]
    for where in inputs:
        del places.inputs[where]
    for site in layers:
        del places.weights[site]
    return outputs | layers | {site for site, _ in inputs}


def check_sites(places: Places, names: Iterable[str]) -> None:
    """Check that something is quantized at each of some sites.

    Raises:
        ValueError: If there is nothing; the text names what comes near.
    """
    sites = (*places.weights, *places.outputs, *(site for site, _ in places.inputs))
    known = {f"{site}" for site in sites}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f" Near it are {near}." if near else ""
            raise ValueError(
                f"Nothing is quantized at '{name}', so that it can have no settings of "
                f"its own.{hint} A report of the model lists its sites."
            )


def nothing_quantized(model: nn.Module, places: Places) -> str:
    """Return the text of an error: nothing can be quantized, and why."""
    reasons = [f"'{site}' {why}" for site, why in places.left_alone.items()]
    why = "; ".join(reasons[:6]) or "it calls no convolution or linear layer"
    return f"Nothing in {type(model).__name__} can be quantized: {why}."
