# One run of an example tells which norm is behind which layer. Other data may take
# other ways: a branch by size, a flag of the batch. A layer that runs without its norm
# then is noticed by counting their calls.
"""Notice data that run a layer without the batch norm that is folded into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn


class SkippedNorms:
    """Count the calls of layers and of the norms behind them, batch by batch.

    Args:
        pairs: Names of layers and norms.

    Attributes:
        found: By pair, in which batch they were called how often.

    Example:
        >>> import torch
        >>> net = nn.ModuleList([nn.Linear(2, 2), nn.Identity()])
        >>> skips = SkippedNorms([('0', '1')])
        >>> with skips.counting(net):
        ...     _ = net[1](net[0](torch.zeros(1, 2)))
        ...     skips.check(1)
        ...     _ = net[0](torch.zeros(1, 2))
        ...     skips.check(2)
        >>> skips.found
        {('0', '1'): 'batch 2 calls the layer 1 times, the norm 0 times'}
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = list(pairs)
        self._calls: Counter[str] = Counter()
        self.found: dict[tuple[str, str], str] = {}

    @contextmanager
    def counting(self, model: nn.Module) -> Iterator[None]:
        """Count while the model runs; afterwards its hooks are gone.

        Args:
            model: Has modules of the names.
        """
        names = {name for pair in self._pairs for name in pair}
        handles = [
            model.get_submodule(name).register_forward_pre_hook(
                partial(self._called, name)
            )
            for name in sorted(names)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def check(self, batch: int) -> None:
        """Compare the calls since the last check.

        Args:
            batch: Number of the batch that was run since.
        """
        for pair in self._pairs:
            layer, norm = (self._calls[name] for name in pair)
            if layer != norm:
                self.found.setdefault(
                    pair,
                    f"batch {batch} calls the layer {layer} times, the norm {norm} "
                    "times",
                )
        self._calls.clear()

    def _called(self, name: str, *_: Any) -> None:
        self._calls[name] += 1
