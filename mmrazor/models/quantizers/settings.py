# As torchao's configs: settings are data that checks itself. What the integers are is
# told apart from where a range comes from, which is the business of an observer.
"""How numbers are made integers: bits, sign, symmetry and how many share a scale."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

GRANULARITIES = ("tensor", "channel", "group")
MIN_BITS, MAX_BITS = 2, 8


@dataclass(frozen=True)
class QuantSettings:
    """What the integers of a quantized tensor are.

    After A White Paper on Neural Network Quantization (Nagel et al., 2021,
    arXiv:2106.08295), section 2.

    Args:
        bits: Bits of an integer, 2 to 8.
        symmetric: The zero point is 0; without it, the range is used in full (affine).
        signed: Integers from ``-2**(bits - 1)``; without it, from 0.
        granularity: What shares a scale: a ``'tensor'``, a ``'channel'``, or a
            ``'group'`` of weights that follow each other in an output channel.
        group_size: Weights in a group; with that granularity only.
        narrow: Leave out the least integer, so that signed ones are -127 to 127.
        reduce: Use one bit less of the range: for kernels whose 16-bit sums saturate,
            as those for AVX2 do.

    Raises:
        ValueError: With everything that is wrong and what is allowed.

    Example:
        >>> settings = QuantSettings(bits=4, narrow=True)
        >>> settings.quant_min, settings.quant_max, settings.num_levels
        (-7, 7, 15)
    """

    bits: int = 8
    symmetric: bool = True
    signed: bool = True
    granularity: str = "tensor"
    group_size: int | None = None
    narrow: bool = False
    reduce: bool = False

    def __post_init__(self) -> None:
        faults = [*_faults(self)]
        if faults:
            raise ValueError(f"{self} cannot be: {'; '.join(faults)}.")

    @property
    def quant_min(self) -> int:
        """Least integer."""
        return -(2 ** (self._range_bits - 1)) + self.narrow if self.signed else 0

    @property
    def quant_max(self) -> int:
        """Greatest integer."""
        return 2 ** (self._range_bits - self.signed) - 1

    @property
    def num_levels(self) -> int:
        """Number of integers."""
        return self.quant_max - self.quant_min + 1

    @property
    def _range_bits(self) -> int:
        return self.bits - self.reduce

    @classmethod
    def of(
        cls,
        cfg: QuantSettings | Mapping[str, Any] | None,
        default: QuantSettings | None = None,
    ) -> QuantSettings:
        """Make settings of a config.

        Args:
            cfg: Settings, which are returned; or those arguments that differ from
                ``default``. A ``group_size`` of the default is dropped when the config
                names another granularity.
            default: What holds for the rest; the defaults of the class if left out.

        Raises:
            TypeError: If ``cfg`` is of another kind.
            ValueError: If a key is unknown or a value is not allowed.

        Example:
            >>> QuantSettings.of(dict(bits=4), QuantSettings(signed=False)).quant_max
            15
            >>> QuantSettings.of(dict(bit=4))
            Traceback (most recent call last):
            ValueError: 'bit' is no setting of quantization; 'bits' is. There are \
['bits', 'symmetric', 'signed', 'granularity', 'group_size', 'narrow', 'reduce'].
        """
        if isinstance(cfg, QuantSettings):
            return cfg
        if cfg is not None and not isinstance(cfg, Mapping):
            raise TypeError(
                f"Settings of quantization are a dict, such as dict(bits=8), not "
                f"{cfg!r}."
            )
        given = dict(cfg or {})
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; {near[0]!r} is" if near else ""
                raise ValueError(
                    f"{key!r} is no setting of quantization{hint}. There are {known}."
                )
        merged = asdict(default or cls()) | given
        if "group_size" not in given and merged["granularity"] != "group":
            merged["group_size"] = None
        return cls(**merged)


def _faults(settings: QuantSettings) -> list[str]:
    """Return what is wrong, kinds first: what depends on them is asked only then."""
    faults = []
    for flag in ("symmetric", "signed", "narrow", "reduce"):
        if not isinstance(getattr(settings, flag), bool):
            faults.append(f"{flag} is True or False")
    bits, size = settings.bits, settings.group_size
    if not isinstance(bits, int) or not MIN_BITS <= bits <= MAX_BITS:
        faults.append(f"bits is a whole number from {MIN_BITS} to {MAX_BITS}")
    if settings.granularity not in GRANULARITIES:
        faults.append(f"granularity is one of {list(GRANULARITIES)}")
    if settings.granularity == "group" and not (isinstance(size, int) and size >= 1):
        faults.append("group_size is a whole number from 1 with granularity='group'")
    if settings.granularity != "group" and size is not None:
        faults.append("group_size goes with granularity='group'")
    if faults:
        return faults
    if settings.narrow and not settings.signed:
        faults.append("narrow goes with signed=True")
    if settings.reduce and bits == MIN_BITS:
        faults.append(f"reduce leaves no range of {MIN_BITS} bits")
    return faults
