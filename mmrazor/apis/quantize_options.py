"""Read what tools/quantize.py takes as text; nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from .prune_options import dict_of

#: Short names of post-training methods; ``ptq`` is calibration alone.
SHORT_NAMES = {
    "cle": "CrossLayerEqualization",
    "bias_correction": "BiasCorrection",
    "adaround": "AdaRound",
    "brecq": "BlockReconstruction",
    "gptq": "GPTQ",
    "mixed": "MixedPrecision",
}
_ALONE = "ptq"


def parse_methods(words: Sequence[str]) -> list[str | dict[str, Any]]:
    """Read post-training methods: names, short names or ``dict(type='GPTQ', ...)``.

    Raises:
        ValueError: If a word is neither, or ``ptq`` does not stand alone.

    Example:
        >>> parse_methods(['cle', "dict(type='GPTQ', damping=0.1)"])
        ['CrossLayerEqualization', {'type': 'GPTQ', 'damping': 0.1}]
        >>> parse_methods(['ptq'])
        []
    """
    if list(words) == [_ALONE]:
        return []
    return [_method(word.strip()) for word in words]


def one_or_several(numbers: Sequence[int] | None) -> int | list[int] | None:
    """Return the only one of some numbers, or all of them.

    Example:
        >>> one_or_several([8]), one_or_several([8, 4]), one_or_several(None)
        (8, [8, 4], None)
    """
    if numbers is None:
        return None
    return numbers[0] if len(numbers) == 1 else list(numbers)


def _method(word: str) -> str | dict[str, Any]:
    if word == _ALONE:
        raise ValueError(
            f"--method {_ALONE} is calibration alone, which all methods begin with or "
            "end in. Leave it out beside others."
        )
    if word.replace(".", "").isidentifier():
        return SHORT_NAMES.get(word, word)
    try:
        return dict_of(ast.parse(word, mode="eval").body)
    except (SyntaxError, ValueError) as err:
        raise ValueError(
            f"--method '{word}' is no name and no dict of plain values. Write gptq, or "
            "\"dict(type='GPTQ', damping=0.1)\"."
        ) from err
