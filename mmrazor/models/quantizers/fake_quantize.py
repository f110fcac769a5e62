"""Rounding to a range that was observed, trained straight through."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from ...registry import MODELS
from .base import BaseFakeQuantize
from .numeric import fake_quantized


@final
@MODELS.register_module()
class FakeQuantize(BaseFakeQuantize):
    """Round to the integers of a range that was observed.

    Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference (Jacob et al., 2018, arXiv:1712.05877), section 3; the gradient is that of
    :func:`~.numeric.fake_quantized`. It can observe and round at the same time: the
    scale then follows the data.

    Args:
        settings: See :class:`~.base.BaseFakeQuantize`, as for the others: ``axis``,
            ``observer``, ``bits``, ``name`` and ``init_cfg``.

    Example:
        >>> quantizer = FakeQuantize(dict(bits=4), bits=[4, 2])
        >>> quantizer.set_range_(-7.0, 7.0)
        >>> x = torch.tensor([0.4, 2.6, 9.0])
        >>> quantizer(x), quantizer.quantized_(x)
        (tensor([0., 3., 7.]), tensor([0., 3., 7.]))
        >>> quantizer.choices()[0].selected = 2
        >>> quantizer(x), quantizer.fix().settings_now.bits
        (tensor([0., 0., 7.]), 2)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("scales", torch.zeros(0))

    def rounded(self, x: Tensor) -> Tensor:
        """Return the nearest numbers that have an integer."""
        pair = self.scale, self.zero_point
        return fake_quantized(x, *pair, self.settings_now, self.axis)
