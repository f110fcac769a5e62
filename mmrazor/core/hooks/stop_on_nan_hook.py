# NaN is looked for right before each optimizer step: the weights are still good then,
# gradients are those of all processes, so that all stop at the same step, and what the
# scaler of half precision skips never gets there.
"""Stop a training whose numbers are no longer finite, and keep what was good."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ...registry import HOOKS
from ..forward import unwrapped
from .averaged_models import averages_of
from .nan_origin import all_finite, find_origin
from .optimizer_state import optimizers_of

_STATISTICS = ("running_mean", "running_var")
_EXCHANGE = 10  # steps between two questions to the other processes
_SKIPPED = 50  # steps in a row that the scaler of half precision may leave out


class NonFiniteError(RuntimeError):
    """Losses, gradients or weights of a training are NaN or infinite."""


@HOOKS.register_module()
class StopOnNanHook(Hook):
    """End a training at the first step whose loss or gradients are not finite.

    The tools add it to every run that trains, unless the config says
    ``stop_on_nan = False``. The weights are then those before that step, and no
    checkpoint is written or removed any more. The error names the step, the terms of
    the loss and the layer: its forward pass is repeated for that.

    - A step that the scaler of half precision leaves out is no fault, unless 50 follow
      each other.
    - Weights, averaged weights and statistics of norms are looked at before anything is
      saved or validated. What was not finite when training began is not looked at.
    - Of several processes all stop.

    Raises:
        NonFiniteError: In the step, or before the checkpoint.
    """

    # After averages were updated, before checkpoints are removed and written.
    priority = "LOW"

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._ignored: set[str] = set()
        self._fault: str | None = None
        self._skipped = 0
        self._runner: Any = None
        self._batch: Any = None

    def before_train(self, runner: Any) -> None:
        """Look at gradients before each optimizer step from now on."""
        self._runner = runner
        self._ignored = {name for name, value in _weights(runner) if _is_odd(value)}
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step)
            for optimizer in optimizers_of(runner.optim_wrapper)
        ]

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Keep the batch, of which the forward pass may be repeated."""
        self._batch = data_batch

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Look at the losses; at the weights if a checkpoint comes next."""
        odd = _odd_losses(outputs)
        if odd and _is_scaled(runner.optim_wrapper):
            self._skipped += 1
            if self._skipped < _SKIPPED:
                odd = {}
        else:
            self._skipped = 0
        if odd and self._fault is None:
            # Other processes may know nothing of it, and could not take part.
            alone = get_world_size() == 1
            origin = self._repeated()[1] if alone else ""
            self._fault = f"iteration {runner.iter + 1}: {_text(odd)}{origin}"
        last = self.is_last_train_iter(runner)
        if get_world_size() == 1 or last or (runner.iter + 1) % _EXCHANGE == 0:
            self._stop_if_anyone_must()
        if last or any(_saves_now(hook, runner) for hook in runner.hooks):
            self._check(_weights(runner), runner.iter + 1)
            self._stop_if_anyone_must()

    def after_train_epoch(self, runner: Any) -> None:
        """Look at the weights before they are saved."""
        self._check(_weights(runner), runner.iter)
        self._stop_if_anyone_must()

    def before_val_epoch(self, runner: Any) -> None:
        """Look at the weights before the best of them are saved."""
        if self._runner is not None:
            self._check(_weights(runner), runner.iter)
            self._stop_if_anyone_must()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Never let anything but finite weights be written."""
        if self._runner is not None:
            names = {name for name, _ in _weights(runner)}
            for key in ("state_dict", "ema_state_dict"):
                state = checkpoint.get(key) or {}
                named = ((k, v) for k, v in state.items() if k in names)
                self._check(named, runner.iter)
            self._stop_here()

    def after_train(self, runner: Any) -> None:
        """Leave the optimizers as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._batch, self._runner = [], None, None

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if getattr(optimizer, "found_inf", None) is not None:
            return  # a fused one, which leaves the step out by itself
        owned = [p for group in optimizer.param_groups for p in group["params"]]
        if all_finite(p.grad for p in owned if p.grad is not None):
            return
        runner = self._runner
        text = self._fault or f"iteration {runner.iter + 1}"
        if self._fault is None:
            losses, origin = self._repeated()
            text += f": {_text(losses) or self._odd_gradient(owned)}{origin}"
        self._fault = text
        self._stop_here()

    def _repeated(self) -> tuple[dict[str, float], str]:
        """Return terms of the loss, and the layer, of the same step once more."""
        model = unwrapped(self._runner.model)
        return find_origin(model, self._batch, self._runner.optim_wrapper)

    def _odd_gradient(self, owned: Iterable[Any]) -> str:
        """Name the weight nearest to the loss whose gradient is not finite."""
        mine = {id(p) for p in owned if p.grad is not None and _is_odd(p.grad)}
        named = unwrapped(self._runner.model).named_parameters()
        found = [(name, p.grad) for name, p in named if id(p) in mine]
        if not found:
            return "a gradient is nan or infinite"
        name, grad = found[-1]
        return f"the gradient of '{name}' is {_kind(grad)}"

    def _check(self, named: Iterable[tuple[str, Any]], time: int) -> None:
        """Note the first weight that is not finite, and was when training began."""
        looked_at = [
            (name, value)
            for name, value in named
            if isinstance(value, Tensor)
            and name.removeprefix("module.") not in self._ignored
        ]
        if self._fault is not None or all_finite(value for _, value in looked_at):
            return
        name, value = next(pair for pair in looked_at if _is_odd(pair[1]))
        self._fault = f"iteration {time}: '{name}' is {_kind(value)}"

    def _stop_if_anyone_must(self) -> None:
        if get_world_size() > 1:
            flag = torch.tensor([float(self._fault is not None)])
            all_reduce(flag)
            if flag.item() and self._fault is None:
                step = f"iteration {self._runner.iter + 1}"
                self._fault = f"{step}: another process found NaN or infinity"
        self._stop_here()

    def _stop_here(self) -> None:
        if self._fault is None:
            return
        last = self._runner.message_hub.runtime_info.get("last_ckpt")
        kept = (
            f"The last checkpoint, '{last}', is kept."
            if last and Path(str(last)).exists()
            else "No checkpoint was written."
        )
        raise NonFiniteError(
            f"Training stopped in {self._fault}. {kept} Lower the learning rate, clip "
            "gradients (optim_wrapper.clip_grad) or look at the data; stop_on_nan = "
            "False in the config goes on in spite of it."
        )


def _weights(runner: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield what a run must keep finite: weights, statistics of norms, averages."""
    model = unwrapped(runner.model)
    yield from model.named_parameters()
    for name, value in model.named_buffers():
        if name.endswith(_STATISTICS):
            yield name, value
    for average in averages_of(runner):
        for name, value in average.module.named_parameters():
            yield f"module.{name}", value


