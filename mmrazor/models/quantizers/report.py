# torchao's X86 quantizer can leave a model as it was and say nothing. Here every layer
# is listed with what became of it, and how much worse it is for it.
"""What was quantized, what was not and why, and what it costs in accuracy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from mmengine.logging import print_log
from rich.text import Text
from torch import nn

from ...core.forward import call_model
from ...core.plain_table import PlainTable
from .measures import sqnr_db
from .originals import as_original
from .outputs import outputs_at, same_lengths
from .parameter_use import listed
from .quantizer import Quantizer
from .sites import Site
from .stored_size import stored_size
from .whole_model import whole_sqnr, whole_warning


@dataclass(frozen=True)
class LayerReport:
    """What became of one call that multiplies and accumulates.

    Args:
        site: Where it is.
        macs: Multiply-accumulates in one run of the example.
        why_float: Why it stays in float; empty if it is quantized.
        weight_bits: Bits of its weight, if that is quantized.
        activation_bits: Bits of its first input, if that is quantized.
        weight_scale: Least and largest scale of its weight.
        activation_scale: Scale of its first input.
        sqnr_db: Its output against that of the float model, in decibels; everything
            before it is quantized too. None if it was not run.
        uncounted: Operations in it that may multiply but have no count; ``macs`` is
            without them.
    """

    site: str
    macs: int
    why_float: str = ""
    weight_bits: int | None = None
    activation_bits: int | None = None
    weight_scale: tuple[float, float] | None = None
    activation_scale: float | None = None
    sqnr_db: float | None = None
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuantReport:
    """What became of every layer of a model.

    Args:
        model: Type of the model.
        backend: Name of the backend.
        layers: In the order of the run.
        float_bytes: Size of the parameters in float32.
        quantized_bytes: Size of the parameters as they are now; what calls in float
            read too is kept in float.
        sqnr_db: What the whole model returns against the original float model, before
            anything was folded or changed, in decibels: of the output that differs
            most. None if they were not compared.
        kept_norms: By batch norm behind a layer that is not folded into it, why.
        skipped_norms: By batch norm that is folded, on which data it would not run.
    """

    model: str
    backend: str
    layers: tuple[LayerReport, ...]
    float_bytes: int
    quantized_bytes: int
    sqnr_db: float | None = None
    kept_norms: Mapping[str, str] = field(default_factory=dict)
    skipped_norms: Mapping[str, str] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the whole model, with what to do; empty if nothing is."""
        ratios = (layer.sqnr_db for layer in self.layers)
        whole = None if self.sqnr_db is None else whole_warning(self.sqnr_db, ratios)
        skipped = (
            f"Batch norm '{norm}' changes data that skip it in the float model: {why}. "
            "Leave its layer in float (ignore=[...])."
            for norm, why in self.skipped_norms.items()
        )
        return (*filter(None, [whole]), *skipped)

    @property
    def quantized_share(self) -> float:
        """Share of the multiply-accumulates that run in integers.

        What cannot be counted is not in it: see ``uncounted`` of the layers.
        """
        total = sum(layer.macs for layer in self.layers)
        return sum(la.macs for la in self.layers if not la.why_float) / max(total, 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            **asdict(self),
            "quantized_share": self.quantized_share,
            "warnings": list(self.warnings),
        }

    def table(self) -> PlainTable:
        """Return the report for a rich console."""
        table = PlainTable(title=f"{self.model} for {self.backend}")
        table.add_column("layer", overflow="fold")
        for name in ("MACs", "bits", "scale of weight", "scale of input", "SQNR, dB"):
            table.add_column(name, justify="right")
        total = max(sum(layer.macs for layer in self.layers), 1)
        for layer in self.layers:
            share = f"{layer.macs / total:.1%}"
            if layer.why_float:
                table.add_row(layer.site, share, "float", layer.why_float, "", "")
                continue
            table.add_row(
                layer.site,
                share,
                f"W{layer.weight_bits or '-'}A{layer.activation_bits or '-'}",
                _range_text(layer.weight_scale),
                _text(layer.activation_scale, ".2e"),
                _text(layer.sqnr_db, ".1f"),
            )
        lines = [
            f"{self.quantized_share:.1%} of the MACs quantized; parameters "
            f"{self.float_bytes / 2**20:.2f} MiB -> "
            f"{self.quantized_bytes / 2**20:.2f} MiB"
        ]
        if self.sqnr_db is not None:
            lines.append(
                f"whole model against the original float model: {self.sqnr_db:.1f} dB"
            )
        if any(layer.uncounted for layer in self.layers):
            names = (layer.site for layer in self.layers if layer.uncounted)
            lines.append(f"{listed(names)} have no count, and are not in that share")
        if self.kept_norms:
            norms = (f"{norm} ({why})" for norm, why in self.kept_norms.items())
            lines.append(f"batch norms that are not folded: {listed(norms)}")
        table.caption = Text("\n".join([*lines, *self.warnings]))
        return table


