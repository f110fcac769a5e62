# x86 without VNNI (before about 2019) adds products of unsigned activations and signed
# weights in 16 bits that saturate: a convolution with weights up to 127 was off by 58
# of 255 steps, and a ResNet-18 that should be 28.4 dB from float was 25.2. Unsigned
# weights around 128 are exact there. With VNNI signed ones are exact, and faster: a
# 3x3 convolution of 256 channels took 1.0 ms, 2.5 with unsigned ones, 3.6 in float.
"""What the processor at hand does to sums of integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

_VNNI = ("avx512_vnni", "avx_vnni")


def sums_saturate(capabilities: Mapping[str, Any] | None = None) -> bool:
    """Tell whether sums of products with signed weights of 8 bits may saturate.

    Args:
        capabilities: Of the processor, as ``torch.cpu.get_capabilities`` gives them;
            that at hand if left out, which may saturate if torch cannot tell.

    Example:
        >>> sums_saturate({'avx2': True, 'avx512_vnni': False})
        True
        >>> sums_saturate({'neon': True})
        False
    """
    if capabilities is None:
        read = getattr(torch.cpu, "get_capabilities", None)
        capabilities = {"avx2": True} if read is None else read()
    known = capabilities.get("avx2", False)
    return bool(known) and not any(capabilities.get(name) for name in _VNNI)
