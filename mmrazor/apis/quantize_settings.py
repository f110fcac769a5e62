"""What a config and a command line say of a quantization."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ..models.quantizers import MixedPrecision, PostTrainingMethod
from .post_training import Method
from .pruning_run import short_name, type_of
from .quantizing_run import quantizer_in

#: What a config's ``quantize`` may say.
_DEFAULTS: dict[str, Any] = {"methods": (), "calib_batches": 32}
_SEARCHING = MixedPrecision.__name__


def options_of(cfg: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete what was not given from the config's ``quantize``.

    Args:
        cfg: The config.
        given: By name, ``methods`` and ``calib_batches``, what was given, or None.

    Raises:
        ValueError: If the config says what is not known, or there is no batch.
    """
    known = dict(cfg.get("quantize") or {})
    unknown = sorted(known.keys() - _DEFAULTS.keys())
    if unknown:
        raise ValueError(
            f"The config's 'quantize' has {unknown}; it takes {sorted(_DEFAULTS)}. "
            "Settings of numbers belong to model=dict(quantizer=dict(...))."
        )
    options = {
        key: known.get(key, default) if given[key] is None else given[key]
        for key, default in _DEFAULTS.items()
    }
    if options["calib_batches"] < 1:
        raise ValueError(
            f"calib_batches={options['calib_batches']}: calibrate on at least one "
            "batch."
        )
    return options


def with_budget(
    methods: Sequence[Method] | Method, budget: Mapping[str, Any] | None
) -> list[Method]:
    """Return methods of which those that search bit-widths have a budget.

    Args:
        methods: Names, configs or objects.
        budget: In place of what their config says; None leaves them as they are.

    Raises:
        ValueError: If there is a budget and nobody for it.

    Example:
        >>> with_budget(['MixedPrecision', 'GPTQ'], dict(size_bytes=0.5))
        [{'type': 'MixedPrecision', 'budget': {'size_bytes': 0.5}}, 'GPTQ']
    """
    if isinstance(methods, (str, Mapping, PostTrainingMethod)):
        methods = [methods]
    found: list[Any] = list(methods)
    if budget is None:
        return found
    named = [{"type": one} if isinstance(one, str) else one for one in found]
    mine = [
        isinstance(one, Mapping) and short_name(type_of(one)) == _SEARCHING
        for one in named
    ]
    if not any(mine):
        raise ValueError(
            f"The budget {dict(budget)} bounds the search of bit-widths, and no method "
            f"searches any. Name one: methods=['{_SEARCHING}'], or --method mixed."
        )
    return [
        {**one, "budget": dict(budget)} if searches else given
        for given, one, searches in zip(found, named, mine, strict=True)
    ]


def settings_of(
    cfg: Config,
    backend: str | None,
    weight_bits: int | Sequence[int] | None,
    activation_bits: int | None,
    ignore: Sequence[str],
) -> dict[str, Any]:
    """Return the config's quantizer with what was given instead.

    Args:
        cfg: The config.
        backend: Of the quantizer.
        weight_bits: Of weights; several are a choice.
        activation_bits: Of activations, 0 for float.
        ignore: Modules that stay in float, beside the config's.
    """
    settings = copy.deepcopy(quantizer_in(cfg.get("model") or {}) or {})
    settings.pop("fold", None)  # ranges are those of folded weights
    if backend is not None:
        settings["backend"] = backend
    if weight_bits is not None:
        settings["weight"] = {**(settings.get("weight") or {}), "bits": weight_bits}
    if activation_bits == 0:
        settings["activation"] = False
    elif activation_bits is not None:
        known = settings.get("activation") or {}
        settings["activation"] = {**known, "bits": activation_bits}
    settings["ignore"] = [*settings.get("ignore", ()), *ignore]
    return settings


def with_bits(settings: Mapping[str, Any], bits: Mapping[str, int]) -> dict[str, Any]:
    """Return the config of a quantizer whose weights have the widths that were chosen.

    Lists of bits are gone from it: each layer has an override, under its site.

    Args:
        settings: Config of the quantizer that was searched.
        bits: Bit-width of each layer, by site.

    Example:
        >>> with_bits(dict(weight=dict(bits=[8, 4])), {'fc:linear': 4})
        {'weight': {'bits': 8}, 'overrides': {'fc:linear': {'weight': {'bits': 4}}}}
    """
    found = copy.deepcopy(dict(settings))
    overrides = dict(found.get("overrides") or {})
    for parts in (found, found.get("edges") or {}, *overrides.values()):
        weight = parts.get("weight") or {}
        if isinstance(weight.get("bits"), (list, tuple)):
            weight["bits"] = max(weight["bits"])
    for site, width in bits.items():
        own = dict(overrides.pop(site, {}))  # to the end: the last one holds
        own["weight"] = {**own.get("weight", {}), "bits": width}
        overrides[site] = own
    return {**found, "overrides": overrides}
