"""Modules whose tensors get their shape from the first data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class LazyTensors(nn.Module):
    """A module whose buffers and parameters take the shape of what is loaded.

    So a state dict loads into a fresh module that has not seen any data yet.
    """

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, tensor in {**self._buffers, **self._parameters}.items():
            found = state_dict.get(prefix + name)
            if isinstance(found, Tensor) and tensor is not None:
                put_(tensor, torch.empty_like(found, device=tensor.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def put_(tensor: Tensor, values: Tensor) -> None:
    """Give a buffer or parameter new values; it takes their shape, dtype and device.

    It stays the same object, so that an optimizer goes on with it.
    """
    with torch.no_grad():
        same = (values.shape, values.dtype, values.device)
        if (tensor.shape, tensor.dtype, tensor.device) == same:
            tensor.copy_(values)
        else:
            tensor.data = values.detach().clone()
