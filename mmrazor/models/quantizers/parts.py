"""The quantizers of a model, without the places where they stand."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.logging import print_log
from torch import nn

from .base import BaseFakeQuantize
from .loading import lacking


class Parts(nn.Module, ABC):
    """Quantizers of weights and of activations, by the key of their place."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ModuleDict()
        self.activations = nn.ModuleDict()

    @abstractmethod
    def drop_(self, unseen: Mapping[str, set[str]]) -> Any:
        """Take quantizers away, by part and key."""

    def mode_(self, observing: bool, quantizing: bool) -> None:
        """Say what all quantizers do with what they see.

        Args:
            observing: Take note of its range.
            quantizing: Round it.
        """
        for module in self.quantizers():
            module.observing, module.quantizing = observing, quantizing

    def freeze_(self) -> None:
        """Stop observing; ranges that followed the data are those of all processes."""
        for module in self.quantizers():
            if module.observer.has_data():
                module.observe_end_()
            module.observing = False

    @property
    def ready(self) -> bool:
        """Whether all quantizers have a range."""
        return all(module.ready for module in self.quantizers())

    @contextmanager
    def in_float(self) -> Iterator[None]:
        """Let the model run in float for a while."""
        modules = self.quantizers()
        before = [(module, module.observing, module.quantizing) for module in modules]
        self.mode_(observing=False, quantizing=False)
        try:
            yield
        finally:
            for module, observing, quantizing in before:
                module.observing, module.quantizing = observing, quantizing

    def quantizers(self, part: str | None = None) -> list[BaseFakeQuantize]:
        """Return the quantizers of ``weights``, of ``activations`` or all of them."""
        names = ("weights", "activations") if part is None else (part,)
        return [
            module
            for name in names
            for module in getattr(self, name).values()
            if isinstance(module, BaseFakeQuantize)
        ]

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any
    ) -> None:
        """Leave in float what was left in float where the state comes from."""
        parts = {"weights": self.weights, "activations": self.activations}
        unknown = lacking(parts, state_dict, prefix)
        if any(unknown.values()):
            print_log(
                "The state has no quantizers at these places, which stay in float: "
                f"{', '.join(map(str, self.drop_(unknown)))}.",
                logger="current",
                level=logging.WARNING,
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