def _saves_now(hook: Any, runner: Any) -> bool:
    return (
        isinstance(hook, CheckpointHook)
        and not hook.by_epoch
        and hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
    )


def _odd_losses(outputs: Any) -> dict[str, float]:
    """Return the terms of the loss that are not finite; the sum if no term is."""
    if not isinstance(outputs, Mapping):
        return {}
    named = {k: v for k, v in outputs.items() if "loss" in k}
    tensors = [v for v in named.values() if isinstance(v, Tensor) and v.numel() == 1]
    if len(tensors) == len(named) > 0:  # one wait for the device
        flat = torch.stack([v.detach().float().reshape(()) for v in tensors])
        named = dict(zip(named, flat.tolist(), strict=True))
    values = {k: float(v) for k, v in named.items() if isinstance(v, (int, float))}
    odd = {k: v for k, v in values.items() if not math.isfinite(v)}
    return {k: v for k, v in odd.items() if k != "loss"} or odd


def _text(odd: Mapping[str, float]) -> str:
    return " and ".join(f"'{name}' is {value}" for name, value in odd.items())


def _is_scaled(wrapper: Any) -> bool:
    parts = wrapper.values() if hasattr(wrapper, "values") else [wrapper]
    return any(getattr(part, "loss_scaler", None) is not None for part in parts)


def _is_odd(value: Tensor) -> bool:
    return not all_finite([value])


def _kind(value: Tensor) -> str:
    return "nan" if bool(value.isnan().any()) else "infinite"
