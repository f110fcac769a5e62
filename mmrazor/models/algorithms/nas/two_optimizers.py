"""The optimizers of weights and of architecture parameters."""

from __future__ import annotations

from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict

WEIGHTS, ALPHAS = "architecture", "mutator"


def two_optimizers(
    optim_wrapper: Any, method: str, scaled: bool = True
) -> tuple[OptimWrapper, OptimWrapper]:
    """Return the optimizer wrappers of the weights and of the architecture parameters.

    Args:
        optim_wrapper: What the run gives to ``train_step``.
        method: Who needs it, for messages.
        scaled: Whether the losses of the weights may be scaled, as in half precision.

    Raises:
        ValueError: If there are not these two, or they do what the method cannot do.
    """
    found = isinstance(optim_wrapper, OptimWrapperDict) and set(optim_wrapper.keys())
    if found != {WEIGHTS, ALPHAS}:
        raise ValueError(
            f"{method} trains weights and architecture parameters with two optimizers, "
            f"and got {found or type(optim_wrapper).__name__}. Set optim_wrapper=dict("
            "constructor='mmrazor.SeparateOptimWrapperConstructor', architecture=dict("
            "optimizer=...), mutator=dict(optimizer=...))."
        )
    weights, alphas = optim_wrapper[WEIGHTS], optim_wrapper[ALPHAS]
    for name, wrapper in ((WEIGHTS, weights), (ALPHAS, alphas)):
        if wrapper._accumulative_counts != 1:
            raise ValueError(
                f"{method} takes a step of both optimizers for each batch. Remove "
                f"accumulative_counts from optim_wrapper.{name}, or lower the batch "
                "size."
            )
        has_scaler = getattr(wrapper, "loss_scaler", None) is not None
        if has_scaler and not (scaled and wrapper is weights):
            raise ValueError(
                f"{method} cannot use scaled losses for optim_wrapper.{name}: the "
                "gradient of the architecture parameters is not scaled. Set its "
                "type='OptimWrapper'."
            )
    return weights, alphas
