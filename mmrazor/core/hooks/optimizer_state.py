# torch's optimizers keep their state by parameter; the parameters stay, smaller, so the
# state must lose the same rows. Factored second moments (Adafactor) have size 1 on the
# axes that they sum over.
"""Slice the state of an optimizer as its parameters were sliced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

Shrunk = Mapping[Any, tuple[Sequence[int], Mapping[int, Sequence[int]]]]


def slice_state_(optimizer: torch.optim.Optimizer, shrunk: Shrunk) -> None:
    """Keep the state of what is left of each parameter: momenta, moments, averages.

    Args:
        optimizer: Its parameters have shrunk already, in place.
        shrunk: By parameter, its shape before and the kept indices by axis.

    Raises:
        ValueError: If the optimizer keeps something that cannot be sliced.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([1., 2., 3.]))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        >>> optimizer.state[weight] = {'momentum_buffer': torch.tensor([4., 5., 6.])}
        >>> weight.data = weight.data[[0, 2]]
        >>> slice_state_(optimizer, {weight: ((3,), {0: [0, 2]})})
        >>> optimizer.state[weight]['momentum_buffer'].tolist()
        [4.0, 6.0]
    """
    for parameter, (shape, axes) in shrunk.items():
        state = optimizer.state.get(parameter)
        if not state:
            continue
        for key, value in state.items():
            where = f"{type(optimizer).__name__} keeps '{key}'"
            if isinstance(value, Tensor):
                state[key] = _sliced(value, shape, axes, where)
            elif isinstance(value, (list, tuple, dict)) and value:
                raise ValueError(
                    f"{where} as a {type(value).__name__} for a parameter that lost "
                    "channels. Prune with an optimizer that keeps tensors, such as SGD "
                    "or Adam."
                )


def optimizers_of(wrapper: Any) -> Iterable[torch.optim.Optimizer]:
    """Return the optimizers of an mmengine optimizer wrapper."""
    if isinstance(wrapper, OptimWrapperDict):
        return [part.optimizer for part in wrapper.values()]
    return [wrapper.optimizer] if isinstance(wrapper, OptimWrapper) else []


def _sliced(
    value: Tensor,
    shape: Sequence[int],
    axes: Mapping[int, Sequence[int]],
    where: str,
) -> Tensor:
    if value.dim() == 0:  # a count of steps
        return value
    sizes = tuple(value.shape)
    fits = len(sizes) == len(shape) and all(
        have in (1, full) for have, full in zip(sizes, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{where} of shape {sizes} for a parameter of shape {tuple(shape)} that "
            "lost channels; which part belongs to them is not known. Prune with "
            "another optimizer, such as SGD or Adam."
        )
    for axis, kept in axes.items():
        if sizes[axis] == shape[axis]:
            index = torch.tensor(kept, dtype=torch.long, device=value.device)
            value = value.index_select(axis, index)
    return value
