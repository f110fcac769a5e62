# `float(s) for s in self.stride`, `int(buffer)`, `if buffer:`: an eager run reads
# numbers that torch.export, whose tensors have no elements, does not have. A number
# that does not depend on the inputs is the same in every run: it is read in one before.
"""Give exporters the numbers that a model reads from tensors of its own."""

from __future__ import annotations

import copy
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.overrides
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from ..models.quantizers import sites

_Tensor: Any = Tensor
#: What returns something that is no tensor and depends on a tensor's elements.
_READS = frozenset(
    [
        *(_Tensor.item, _Tensor.tolist, _Tensor.numpy, _Tensor.__array__),
        *(_Tensor.__int__, _Tensor.__float__, _Tensor.__bool__, _Tensor.__index__),
        *(_Tensor.__complex__, _Tensor.equal, _Tensor.allclose, _Tensor.is_nonzero),
        *(torch.equal, torch.allclose, torch.is_nonzero),
    ]
)
#: Code that stands between a model's and what it calls.
_BETWEEN = frozenset([__file__, sites.__file__, torch.overrides.__file__])
#: Line of code, in the order of its calls; None stands for what depends on the inputs.
_Numbers = dict[tuple[Any, ...], list[Any]]


class NumberReader(TorchFunctionMode):
    """Take note of the numbers that are read in an eager run.

    Args:
        inputs: Tensors of the run; what is computed of them is not noted.

    Example:
        >>> model, x = torch.nn.Identity(), torch.ones(2)
        >>> with NumberReader([x]) as reader:
        ...     one, other = float(torch.tensor(3.0)), float(x.sum())
        >>> reader.any_found
        True
    """

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()
        self._dependent: Any = WeakIdKeyDictionary()
        for tensor in inputs:
            self._dependent[tensor] = True
        self.numbers: _Numbers = defaultdict(list)

    @property
    def any_found(self) -> bool:
        """Whether a number was read that does not depend on the inputs."""
        return any(one is not None for found in self.numbers.values() for one in found)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        dependent = any(
            leaf in self._dependent
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor)
        )
        if func in _READS:
            noted = None if dependent else (copy.deepcopy(result),)
            self.numbers[_line_of(func)].append(noted)
        elif dependent:
            written = args[:1] if func is _Tensor.__setitem__ else ()
            for leaf in tree_leaves((result, written, kwargs.get("out"))):
                if isinstance(leaf, Tensor):
                    self._dependent[leaf] = True
        return result


class NumberReplay(TorchFunctionMode):
    """Give the numbers of an earlier run where the same lines read them.

    Args:
        numbers: What :class:`NumberReader` has noted.
    """

    def __init__(self, numbers: _Numbers) -> None:
        super().__init__()
        self._left = {line: iter(found) for line, found in numbers.items()}

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func in _READS:
            noted = next(self._left.get(_line_of(func), iter(())), None)
            if noted is not None:
                return copy.deepcopy(noted[0])
        return func(*args, **(kwargs or {}))


def _line_of(func: Callable) -> tuple[Any, ...]:
    """Return the line of the model's code that calls now, and what it calls."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in _BETWEEN:
        frame = frame.f_back
    return frame.f_code, frame.f_lineno, func
