"""Recorder: the one way a value inside a forward pass is kept or replaced.

Forward hooks on modules and wrapped functions, installed on entry and removed on exit.
Two things are learned in the first pass and used from the second on: how often each
place is called (so that a pass nobody needs the rest of can end early), and which
values the model later overwrites in place (``ReLU(inplace=True)`` behind a norm, say),
so that only those are copied.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from ..forward import map_tensors
from .source import Source
from .targets import Listen, find_target


class RecordError(RuntimeError):
    """A value that was asked for but not recorded as asked."""


class _EarlyExit(BaseException):
    """Ends a forward pass; no ``except Exception`` of a model may catch it."""


class Recorder:
    """Keep, or replace, named values while a model runs.

    Args:
        model: The model whose modules and parameters the sources name.
        sources: Source strings of the values to keep, see
            :mod:`mmrazor.core.capture.source`.
        replay: Values to put in place of those that the model computes, by source
            string. Without ``#k`` the value is used at every call.
        early_exit: End the forward pass once every source has its last value. The first
            pass runs to its end, because only then is known how often a place is
            called.

    Raises:
        SourceError: If a source names nothing in the model.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with Recorder(model, ['output:0']) as recorder:
        ...     _ = model(torch.ones(1, 2))
        >>> recorder.get('output:0').shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        model: nn.Module,
        sources: str | Iterable[str] = (),
        *,
        replay: Mapping[str, Any] | None = None,
        early_exit: bool = False,
    ) -> None:
        texts = [sources] if isinstance(sources, str) else list(sources)
        self.model = model
        self.early_exit = early_exit
        self._sources = {text: Source.parse(text) for text in texts}
        self._replay = {Source.parse(t): value for t, value in (replay or {}).items()}
        self._targets: dict[tuple[str, str], Listen] = {}
        for source in (*self._sources.values(), *self._replay):
            key = (source.kind, source.path)
            if key not in self._targets:
                self._targets[key] = find_target(model, source)
        self._usual_calls: dict[tuple[str, str], int] | None = None
        self._overwritten: set[str] = set()
        self._hooks = ExitStack()
        self._clear()

    def get(self, source: str) -> Any:
        """Return the one value of a source.

        Raises:
            RecordError: If it never came, or came several times (name one with ``#k``).
        """
        values = self.calls(source)
        if len(values) > 1:
            raise RecordError(
                f"{source!r} was called {len(values)} times. Name one call, "
                f"'{source}#0' to '{source}#{len(values) - 1}', or take them all with "
                "Recorder.calls()."
            )
        return values[0]

    def calls(self, source: str) -> list[Any]:
        """Return the values of a source, one for each call, in order.

        Raises:
            RecordError: If the source is not recorded, or its value never came.
        """
        if source not in self._sources:
            raise RecordError(
                f"{source!r} is not recorded. Recorded: {list(self._sources)}."
            )
        if not self._values[source]:
            raise RecordError(self._why_absent(source))
        if source in self._stale:
            raise RecordError(
                f"{source!r} was overwritten in place after it was recorded, which did "
                "not happen in the first pass. Record the value behind it, or build "
                "that layer with inplace=False."
            )
        return self._values[source]

    def values(self) -> dict[str, list[Any]]:
        """Return the values of all sources, as :meth:`calls` does for one."""
        return {source: self.calls(source) for source in self._sources}

    def __enter__(self) -> Recorder:
        self._clear()
        with ExitStack() as hooks:  # a fault half way takes away what is installed
            for key, listen in self._targets.items():
                hooks.callback(listen(partial(self._react, key)))
            self._hooks = hooks.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._hooks.close()
        left_early = isinstance(error, _EarlyExit)
        if error is None or left_early:
            self._learn()
        self._originals.clear()
        return left_early

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        replay = {str(source): value for source, value in self._replay.items()}
        return Recorder(
            copy.deepcopy(self.model, memo),
            list(self._sources),
            replay=replay,
            early_exit=self.early_exit,
        )

    def _clear(self) -> None:
        self._values: dict[str, list[Any]] = {text: [] for text in self._sources}
        self._originals: list[tuple[str, Tensor, int]] = []
        self._stale: set[str] = set()
        self._counts: Counter[tuple[str, str]] = Counter()

    def _react(self, key: tuple[str, str], value: Any) -> Any:
        number = self._counts[key]
        self._counts[key] += 1
        for source, new in self._replay.items():
            if (source.kind, source.path) == key and source.call in (None, number):
                value = source.replaced(value, new)
        for text, source in self._sources.items():
            if (source.kind, source.path) == key and source.call in (None, number):
                self._values[text].append(self._kept(text, source.pick(value)))
        if self.early_exit and key[0] != "param" and self._complete():
            raise _EarlyExit
        return value

    def _kept(self, text: str, value: Any) -> Any:
        if self._sources[text].kind == "param":
            return value
        if text in self._overwritten:
            return map_tensors(value, Tensor.clone)
        map_tensors(value, lambda tensor: self._watch(text, tensor))
        if self._usual_calls is None:
            return map_tensors(value, Tensor.clone)
        return value

    def _watch(self, text: str, tensor: Tensor) -> Tensor:
        if not tensor.is_inference():  # those carry no version
            self._originals.append((text, tensor, tensor._version))
        return tensor

    def _learn(self) -> None:
        changed = {t for t, tensor, at in self._originals if tensor._version != at}
        self._overwritten |= changed
        if self._usual_calls is None:
            self._usual_calls = dict(self._counts)
        else:
            self._stale = changed

    def _complete(self) -> bool:
        if self._usual_calls is None:
            return False
        for source in self._sources.values():
            key = (source.kind, source.path)
            usual = self._usual_calls.get(key, 0)
            wanted = usual if source.call is None else source.call + 1
            if self._counts[key] < max(wanted, 1):
                return False
        return True

    def _why_absent(self, text: str) -> str:
        source = self._sources[text]
        number = self._counts[(source.kind, source.path)]
        if source.call is not None and number:
            return (
                f"{text!r}: call {source.call} never came; there were {number} calls, "
                f"#0 to #{number - 1}."
            )
        if source.kind == "call":
            return (
                f"{text!r} was never called during the forward pass. Where a file has "
                "'from x import f', name f in that file: call:that.file.f."
            )
        return (
            f"{text!r} never came: '{source.path}' exists but was not called during "
            "the forward pass. Check that this mode of the model uses it; a module "
            "whose .forward() is called directly, past __call__, cannot be recorded."
        )
