"""Which settings hold where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ...core.values import check_spec
from ...registry import MODELS
from .backends import Backend
from .placement import is_in
from .places import Places, key_of, quantizer_names, quantizer_of_input
from .settings import QuantSettings
from .sites import Site

_DEFAULT = {"type": "FakeQuantize"}
_OF_MODULES = {"type", "observer", "name"}


class Recipe:
    """Settings of the quantizers of a model.

    A setting is a dict with what :class:`~.settings.QuantSettings` takes (``bits``,
    ``granularity``, ...), ``observer=dict(type=...)`` and ``type``, the class of the
    quantizer. A list of ``bits`` is a Choice, of which the first is selected until
    something chooses. What a setting leaves out is the backend's.

    Args:
        backend: Says what is allowed, and what holds unless said otherwise.
        weight: Of weights.
        activation: Of activations; False leaves them in float.
        overrides: By name or pattern of modules, or by site, what differs there; where
            several say the same, the last one holds.
        edges: What differs in the first and the last layer.

    Raises:
        ValueError: If a setting is wrong or the backend does not take it.
    """

    def __init__(
        self,
        backend: Backend,
        weight: Mapping[str, Any] | None = None,
        activation: Mapping[str, Any] | bool | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        edges: Mapping[str, Any] | None = None,
    ) -> None:
        for name, given in (("weight", weight), ("overrides", overrides)):
            check_spec(name, given or {})
        check_spec("edges", edges or {})
        if not isinstance(activation, (bool, type(None))):
            check_spec("activation", activation)
        self.backend = backend
        self.weight: dict[str, Any] = {**_DEFAULT, **(weight or {})}
        self.activation: dict[str, Any] | None = None
        if activation is not False:
            given = activation if isinstance(activation, Mapping) else {}
            self.activation = {**_DEFAULT, **given}
        self.overrides = {
            name: dict(parts) for name, parts in (overrides or {}).items()
        }
        self.edges = dict(edges or {})
        for where, parts in (*self.overrides.items(), ("edges", self.edges)):
            unknown = parts.keys() - {"weight", "activation"}
            if unknown:
                raise ValueError(
                    f"'{where}' has {sorted(unknown)}; it takes dict(weight=dict(...), "
                    "activation=dict(...))."
                )
        for parts in ({}, self.edges, *self.overrides.values()):
            self._made("weight", {**self.weight, **parts.get("weight", {})}, 0)
            if self.activation is not None:
                extra = parts.get("activation", {})
                self._made("activation", {**self.activation, **extra}, None)

    def module_names(self) -> list[str]:
        """Return the overrides that are names or patterns of modules."""
        return [name for name in self.overrides if ":" not in name]

    def site_names(self) -> list[str]:
        """Return the overrides that are sites."""
        return [name for name in self.overrides if ":" in name]

    def quantizers(
        self, places: Places, edges: set[str]
    ) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
        """Return new quantizers of weights and of activations, by their keys.

        Args:
            places: Where they stand. Without quantizers of activations, it holds none
                afterwards.
            edges: Modules with the first and the last layer.
        """
        weights = {}
        for site, weight in places.weights.items():
            setting = self._setting("weight", site, site.module in edges)
            weights[key_of(f"{site}")] = self._made("weight", setting, weight.axis)
        if self.activation is None:
            places.inputs.clear()
            places.outputs.clear()
        at = {name: site for site, name in places.outputs.items()}
        at |= {name: site for (site, _), name in places.inputs.items()}
        layers = [site for site in places.weights if site.module in edges]
        given = {quantizer_of_input(places, site) for site in layers}
        activations = {}
        for name in quantizer_names(places):
            setting = self._setting("activation", at[name], name in given)
            activations[key_of(name)] = self._made("activation", setting, None)
        return weights, activations

    def _setting(self, part: str, site: Site, edge: bool) -> dict[str, Any]:
        setting = dict(getattr(self, part))
        if edge:
            setting |= self.edges.get(part, {})
        for name, parts in self.overrides.items():
            if name == f"{site}" or is_in(site.module, name):
                setting |= parts.get(part, {})
        return setting

    def _made(self, part: str, setting: dict[str, Any], axis: int | None) -> nn.Module:
        setting = dict(setting)
        cfg = {key: setting.pop(key) for key in _OF_MODULES & setting.keys()}
        if isinstance(setting.get("bits"), (list, tuple)):  # a Choice
            cfg["bits"] = setting.pop("bits")
        settings = QuantSettings.of(setting, getattr(self.backend, part))
        for bits in cfg.get("bits") or [settings.bits]:
            self.backend.checked(part, replace(settings, bits=bits))
        cfg |= {"settings": settings, "axis": axis, "_scope_": "mmrazor"}
        made: nn.Module = MODELS.build(cfg)
        return made