def quant_report(
    model: nn.Module,
    quantizer: Quantizer,
    batch: Any = None,
    run: Callable[[nn.Module, Any], Any] = call_model,
    original: nn.Module | None = None,
    outputs: Callable[[nn.Module, Any], Any] | None = None,
) -> QuantReport:
    """Report on a model and its Quantizer.

    A warning tells if the whole model is far from the original.

    Args:
        model: The model.
        quantizer: Prepared for it, and calibrated.
        batch: Where the outputs of the layers are compared on; None: they are not.
        run: Runs the model on the batch.
        original: The float model, as it was before the Quantizer prepared it. The
            outputs of the whole are compared with its outputs; None: they are not.
        outputs: Runs either of them for that; default is ``run``.
    """
    ratios = {} if batch is None else layer_sqnr(model, quantizer, batch, run)
    layers = []
    for site, macs in quantizer.places.macs.items():
        why = _why_float(quantizer, site)
        found = {} if why else _numbers(quantizer, site)
        layers.append(
            LayerReport(
                *(f"{site}", macs, why),
                sqnr_db=ratios.get(site),
                uncounted=quantizer.places.uncounted.get(site, ()),
                **found,
            )
        )
    size = stored_size(model, quantizer)
    bits = {
        site: quantizer.step_at(site).weight.settings_now.bits for site in size.weights
    }
    whole = None
    if original is not None and batch is not None:
        whole = whole_sqnr(original, model, batch, outputs or run)
    report = QuantReport(
        type(model).__name__,
        quantizer.backend.name,
        tuple(layers),
        size.in_float,
        size.total(bits),
        whole,
        {f"{site}": why for site, why in quantizer.kept_norms.items()},
        dict(quantizer.skipped_norms),
    )
    for text in report.warnings:
        print_log(text, logger="current", level=logging.WARNING)
    return report


def layer_sqnr(
    model: nn.Module,
    quantizer: Quantizer,
    batch: Any,
    run: Callable[[nn.Module, Any], Any] = call_model,
) -> dict[Site, float]:
    """Return how far each layer's output is from the float model's, in decibels.

    Layers that are given something else then, such as other proposals, are left out.
    """
    sites = quantizer.places.macs
    with as_original(model, quantizer):
        wanted = outputs_at(model, quantizer, sites, batch, run)
    found = outputs_at(model, quantizer, sites, batch, run)
    return {
        site: sqnr_db(torch.cat(wanted[site]), torch.cat(found[site]))
        for site in wanted
        if same_lengths(found.get(site, []), wanted[site])
    }


def _why_float(quantizer: Quantizer, site: Site) -> str:
    places = quantizer.places
    if site in places.left_alone:
        return places.left_alone[site]
    if site in places.weights or quantizer.recipe.activation is not None:
        return ""
    return "activations stay in float"


def _numbers(quantizer: Quantizer, site: Site) -> dict[str, Any]:
    found: dict[str, Any] = {}
    step = quantizer.step_at(site)
    if step.weight is not None:
        scale = step.weight.scale.detach()
        found["weight_bits"] = step.weight.settings_now.bits
        found["weight_scale"] = float(scale.min()), float(scale.max())
    given = quantizer.input_quantizer(site)
    if given is not None:
        found["activation_bits"] = given.settings_now.bits
        found["activation_scale"] = float(given.scale)
    return found


def _text(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)


def _range_text(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return ""
    low, high = ends
    return f"{low:.2e}" if low == high else f"{low:.2e} to {high:.2e}"
