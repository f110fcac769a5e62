"""What every observer is: a statistic of what it sees, and a range drawn from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from mmengine.dist import all_gather_object
from torch import Tensor, nn

from ..settings import QuantSettings
from .statistic import Statistic


class Observer(nn.Module, ABC):
    """See numbers and say which range of them is worth keeping.

    A subclass defines :meth:`ends` and nothing else. What it has seen is kept in
    buffers: it goes into a state dict and comes back.

    Args:
        statistic: What to keep of the numbers.
        axis: Axis of the channels, each of which gets a range of its own; without it,
            there is one range of all.

    Attributes:
        least: The least number that it has seen in this process; None before the first.
    """

    def __init__(self, statistic: Statistic, axis: int | None = None) -> None:
        super().__init__()
        self.statistic = statistic
        self.axis = axis
        self.least: Tensor | None = None

    @abstractmethod
    def ends(self, settings: QuantSettings) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest number worth keeping, shape ``(C,)`` each.

        Args:
            settings: What the numbers will be made.
        """

    @torch.no_grad()
    def forward(self, x: Tensor) -> None:
        """See a tensor.

        Raises:
            ValueError: If it is empty, holds NaN or infinity, or has another number of
                channels than those before.
        """
        x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        if not x.numel():
            raise ValueError(
                f"A tensor of shape {tuple(x.shape)} has no numbers to observe."
            )
        if self.axis is None:
            rows = x.reshape(1, -1)
            low, high = (end.view(1) for end in torch.aminmax(x))
        else:
            rows = x.movedim(self.axis, 0).flatten(1)
            low, high = torch.aminmax(rows, dim=1)
        if not torch.isfinite(high - low).all():  # both ends, in one look
            raise ValueError(
                f"A tensor of shape {tuple(x.shape)} holds NaN or infinity, or numbers "
                "too far apart for a range. Look at the data and at what is computed "
                "before: a range cannot be observed here."
            )
        known = self.statistic.num_channels()
        if known not in (0, len(rows)):
            raise ValueError(
                f"A tensor of shape {tuple(x.shape)} has {len(rows)} channels on axis "
                f"{self.axis}; those observed before had {known}."
            )
        self.statistic.add_(rows, low, high)
        least = low.min()
        self.least = least if self.least is None else torch.minimum(self.least, least)

    @final
    def has_data(self) -> bool:
        """Return whether it has seen numbers."""
        return self.statistic.is_filled()

    @final
    @torch.no_grad()
    def range(self, settings: QuantSettings | None = None) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest number worth keeping.

        Args:
            settings: What the numbers will be made; some observers need to know. By
                default, symmetric and signed in 8 bits.

        Returns:
            Two of shape ``()``, or ``(C,)`` with ``axis``.

        Raises:
            RuntimeError: If it has seen nothing.
        """
        if not self.has_data():
            raise RuntimeError(
                f"{type(self).__name__} has seen no data. Run the model on some "
                "batches first."
            )
        low, high = self.ends(settings or QuantSettings())
        return (low, high) if self.axis is not None else (low[0], high[0])

    @final
    def sync_(self) -> None:
        """Put together what all processes have seen, so that their ranges agree.

        They are those of one process that saw all data; moving averages are averaged.
        Every process must call it, also one that has seen nothing. Once is enough: what
        was put together counts as seen by each of them.
        """
        own = {name: b.cpu() for name, b in self.statistic.named_buffers()}
        states = [
            state
            for state in all_gather_object(own)
            if all(buffer.numel() for buffer in state.values())
        ]
        if not states:
            return
        device = next(self.statistic.buffers()).device
        merged = self.statistic.merged(states)
        self.statistic.put_({name: b.to(device) for name, b in merged.items()})

    @final
    def reset_(self) -> None:
        """Forget what it has seen."""
        self.statistic.reset_()
        self.least = None

    def extra_repr(self) -> str:
        """Show the axis."""
        return f"axis={self.axis}"
