# mmengine's AmpOptimWrapper asserts an accelerator because it owns a GradScaler for
# float16. On a CPU torch autocasts to bfloat16, whose exponent range is float32's, so
# that no scaler is needed.
"""Optimizer wrappers: mixed precision on a CPU, and two optimizers of one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from torch import nn

from mmrazor.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

from .protocols import is_alpha


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


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SeparateOptimWrapperConstructor:
    """Give architecture parameters an optimizer of their own.

    These are the parameters whose name ends in ``alpha``.

    Args:
        optim_wrapper_cfg: ``architecture`` and ``mutator``, each the config of an
            optimizer wrapper as mmengine takes it, with a ``paramwise_cfg`` if so
            wished: of the weights, and of the architecture parameters.
        paramwise_cfg: None; it stands in the two configs.

    Raises:
        ValueError: If there are not these two configs, or one has no parameters.

    Example:
        >>> optim_wrapper = dict(
        ...     constructor='mmrazor.SeparateOptimWrapperConstructor',
        ...     architecture=dict(optimizer=dict(type='SGD', lr=0.025)),
        ...     mutator=dict(optimizer=dict(type='Adam', lr=3e-4)))
    """

    def __init__(
        self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: Any = None
    ) -> None:
        given = {key for key, value in optim_wrapper_cfg.items() if value is not None}
        if given - {"type"} != {"architecture", "mutator"} or paramwise_cfg:
            raise ValueError(
                "SeparateOptimWrapperConstructor takes optim_wrapper=dict(constructor="
                "..., architecture=dict(optimizer=...), mutator=dict(optimizer=...)), "
                f"and got {sorted(given)}"
                f"{' and paramwise_cfg' if paramwise_cfg else ''}. A paramwise_cfg "
                "stands inside one of the two; in a config with a _base_, "
                "_delete_=True removes the inherited keys."
            )
        self.configs = {
            key: dict(optim_wrapper_cfg[key]) for key in ("architecture", "mutator")
        }

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build both optimizers."""
        alphas = {id(p) for name, p in model.named_parameters() if is_alpha(name)}
        wrappers = {}
        for key, cfg in self.configs.items():
            if cfg.get("paramwise_cfg"):  # tied parameters are listed twice
                paramwise = {"bypass_duplicate": True, **cfg["paramwise_cfg"]}
                cfg = {**cfg, "paramwise_cfg": paramwise}
            wrapper = build_optim_wrapper(model, cfg)
            groups = wrapper.optimizer.param_groups
            for group in groups:
                group["params"] = [
                    p
                    for p in group["params"]
                    if (id(p) in alphas) == (key == "mutator")
                ]
            groups[:] = [group for group in groups if group["params"]]
            if not groups:
                raise ValueError(
                    f"{type(model).__name__} has no parameters for "
                    f"optim_wrapper.{key}: architecture parameters are those of "
                    "DiffMutableOP and others of its kind."
                )
            wrappers[key] = wrapper
        return OptimWrapperDict(**wrappers)
