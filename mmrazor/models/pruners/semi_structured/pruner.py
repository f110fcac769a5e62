"""N:M pruning of a whole model, and the part that brings it into a config."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ....core.forward import call_model
from ....registry import MODELS
from .calibration import input_hessians
from .layers import prunable_layers
from .masks import Pattern
from .methods import METHODS, NEED_BATCHES, pruned_weight
from .report import PrunedLayer, SparsityReport
from .weight_masks import WeightMasks

_SHOWN = 8


def semi_structured_(
    model: nn.Module,
    batches: Iterable[Any] | None = None,
    method: str = "magnitude",
    n: int = 2,
    m: int = 4,
    skip: Sequence[str] = (),
    *,
    layout: str = "flat",
    damping: float = 0.01,
    run: Callable[[nn.Module, Any], Any] = call_model,
) -> SparsityReport:
    """Prune a model in place: ``n`` of ``m`` neighbouring weights stay.

    Every layer is pruned for the inputs that it gets in the dense model. A failure
    leaves the model as it was.

    Args:
        model: Any model. Its linear layers and convolutions are pruned.
        batches: Calibration data, the inputs of one forward pass each: a tensor, a
            tuple or a dict. ``magnitude`` needs none and uses it for the report.
        method: ``magnitude``, ``wanda`` or ``sparsegpt``.
        n: Weights kept of every ``m``, in ``[1, m]``.
        m: Neighbours along a layer's inputs.
        skip: Names of modules or weights that stay dense; ``*`` stands for any text.
        layout: See :class:`~mmrazor.models.pruners.semi_structured.Pattern`.
        damping: Of ``sparsegpt``, see there.
        run: Runs the model on one batch.

    Returns:
        What was done to each weight and what was left, and why.

    Raises:
        CalibrationError: If there are no batches in ``batches``, or a layer gets NaN.
        ValueError: If the method needs batches, settings are wrong, a weight is not
            finite, or no layer can have the pattern.

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
        >>> report = semi_structured_(net)
        >>> str(report)
        '2:4 by magnitude in 2 layers, 43.1% of all parameters removed'
        >>> (net[0].weight != 0).sum(1).tolist()
        [4, 4, 4, 4]
    """
    pattern = Pattern(n, m, layout)
    _check_settings(method, batches, damping)
    layers, dense = prunable_layers(model, pattern, skip)
    hessians = {}
    if batches is not None and layers:
        hessians = input_hessians(model, layers, batches, run)
    if method in NEED_BATCHES:
        unseen = [layer.name for layer in layers if layer.name not in hessians]
        dense.update(dict.fromkeys(unseen, "no calibration batch reached it"))
        layers = [layer for layer in layers if layer.name in hessians]
    if not layers:
        raise ValueError(_nothing_to_prune(model, pattern, dense))
    weights, reports = [], []
    for layer in layers:
        hessian = hessians.get(layer.name)
        weight, error = pruned_weight(layer, hessian, method, pattern, damping)
        weights.append(weight)
        reports.append(PrunedLayer(layer.name, tuple(weight.shape), error))
    with torch.no_grad():
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.copy_(weight)
    return SparsityReport(
        method,
        pattern,
        reports,
        dense,
        removed=sum(layer.weight.numel() for layer in layers) // m * (m - n),
        params=sum(parameter.numel() for parameter in model.parameters()),
    )


@MODELS.register_module()
class SemiStructuredPruner:
    """Give an Architecture an N:M pattern that training keeps.

    In a config it stands in ``pruner``, with ``mmrazor.KeepSparsityHook`` among the
    ``custom_hooks``. The pattern is taken from the weights that training starts from,
    also if they are loaded later. To choose it by calibration data, prune the
    checkpoint first with ``tools/sparsify.py`` and start from what that writes: its
    pattern stays.

    Args:
        n: Weights kept of every ``m``, in ``[1, m]``.
        m: Neighbours along a layer's inputs.
        method: ``magnitude``, or ``wanda`` or ``sparsegpt`` where batches are given.
        skip: Names of modules or weights that stay dense; ``*`` stands for any text.
        layout: See :class:`~mmrazor.models.pruners.semi_structured.Pattern`.
        damping: Of ``sparsegpt``.

    Raises:
        ValueError: As for :func:`semi_structured_`.

    Example:
        >>> pruner = dict(type='mmrazor.SemiStructuredPruner', n=2, m=4, skip=['head'])
        >>> custom_hooks = [dict(type='mmrazor.KeepSparsityHook')]
    """

    def __init__(
        self,
        n: int = 2,
        m: int = 4,
        method: str = "magnitude",
        skip: Sequence[str] = (),
        layout: str = "flat",
        damping: float = 0.01,
    ) -> None:
        self.pattern = Pattern(n, m, layout)
        self.method = method
        self.skip = skip
        self.damping = damping
        _check_settings(method, (), damping)

    def __call__(
        self, model: nn.Module, batches: Iterable[Any] | None = None
    ) -> nn.Module:
        """Prune a model in place and return it, with ``model.weight_masks``."""
        report = semi_structured_(
            model,
            batches,
            self.method,
            self.pattern.n,
            self.pattern.m,
            self.skip,
            layout=self.pattern.layout,
            damping=self.damping,
        )
        pruned = {layer.name for layer in report.layers}
        layers, _ = prunable_layers(model, self.pattern, self.skip)
        layers = [layer for layer in layers if layer.name in pruned]
        masks = WeightMasks(model, layers, self.pattern)
        object.__setattr__(model, "weight_masks", masks)
        print_log(str(report), logger="current")
        for name, reason in report.dense.items():
            print_log(f"{name} stays dense: {reason}", logger="current")
        return model


def _check_settings(method: str, batches: Any, damping: float) -> None:
    if method not in METHODS:
        raise ValueError(f"method={method!r} is none of {sorted(METHODS)}.")
    if not (damping >= 0 and math.isfinite(damping)):
        raise ValueError(f"damping={damping} must be at least 0.")
    if isinstance(batches, (Tensor, Mapping, str)):
        raise ValueError(
            f"batches is one {type(batches).__name__}. Give an iterable of the inputs "
            "of one forward pass each, such as a list of tensors."
        )
    if batches is None and method in NEED_BATCHES:
        raise ValueError(
            f"method='{method}' needs calibration batches. Give batches=..., prune the "
            f"checkpoint with tools/sparsify.py --method {method} and train from that, "
            "or take method='magnitude'."
        )


def _nothing_to_prune(model: nn.Module, pattern: Pattern, dense: dict) -> str:
    lines = [f"{name}: {reason}" for name, reason in list(dense.items())[:_SHOWN]]
    more = f"; and {len(dense) - _SHOWN} more" if len(dense) > _SHOWN else ""
    why = "; ".join(lines) + more if dense else "it has no weights of two or more axes"
    return (
        f"No layer of {type(model).__name__} can have the {pattern} pattern. {why}. "
        "Choose another m or layout, or shorten skip."
    )
