# What runtimes compute in integers, from their documentation and from looking at the
# graphs that they make of ours. A backend is data: a new one is an entry in the table.
"""Backends: what is quantized, how, and what shares a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .settings import QuantSettings

_LAYERS = frozenset({"conv", "conv_transpose", "linear"})
_JOINS = frozenset({"add", "mul", "cat", "avg_pool"})


@dataclass(frozen=True)
class Backend:
    """What a runtime takes.

    Args:
        name: Of the backend.
        kinds: Kinds of functions that are quantized.
        outputs: Those that run in integers only if their result is quantized too.
        shared: Those whose inputs and result have one scale.
        weight: Settings of weights.
        activation: Settings of activations.
        weight_bits: Numbers of bits that weights may have.
        activation_bits: Numbers of bits that activations may have.
        centred_weights: Whether weights of 8 signed bits are written as unsigned ones
            around 128 on a processor where sums would saturate else.
        integer_biases: Whether biases are rounded too, and added to sums of integers.
        opset: Version of ONNX that its models are written in.
    """

    name: str
    kinds: frozenset[str]
    outputs: frozenset[str]
    shared: frozenset[str]
    weight: QuantSettings
    activation: QuantSettings
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    centred_weights: bool = False
    integer_biases: bool = False
    opset: int = 21

    def checked(self, part: str, settings: QuantSettings) -> QuantSettings:
        """Return settings that the backend takes.

        Args:
            part: ``weight`` or ``activation``.
            settings: Of it.

        Raises:
            ValueError: If it does not take them; the text lists what it takes.
        """
        allowed = self.weight_bits if part == "weight" else self.activation_bits
        if settings.bits not in allowed:
            raise ValueError(
                f"Backend '{self.name}' takes {part}s of {_listed(allowed)} bits, not "
                f"{settings.bits}. Use one of these, or backend='generic'."
            )
        if part == "activation" and settings.granularity != "tensor":
            raise ValueError(
                "Activations have one scale for the whole tensor, not one for each "
                f"{settings.granularity}; granularity='channel' is for weights."
            )
        return settings


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


_WEIGHT = QuantSettings(
    bits=8, symmetric=True, signed=True, granularity="channel", narrow=True
)
_UNSIGNED = QuantSettings(bits=8, symmetric=False, signed=False, granularity="tensor")
_SIGNED = QuantSettings(
    bits=8, symmetric=True, signed=True, granularity="tensor", narrow=True
)

BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            "onnxruntime",
            kinds=frozenset({"conv", "linear", "matmul"}) | _JOINS,
            outputs=frozenset({"conv", "matmul"}) | _JOINS,
            shared=frozenset(),
            weight=_WEIGHT,
            activation=_UNSIGNED,
            weight_bits=(4, 8),
            activation_bits=(8,),
            centred_weights=True,
            integer_biases=True,
        ),
        Backend(
            "openvino",
            kinds=_LAYERS | {"matmul"} | _JOINS,
            outputs=frozenset({"conv", "matmul"}) | _JOINS,
            shared=frozenset({"cat"}),
            weight=_WEIGHT,
            activation=_UNSIGNED,
            weight_bits=(4, 8),
            activation_bits=(8,),
        ),
        Backend(
            "tensorrt",
            kinds=_LAYERS | {"matmul", "add", "avg_pool"},
            outputs=frozenset(),
            shared=frozenset({"cat"}),
            weight=_WEIGHT,
            activation=_SIGNED,
            weight_bits=(8,),
            activation_bits=(8,),
        ),
        Backend(
            "generic",
            kinds=_LAYERS | {"matmul", "add", "cat"},
            outputs=frozenset({"add", "cat"}),
            shared=frozenset(),
            weight=_WEIGHT,
            activation=_UNSIGNED,
            weight_bits=tuple(range(2, 9)),
            activation_bits=tuple(range(2, 9)),
        ),
    )
}


def backend_named(name: Any) -> Backend:
    """Return a backend by its name.

    Raises:
        ValueError: If there is none.

    Example:
        >>> backend_named('onnxruntime').weight_bits
        (4, 8)
    """
    if isinstance(name, Backend):
        return name
    if name not in BACKENDS:
        raise ValueError(f"There is no backend '{name}'. Use one of {list(BACKENDS)}.")
    return BACKENDS[name]
