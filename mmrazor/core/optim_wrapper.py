# mmengine's AmpOptimWrapper asserts an accelerator because it owns a GradScaler for
# float16. On a CPU torch autocasts to bfloat16, whose exponent range is float32's, so
# that no scaler is needed.
"""Mixed precision on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """An ``OptimWrapper`` whose forward passes autocast to bfloat16 on the CPU.

    ``tools/train.py --amp`` takes it where no accelerator is found.

    Args:
        loss_scale: Accepted so that a config written for ``AmpOptimWrapper`` runs;
            bfloat16 needs no scaling.
        dtype: ``None`` or ``'bfloat16'``.
        **kwargs: As for ``OptimWrapper``.

    Raises:
        ValueError: If ``dtype`` is another type.
    """

    def __init__(
        self, loss_scale: Any = None, dtype: str | None = None, **kwargs: Any
    ) -> None:
        if dtype not in (None, "bfloat16", torch.bfloat16):
            raise ValueError(
                f"Mixed precision on a CPU needs dtype='bfloat16', got {dtype!r}. "
                "Remove the key, or train without --amp."
            )
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast beside what the host does in a gradient accumulation."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield
