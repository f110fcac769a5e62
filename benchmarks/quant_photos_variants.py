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
    """

    name: str
    quantizer: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[Mapping[str, Any]] = ()
    runtimes: bool = False


_BY_TENSOR = dict(weight=dict(granularity="tensor"))
_INT4 = dict(
    backend="generic",
    weight=dict(bits=4, observer=dict(type="MSEObserver")),
    activation=False,
)
_STEPS = dict(iterations=1000)


def _int4(name: str, *methods: Mapping[str, Any]) -> Variant:
    return Variant(name, _INT4, methods)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("int8", runtimes=True),
        Variant("int8 by tensor", _BY_TENSOR),
        Variant(
            "int8 by tensor, equalized",
            _BY_TENSOR,
            [dict(type="mmrazor.CrossLayerEqualization")],
        ),
        Variant(
            "int8 by tensor, equalized, bias corrected",
            _BY_TENSOR,
            [dict(type="mmrazor.CrossLayerEqualization"), dict(type="BiasCorrection")],
        ),
        _int4("int4 weights, to nearest"),
        _int4("int4 weights, bias corrected", dict(type="mmrazor.BiasCorrection")),
        _int4("int4 weights, GPTQ", dict(type="mmrazor.GPTQ")),
        _int4("int4 weights, AdaRound", dict(type="mmrazor.AdaRound", **_STEPS)),
        _int4(
            "int4 weights, BRECQ", dict(type="mmrazor.BlockReconstruction", **_STEPS)
        ),
    )
}
