# As torch's FakeQuantize, a module that observes and rounds. Here, bit-widths are a
# Choice, and each has a scale of its own: what clips best in 8 bits does not in 4.
"""What every quantizer of a tensor is: settings, a range, and rounding that trains."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..mutables import Mutable
from .lazy_tensors import LazyTensors, put_
from .numeric import quantized, scale_and_zero_point
from .observers import Observer, observer_for
from .settings import GRANULARITIES, QuantSettings
from .shapes import grouped

_STATE = ("lows", "highs", "scales", "zero_points")


class BaseFakeQuantize(LazyTensors, Mutable):
    """A tensor in, the nearest numbers that have an integer out.

    It observes while ``observing`` and rounds while ``quantizing``. A subclass holds
    ``scales`` and defines :meth:`rounded`.

    Args:
        settings: What the integers are, or a config of :class:`QuantSettings`.
        axis: Axis of the output channels of a weight; None says that the tensor is an
            activation, with images on its axis 0.
        observer: What finds the range.
        bits: Bit-widths to choose from in place of that of the settings; the first is
            selected to begin with. The Choice is ``bits``.
        name: Name of the Choice; without it the place gives the name.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If a setting is not allowed, or channels have no axis.
    """

    lows: Tensor
    scales: Tensor
    zero_points: Tensor
    is_current: Tensor
    num_rows: Tensor

    def __init__(
        self,
        settings: QuantSettings | Mapping[str, Any],
        axis: int | None = None,
        observer: Mapping[str, Any] | Observer | str = "MinMaxObserver",
        bits: Sequence[int] = (),
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        first = QuantSettings.of(settings)
        self._settings = [replace(first, bits=n) for n in bits or [first.bits]]
        self.axis = axis
        if bits:
            self._add_choice("bits", bits, name)
        self.observer = observer_for(first, axis, observer)
        for buffer in ("lows", "highs", "zero_points"):
            self.register_buffer(buffer, torch.zeros(0))
        self.register_buffer("is_current", torch.tensor(True))
        self.register_buffer("num_rows", torch.tensor(0))
        self.observing, self.quantizing = False, True
        self._is_current = True  # the buffer, without waiting for a GPU

    @abstractmethod
    def rounded(self, x: Tensor) -> Tensor:
        """Return the nearest numbers that have an integer."""

    def forward(self, x: Tensor) -> Tensor:
        """Observe a tensor, round it, both or neither.

        An empty tensor, such as the proposals on an image without any, is returned.

        Raises:
            ValueError: If it is observed and holds NaN or infinity.
            RuntimeError: If it is to be rounded and there is no range yet.
        """
        if not x.numel():
            return x
        if self._observes():
            self._observe_(x)
        if not self.quantizing:
            return x
        if not self.ready:
            self._begin_(x)
        return self.rounded(x)

    def as_folded(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return a weight that is rounded once a batch norm is folded into it.

        Args:
            weight: The weight.
            factor: What the norm multiplies it by, in a shape that broadcasts. Where it
                is 0 the weight stays as it is, so that it trains.
        """
        result = self(weight * factor) / torch.where(factor == 0, 1, factor)
        return torch.where(factor == 0, weight, result)

    def observe_end_(self, forget: bool = True) -> None:
        """Take the range of what all processes have seen; each of them must call it.

        Args:
            forget: Forget the data. Without it, the observer may go on from there.

        Raises:
            RuntimeError: If none of them has seen any.
        """
        self.observer.sync_()
        self._take_range_()
        if forget:
            self.observer.reset_()
        self.observing = False

    def set_range_(self, low: Tensor | float, high: Tensor | float) -> None:
        """Set the range, for all bit-widths, and forget what was observed.

        Args:
            low: Least numbers, in the shape of the scale.
            high: Greatest numbers.

        Raises:
            ValueError: If it is no range, or of another shape.
        """
        ends = (torch.as_tensor(end, device=self.lows.device) for end in (low, high))
        low, high = (end if end.is_floating_point() else end.float() for end in ends)
        kind = self.settings_now.granularity
        if low.dim() != GRANULARITIES.index(kind):
            raise ValueError(
                f"A range of shape {tuple(low.shape)} does not fit granularity="
                f"{kind!r}: give it in the shape of the scale."
            )
        self.observer.reset_()
        self._put_ranges_([(low, high)] * len(self._settings))

    @property
    def settings_now(self) -> QuantSettings:
        """Settings with the bit-width that is selected now."""
        return self._settings[self._place]

    @property
    def ready(self) -> bool:
        """Whether there is a range."""
        return not self._is_current or bool(self.zero_points.numel())

    @property
    def low(self) -> Tensor:
        """Least number of the range, in the shape of the scale."""
        return self._now("lows")

    @property
    def high(self) -> Tensor:
        """Greatest number of the range."""
        return self._now("highs")

    @property
    def scale(self) -> Tensor:
        """Step between integers: shape ``()``, ``(C,)`` or ``(O, G)``."""
        return self._now("scales")

    @property
    def zero_point(self) -> Tensor:
        """Integer that stands for 0, in the same shape."""
        return self._now("zero_points").round()  # averaged ones have fractions

    @torch.no_grad()
    def quantized_(self, x: Tensor) -> Tensor:
        """Return the integers of a tensor, which stays as it is.

        Raises:
            RuntimeError: If there is no range yet.
        """
        return quantized(x, self.scale, self.zero_point, self.settings_now, self.axis)

    def fix(self) -> BaseFakeQuantize:
        """Return one with the bit-width now selected; itself if there is no Choice."""
        if not self._roles:
            return self
        fixed = type(self)(self.settings_now, self.axis, self.observer)
        if self.ready:
            for name in _STATE:
                put_(getattr(fixed, name), self._now(name)[None])
        fixed.num_rows.copy_(self.num_rows)
        fixed.observing, fixed.quantizing = self.observing, self.quantizing
        return fixed.train(self.training)

    def extra_repr(self) -> str:
        """Show the settings and where the channels are."""
        ready = "" if self.ready else ", no range yet"
        return f"{self.settings_now}, axis={self.axis}{ready}"

    def _observes(self) -> bool:
        return self.observing

    def _begin_(self, x: Tensor) -> None:
        raise RuntimeError(
            f"{type(self).__name__} has no range to quantize with. Calibrate first: "
            "run the model on some batches while it is observing."
        )

    @property
    def _place(self) -> int:
        choice = self._roles.get("bits")
        return choice.values.index(choice.selected) if choice else 0

    def _now(self, name: str) -> Tensor:
        if not self.ready:
            BaseFakeQuantize._begin_(self, self.zero_points)
        if not self._is_current:
            self._take_range_()
        found: Tensor = getattr(self, name)[self._place]
        return found

    def _observe_(self, x: Tensor) -> None:
        """Let the observer see a tensor; the scale follows when it is asked for."""
        if self.settings_now.granularity == "group":
            self.num_rows.fill_(x.shape[self.axis or 0])
            x = grouped(x, self.settings_now.group_size or 1, self.axis)
        self.observer(x)
        self._set_current_(False)

    def _take_range_(self) -> None:
        ranges = [self.observer.range(settings) for settings in self._settings]
        if self.settings_now.granularity == "group":
            shape = int(self.num_rows), -1
            ranges = [(low.view(shape), high.view(shape)) for low, high in ranges]
        self._put_ranges_(ranges)

    @torch.no_grad()
    def _put_ranges_(self, ranges: Sequence[tuple[Tensor, Tensor]]) -> None:
        rows = [
            (*ends, *scale_and_zero_point(*ends, settings))
            for ends, settings in zip(ranges, self._settings, strict=True)
        ]
        for name, values in zip(_STATE, zip(*rows, strict=True), strict=True):
            put_(getattr(self, name), torch.stack(values))
        self._set_current_(True)

    def _set_current_(self, value: bool) -> None:
        self._is_current = value
        self.is_current.fill_(value)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any
    ) -> None:
        zeros = state_dict.get(prefix + "zero_points")
        if zeros is not None and len(zeros) not in (0, len(self._settings)):
            args[-1].append(
                f"'{prefix[:-1]}' has {len(self._settings)} bit-widths, and the state "
                f"{len(zeros)}. Give the bits that it was made with."
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._is_current = bool(self.is_current)
