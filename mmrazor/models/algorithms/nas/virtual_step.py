# DARTS (arXiv:1806.09055), section 2.3. The authors take the mixed second derivative
# from a difference of two gradients (equation 8); here it is exact: one backward pass
# through the step, which costs no more and needs no epsilon.
"""The gradient of architecture parameters through a step that is not taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def sgd_step(
    weight: Tensor, grad: Tensor, group: Mapping[str, Any], buffer: Tensor | None
) -> Tensor:
    """Return the weight after a step of ``torch.optim.SGD``; it depends on ``grad``.

    Args:
        weight: The weight.
        grad: Its gradient.
        group: The optimizer's settings for it.
        buffer: The optimizer's momentum buffer for it, if there is one yet.

    Example:
        >>> group = torch.optim.SGD([torch.zeros(1)], lr=0.1).param_groups[0]
        >>> sgd_step(torch.tensor([1.0]), torch.tensor([2.0]), group, None)
        tensor([0.8000])
    """
    if group["maximize"]:
        grad = -grad
    grad = grad + group["weight_decay"] * weight
    momentum = group["momentum"]
    if momentum:
        if buffer is None:
            moving = grad
        else:
            moving = momentum * buffer + (1 - group["dampening"]) * grad
        grad = grad + momentum * moving if group["nesterov"] else moving
    return weight - group["lr"] * grad


def unrolled_gradients(
    train_loss: Tensor,
    val_loss: Callable[[Sequence[Tensor]], Tensor],
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    step: Callable[[int, Tensor], Tensor],
    average_: Callable[[Sequence[Tensor]], None] = lambda _: None,
) -> tuple[list[Tensor], Tensor]:
    """Return ``d val_loss(step(w, d train_loss / dw), alpha) / d alpha``, exactly.

    Args:
        train_loss: Depends on weights and architecture parameters.
        val_loss: From the weights after the step to a loss that depends on them and on
            the architecture parameters.
        weights: The weights ``w``.
        alphas: The architecture parameters.
        step: From the position of a weight and its gradient to the weight after the
            step; affine in the gradient.
        average_: Averages tensors over the processes, in place. All processes end with
            what one would have found on all their data.

    Returns:
        The gradients of ``alphas``, and the loss after the step.

    Example:
        >>> w, a = (torch.tensor(v, requires_grad=True) for v in (1.0, 2.0))
        >>> grads, _ = unrolled_gradients(
        ...     a * w * w, lambda moved: moved[0] * a, [w], [a], lambda _, g: w - g)
        >>> grads  # w' = w - 2aw, d(w' a)/da = w - 4aw
        [tensor(-7.)]
    """
    grads = torch.autograd.grad(
        train_loss, weights, create_graph=True, allow_unused=True
    )
    moved = [
        weight if grad is None else step(i, grad)
        for i, (weight, grad) in enumerate(zip(weights, grads, strict=True))
    ]
    # A step affine in the gradient: the mean of the steps is the step of the mean.
    leaves = [value.detach().clone() for value in moved]
    average_(leaves)
    for leaf in leaves:
        leaf.requires_grad_()
    loss = val_loss(leaves)
    found = _gradients(loss, [*leaves, *alphas])
    average_(found)
    outer, direct = found[: len(leaves)], found[len(leaves) :]
    paths = [
        (value, grad)
        for value, grad, own in zip(moved, outer, grads, strict=True)
        if own is not None and own.requires_grad
    ]
    if paths:
        values, along = zip(*paths, strict=True)
        indirect = _gradients(values, alphas, along)
        average_(indirect)
        direct = [a + b for a, b in zip(direct, indirect, strict=True)]
    return direct, loss.detach()


def _gradients(outputs: Any, inputs: Sequence[Tensor], along: Any = None) -> list:
    """Return gradients; zeros where an output does not depend on an input."""
    found = torch.autograd.grad(outputs, inputs, along, allow_unused=True)
    return [
        torch.zeros_like(value) if grad is None else grad.contiguous()
        for value, grad in zip(inputs, found, strict=True)
    ]
