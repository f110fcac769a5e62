"""What a config and a command line say of a quantization."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from .quantizing_run import quantizer_in

#: What a config's ``quantize`` may say.
_DEFAULTS: dict[str, Any] = {"methods": (), "calib_batches": 32}


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


def settings_of(
    cfg: Config,
    backend: str | None,
    weight_bits: int | None,
    activation_bits: int | None,
    ignore: Sequence[str],
) -> dict[str, Any]:
    """Return the config's quantizer with what was given instead.

    Args:
        cfg: The config.
        backend: Of the quantizer.
        weight_bits: Of weights.
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
