"""What a run needs whose model is quantized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from ..core.values import check_spec
from ..models.algorithms import Quantize
from ..models.quantizers import (
    CalibrationError,
    NothingQuantizedError,
    QuantizedRunError,
)
from ..registry import MODELS
from .pruning_run import set_image_size_, short_name, type_of

#: Faults of a config, or of data, that quantization finds when it begins.
QUANTIZING_FAULTS = (CalibrationError, NothingQuantizedError, QuantizedRunError)
_HOOK = "mmrazor.CalibrateHook"
_LEARNED = "LearnedStepSize"
_PREFIX = "quantizer."


def set_quantizing_(cfg: Config) -> None:
    """Add what a model with a quantizer needs; calling it again changes nothing.

    That are the hook that calibrates, the size of test images, and no weight decay for
    steps that are learned, unless the config says otherwise.

    Args:
        cfg: The config of a run.

    Raises:
        ValueError: If a setting is wrong or the backend does not take it.
    """
    quantizer = quantizer_in(cfg.get("model") or {})
    if quantizer is None:
        return
    MODELS.build({"_scope_": "mmrazor", "type": "Quantizer", **quantizer})
    if quantizer.get("image_size") is None:
        set_image_size_(cfg, quantizer, "quantizer")
    cfg.model["quantizer"] = quantizer
    if not cfg.get("train_cfg"):
        return
    hooks = list(cfg.get("custom_hooks") or [])
    if short_name(_HOOK) not in [short_name(type_of(one)) for one in hooks]:
        cfg.custom_hooks = [*hooks, {"type": _HOOK}]
    if any(short_name(kind) == _LEARNED for kind in _types(quantizer)):
        _leave_decay_(cfg)


def quantizer_in(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config of an Algorithm's quantizer, None if it has none.

    Args:
        model: Config of the Algorithm.
    """
    given = model.get("quantizer")
    if given is None and short_name(type_of(model)) != Quantize.__name__:
        return None
    check_spec("model.quantizer", given or {})
    return dict(given or {})


def _leave_decay_(cfg: Config) -> None:
    """Train learned steps without weight decay, which would draw them to 0."""
    wrapper = cfg.get("optim_wrapper") or {}
    optimizer = wrapper.get("optimizer") or {}
    if not optimizer.get("weight_decay"):
        return
    paramwise = dict(wrapper.get("paramwise_cfg") or {})
    keys = dict(paramwise.get("custom_keys") or {})
    if not any(key in _PREFIX for key in keys):
        keys[_PREFIX] = {"decay_mult": 0.0}
        wrapper["paramwise_cfg"] = {**paramwise, "custom_keys": keys}


def _types(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if value.get("type"):
            yield value["type"]
        for item in value.values():
            yield from _types(item)
