# As torch's prepare and convert, on the calls of an eager run instead of a graph: the
# Architecture stays as it is, and what is quantized is done by a hook on the whole of
# it. So all that calls the model, trains it or listens to its modules works as before.
"""Quantize a model: find the places, observe, and run it as the integers would."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ...core.graph import example_inputs
from ...core.values import check_image_size, check_switch
from ...registry import MODELS
from .attention import open_attention_
from .backends import backend_named
from .base import BaseFakeQuantize
from .flow import Flow, flow_of
from .folding import Fold, fold_, foldable
from .loading import accept_float_weights_, norms_of
from .parameter_use import ParameterUse, listed
from .parts import Parts
from .placement import check_names, edges_of, places_of
from .places import (
    Places,
    check_sites,
    forget_,
    key_of,
    nothing_quantized,
    quantizer_names,
    quantizer_of_input,
    rename_output_,
)
from .recipe import Recipe
from .sites import Site
from .steps import Listener, QuantizedRun, Step, check_not_recomputed, steps_of


class NothingQuantizedError(ValueError):
    """A model in which nothing can be quantized."""


@MODELS.register_module()
class Quantizer(Parts):
    """Quantize weights and activations of a model where a backend computes in integers.

    A run on example inputs tells which calls of torch the model makes; quantizers stand
    at those that the backend takes. Batch norms are folded into the layers before them.

    Args:
        backend: ``onnxruntime``, ``openvino``, ``tensorrt`` or ``generic``; says what
            is quantized and what the settings are unless said otherwise.
        weight: Settings of weights, see :class:`~.recipe.Recipe`.
        activation: Settings of activations; ``False`` leaves them in float.
        overrides: By name or pattern of modules, or by site as reports name it
            (``backbone.conv1:conv``), ``dict(weight=..., activation=...)`` that holds
            there.
        edges: The same for the first and the last layer.
        ignore: Names or patterns of modules that stay in float.
        fold: Fold batch norms at once. With ``False`` they go on, trained too, and
            weights are quantized as if they were folded, until :meth:`fold_`.
        image_size: Height and width of the example that the places are found with;
            default as in :func:`~mmrazor.example_inputs`.

    Attributes:
        kept_norms: By site, why a batch norm behind a layer is not folded into it.
        folded: Names of the layers and of the batch norms that were folded into them.
        skipped_norms: By name, on which data a norm that is folded would not have run.
        originals: By name, what parameters were in float before a post-training method
            changed them; not part of the state.

    Raises:
        ValueError: If a setting is wrong or the backend does not take it.
    """

    def __init__(
        self,
        backend: str = "onnxruntime",
        weight: Mapping[str, Any] | None = None,
        activation: Mapping[str, Any] | bool | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        edges: Mapping[str, Any] | None = None,
        ignore: Sequence[str] = (),
        fold: bool = True,
        image_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.backend = backend_named(backend)
        self.recipe = Recipe(self.backend, weight, activation, overrides, edges)
        check_switch("fold", fold)
        if image_size is not None:
            check_image_size(image_size)
        self.ignore, self.folds_at_once = tuple(ignore), fold
        self.image_size = None if image_size is None else tuple(image_size)
        self.places = Places()
        self.folds: list[Fold] = []
        self.kept_norms: dict[Site, str] = {}
        self.folded: list[tuple[str, str]] = []
        self.skipped_norms: dict[str, str] = {}
        self.originals: dict[str, Tensor] = {}
        self._steps: dict[Site, Step] = {}
        self._runs: list[Any] = []
        self._listener: Listener | None = None

    def forward(self, model: nn.Module) -> nn.Module:
        """Prepare an Architecture on example inputs, and return it."""
        size = self.image_size
        inputs = example_inputs(model) if size is None else example_inputs(model, size)
        self.prepare_(model, inputs)
        return model

    def prepare_(self, model: nn.Module, inputs: Any) -> None:
        """Find the places in a model and step in whenever it runs from now on.

        Args:
            model: Changed in place: batch norms are folded, and attention layers that
                compute in one piece are replaced by equal ones that do not.
            inputs: What it is called with.

        Raises:
            NothingQuantizedError: If there is nothing to quantize; the text says why.
            ValueError: If the model is quantized already, or has no module or site of
                a name in ``ignore`` or ``overrides``.
        """
        if quantizer_of(model) is not None or self._steps:
            raise ValueError(
                f"{type(model).__name__} is quantized already. Build it anew from its "
                "config and float weights to quantize it otherwise."
            )
        check_names(model, (*self.ignore, *self.recipe.module_names()))
        open_attention_(model)
        flow = flow_of(model, inputs)
        places = places_of(flow, self.backend, self.ignore)
        if not places.weights:
            raise NothingQuantizedError(nothing_quantized(model, places))
        found = foldable(model, flow)
        self.folds, self.kept_norms = found.folds, found.kept
        if self.folds_at_once and self.folds:
            self.fold_(model)
            flow = flow_of(model, inputs)
            places = places_of(flow, self.backend, self.ignore)
        places.kept_floats = _read_in_float(model, flow, places)
        self.places = places
        check_sites(places, self.recipe.site_names())
        weights, activations = self.recipe.quantizers(self.places, edges_of(flow))
        self.weights.update(weights)
        self.activations.update(activations)
        self._steps = self.steps()
        model.register_forward_pre_hook(self._enter)
        model.register_forward_hook(self._leave, always_call=True)
        reference = next(model.parameters())
        self.to(reference.device)
        if self.kept_norms:
            reasons = (f"'{site}': {why}" for site, why in self.kept_norms.items())
            print_log(
                "Batch norms that are not folded into the layers before them, and run "
                f"in float: {listed(reasons)}. The report lists them.",
                logger="current",
                level=logging.WARNING,
            )

    def fold_(self, model: nn.Module) -> None:
        """Fold the batch norms that are not folded yet."""
        folded = norms_of(model, self.folds)
        fold_(model, self.folds)
        self.folded += [(f.layer.module, f.norm.module) for f in self.folds]
        accept_float_weights_(model, folded)
        for fold in self.folds:
            rename_output_(self.places, fold.norm, fold.layer)
            old, new = key_of(f"{fold.norm}"), key_of(f"{fold.layer}")
            if old in self.activations:  # named as if there had been no norm
                self.activations[new] = self.activations.pop(old)
        self.folds = []
        self._steps = self.steps()

    def pairs(self) -> list[tuple[str, str]]:
        """Return the layers and norms that are folded or will be, by their names."""
        return [*self.folded, *((f.layer.module, f.norm.module) for f in self.folds)]

    def keep_norms_(self, found: Mapping[tuple[str, str], str]) -> None:
        """Take note of norms that some data skip; those not folded yet will not be.

        Args:
            found: By names of a layer and its norm, when the norm was skipped.
        """
        for (layer, norm), why in found.items():
            if (layer, norm) in self.folded:
                self.skipped_norms[norm] = f"it is folded into '{layer}', and {why}"
        kept = [f for f in self.folds if (f.layer.module, f.norm.module) in found]
        for fold in kept:
            why = found[fold.layer.module, fold.norm.module]
            self.kept_norms[fold.norm] = f"some data skip it: {why}"
            self.folds.remove(fold)
        if kept:
            self._steps = self.steps()

    def fix_(self) -> None:
        """Keep of each quantizer the bit-width that is selected now."""
        for modules in (self.weights, self.activations):
            for key, module in modules.items():
                fixed = cast(BaseFakeQuantize, module).fix()
                modules[key] = fixed.to(cast(Tensor, module.lows).device)
        self._steps = self.steps()

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Let somebody hear of every site, what it is given and returns."""
        before, self._listener = self._listener, listener
        try:
            yield
        finally:
            self._listener = before

    def step_at(self, site: Site) -> Step:
        """Return the quantizers at a site."""
        return self._steps.get(site) or Step()

    def input_quantizer(self, site: Site, place: int = 0) -> Any:
        """Return the quantizer of what a site is given, None if there is none."""
        name = quantizer_of_input(self.places, site, place)
        return None if name is None else self.activations[key_of(name)]

    def layers(self) -> list[Site]:
        """Return the sites with a quantized weight, in the order of the run."""
        return list(self.places.weights)

    def steps(self) -> dict[Site, Step]:
        """Return the quantizers at all sites, made anew."""
        parts = self.places, self.weights, self.activations, self.folds
        return steps_of(*parts, self.backend.integer_biases)

    def drop_(self, unseen: Mapping[str, set[str]]) -> list[Site]:
        """Take quantizers away; return the sites that had one.

        Args:
            unseen: By part, ``weights`` or ``activations``, keys of its quantizers.
        """
        weights, activations = unseen["weights"], unseen["activations"]
        layers = {site for site in self.layers() if key_of(f"{site}") in weights}
        names = {n for n in quantizer_names(self.places) if key_of(n) in activations}
        sites = forget_(self.places, names, layers)
        for part, keys in unseen.items():
            for key in keys:
                del getattr(self, part)[key]
        self._steps = self.steps()
        return sorted(sites)

    def end_runs_(self) -> None:
        """End the quantized runs that were begun and whose end was not seen."""
        while self._runs:
            self._runs.pop().__exit__(None, None, None)

    def _enter(self, model: nn.Module, *_: Any) -> None:
        if model.training and torch.is_grad_enabled():
            check_not_recomputed(model)
        run = QuantizedRun(model, self._steps, self._listener).following()
        run.__enter__()
        self._runs.append(run)

    def _leave(self, model: nn.Module, *_: Any) -> None:
        if self._runs:  # else it was refused before it began
            self._runs.pop().__exit__(None, None, None)


def _read_in_float(model: nn.Module, flow: Flow, places: Places) -> set[str]:
    """Return the parameters of quantized weights that calls in float read too."""
    use = ParameterUse(model, flow)
    names = {one.parameter or "" for one in places.weights.values()}
    return {
        name
        for name, parameter in model.named_parameters()
        if name in names
        and any(
            call.site not in places.weights or place != 1
            for call, place in use.reads(parameter)
        )
    }


def quantizer_of(model: nn.Module) -> Quantizer | None:
    """Return the Quantizer that steps in when a model, or a part, runs, if there is."""
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            owner = getattr(hook, "__self__", None)
            if isinstance(owner, Quantizer):
                return owner
    return None
