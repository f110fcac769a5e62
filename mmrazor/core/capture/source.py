"""Source strings: names for values that exist during a forward pass.

========================================  =========================================
``output:backbone.layer4``                what a module returned
``input:head.fc``                         what a module was given
``param:neck.weight``                     a parameter or buffer
``call:package.module.function``          what a function returned
``call:package.module.Class.method``      what a method returned
========================================  =========================================

``[i]`` picks an element of a tuple or list, or a key of a dict; ``#k`` picks the k-th
call of a module that runs several times. Without ``#k`` every call is meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

KINDS = ("output", "input", "param", "call")
_PATTERN = re.compile(r"(\w+):([\w.]*)((?:\[[^\[\]]+\]|#\d+)*)")
_SUFFIX = re.compile(r"\[([^\[\]]+)\]|#(\d+)")


class SourceError(ValueError):
    """A source string that names nothing in this model."""


@dataclass(frozen=True)
class Source:
    """One parsed source string.

    Args:
        kind: ``output``, ``input``, ``param`` or ``call``.
        path: Dotted path of the module, parameter or function.
        index: Elements picked from the value, outermost first.
        call: Number of the call that is meant, from 0; all calls when None.

    Example:
        >>> Source.parse('output:neck[0]#2')
        Source(kind='output', path='neck', index=(0,), call=2)
        >>> str(Source.parse('input:head.fc'))
        'input:head.fc'
    """

    kind: str
    path: str
    index: tuple[int | str, ...] = ()
    call: int | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read a source string.

        Raises:
            SourceError: If the text does not follow the grammar of this file.
        """
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1] not in KINDS:
            raise SourceError(
                f"{text!r} is not a source. Write KIND:PATH, with KIND one of "
                f"{', '.join(KINDS)}, then [i] for an element and #k for the k-th "
                "call if needed, for example 'output:backbone.layer4' or "
                "'output:bbox_head.gfl_cls#2'."
            )
        index: list[int | str] = []
        call = None
        for element, number in _SUFFIX.findall(match[3]):
            if number and call is not None:
                raise SourceError(f"{text!r} names two calls; keep one '#k'.")
            if number:
                call = int(number)
            else:
                index.append(int(element) if element.lstrip("-").isdigit() else element)
        return cls(match[1], match[2], tuple(index), call)

    def __str__(self) -> str:
        suffix = "".join(f"[{i}]" for i in self.index)
        return f"{self.kind}:{self.path}{suffix}" + (
            "" if self.call is None else f"#{self.call}"
        )

    def pick(self, value: Any) -> Any:
        """Return the element of a value that this source means.

        Raises:
            SourceError: If the value has no such element.
        """
        for depth, key in enumerate(self.index):
            try:
                value = value[key]
            except (IndexError, KeyError, TypeError) as err:
                raise SourceError(
                    f"{str(self)!r}: cannot take [{key}] of {describe(value)} "
                    f"(element {depth + 1} of the source). Name one that exists."
                ) from err
        return value

    def replaced(self, value: Any, new: Any) -> Any:
        """Return a copy of a value in which the element meant is another."""
        return _replaced(value, self.index, new, self)


def _replaced(
    value: Any, index: tuple[int | str, ...], new: Any, source: Source
) -> Any:
    if not index:
        return new
    inner = _replaced(
        Source(source.kind, source.path, index[:1]).pick(value), index[1:], new, source
    )
    if isinstance(value, dict):
        return {**value, index[0]: inner}
    if isinstance(value, (tuple, list)):
        items: Any = list(value)
        items[index[0]] = inner
        return type(value)(items)
    raise SourceError(
        f"{str(source)!r}: cannot replace an element of {describe(value)}; only "
        "tuples, lists and dicts are rebuilt. Replay the whole value instead."
    )


def describe(value: Any) -> str:
    """Return a short text on what a value is, for error messages.

    Example:
        >>> import torch
        >>> describe((torch.zeros(2, 3), None))
        'a tuple of 2: (tensor (2, 3), None)'
    """
    if hasattr(value, "shape"):
        return f"tensor {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with keys {list(value)}"
    if isinstance(value, (tuple, list)):
        inner = ", ".join(describe(v) for v in value[:4])
        more = ", ..." if len(value) > 4 else ""
        return f"a {type(value).__name__} of {len(value)}: ({inner}{more})"
    return "None" if value is None else f"a {type(value).__name__}"


def near_names(name: str, known: Iterable[str], most: int = 5) -> str:
    """Return the known names nearest to one that is unknown, as a sentence.

    Example:
        >>> near_names('bakbone', ['backbone', 'neck', 'head'])
        "Near names: 'backbone'."
    """
    known = [k for k in known if k]
    near = difflib.get_close_matches(name, known, n=most, cutoff=0.5)
    last = name.rsplit(".", 1)[-1]
    near += [k for k in known if k.rsplit(".", 1)[-1] == last and k not in near]
    if near:
        return f"Near names: {', '.join(map(repr, near[:most]))}."
    tops = list(dict.fromkeys(k.split(".", 1)[0] for k in known))
    return f"Top-level names: {', '.join(map(repr, tops[:12]))}."
