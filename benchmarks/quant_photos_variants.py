"""Ways to quantize in ``quant_photos.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A way to quantize.

    Args:
        name: For people.
        quantizer: Arguments of the Quantizer.
        methods: Configs of post-training methods.
        runtimes: Whether it is run in other runtimes too.
        networks: Numbers of the networks it is tried on unless told otherwise.
    """

    name: str
    quantizer: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[Mapping[str, Any]] = ()
    runtimes: bool = False
    networks: Sequence[int] = (0,)


_ALL = (0, 1, 2)
_BY_TENSOR = dict(weight=dict(granularity="tensor"))
_NAIVE = dict(backend="generic", weight=dict(bits=4), activation=False)
_INT4 = {**_NAIVE, "weight": dict(bits=4, observer=dict(type="MSEObserver"))}
# Fewer steps than usual need a larger rate. A step of BRECQ runs whole images.
_ADA_ROUND = dict(
    type="mmrazor.AdaRound", iterations=1000, lr=0.03, positions=128, batch_size=128
)
_BRECQ = dict(type="mmrazor.BlockReconstruction", iterations=200, lr=0.03, batch_size=8)
_EQUALIZED = dict(type="mmrazor.CrossLayerEqualization")
_AS_RELU = {**_EQUALIZED, "replace_relu6": True}
_CORRECTED = dict(type="mmrazor.BiasCorrection")


def _by_tensor(name: str, *methods: Mapping[str, Any]) -> Variant:
    return Variant(f"int8 by tensor{name}", _BY_TENSOR, methods)


def _int4(
    name: str, *methods: Mapping[str, Any], networks: Sequence[int] = (0,)
) -> Variant:
    return Variant(f"int4 weights, {name}", _INT4, methods, networks=networks)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("int8", runtimes=True, networks=_ALL),
        _by_tensor(""),
        _by_tensor(", equalized", _EQUALIZED),
        _by_tensor(", ReLU, equalized", _AS_RELU),
        _by_tensor(", equalized, bias corrected", _EQUALIZED, _CORRECTED),
        _by_tensor(", ReLU, equalized, bias corrected", _AS_RELU, _CORRECTED),
        Variant("int4 weights, min-max, to nearest", _NAIVE, networks=_ALL),
        _int4("to nearest", networks=_ALL),
        _int4("bias corrected", _CORRECTED),
        _int4("GPTQ", dict(type="mmrazor.GPTQ"), networks=_ALL),
        _int4("AdaRound", _ADA_ROUND),
        _int4("BRECQ", _BRECQ),
    )
}
