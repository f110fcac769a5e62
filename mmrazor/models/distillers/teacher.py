"""Teacher: a frozen network beside an Algorithm, and no part of it.

It is held outside torch's module tree, so that checkpoints, optimizers, parameter
counts and weight averages never see it; :class:`~mmrazor.models.algorithms.Algorithm`
moves it between devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.capture import Recorder
from .teacher_cache import TeacherCache


class Teacher:
    """A model that is only looked at: eval mode, no gradients, an early end.

    Args:
        model: The teacher network.
        sources: Source strings of the values wanted from it.
        mode: How it is run: ``tensor`` (features alone, no losses), or ``predict`` for
            models without a tensor mode.
        cache: Keeps its values for data whose views never change.

    Raises:
        SourceError: If a source names nothing in the model.
    """

    def __init__(
        self,
        model: nn.Module,
        sources: Iterable[str],
        mode: str = "tensor",
        cache: TeacherCache | None = None,
    ) -> None:
        if mode not in ("tensor", "predict"):
            raise ValueError(f"teacher mode is {mode!r}; use 'tensor' or 'predict'.")
        self.model = model.eval().requires_grad_(False)
        self.mode = mode
        self.cache = cache
        self.recorder = Recorder(model, sources, early_exit=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> Teacher:
        return self  # frozen: an averaged copy of the Algorithm shares it

    @torch.no_grad()
    def values(self, *args: Any, **kwargs: Any) -> dict[str, list[Tensor]]:
        """Return the recorded values for one batch of preprocessed data.

        Args:
            *args: What the data preprocessor hands to the model, usually nothing.
            **kwargs: The same by name, usually ``inputs`` and ``data_samples``.

        Returns:
            By source, one value for each call.
        """
        if self.cache is None:
            return self._run(*args, **kwargs)
        return self.cache.values(self._run, *args, **kwargs)

    @torch.no_grad()
    def predict(self, *args: Any, **kwargs: Any) -> list:
        """Return the teacher's predictions for one batch of preprocessed data."""
        self.model.eval()
        return self.model(*args, mode="predict", **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> dict[str, list[Tensor]]:
        self.model.eval()
        with self.recorder:
            self.model(*args, mode=self.mode, **kwargs)
        return self.recorder.values()
