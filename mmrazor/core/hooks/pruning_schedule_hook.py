# The hook knows the run: when, with which optimizer, averages and processes. What goes
# is the model's pruner's business, through core/protocols.py.
"""Prune a model while it trains."""

from __future__ import annotations

from typing import Any

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop
from torch.utils.hooks import RemovableHandle

from ...registry import HOOKS
from ..forward import unwrapped
from ..protocols import PRUNING_KEY, PrunesInTraining, RebuildsReducer
from .averaged_models import averages_of, shrink_average_
from .optimizer_state import optimizers_of, slice_state_
from .pruned_files import write_pruned
from .schedule_fit import check_fit, steps_until_due


@HOOKS.register_module()
class PruningScheduleHook(Hook):
    """Do what the pruner of an Algorithm plans, and carry it through checkpoints.

    The tools add it to a run whose model has ``pruner=dict(type='Pruner', ...)``.

    - Before training the model is traced and a pruning tried on a copy, so that what
      cannot work is said at once.
    - At each time that the schedule names the model shrinks in place: parameters stay
      the same objects, and the optimizer's state, averaged models (``EMAHook``) and the
      distributed wrapper are cut alike. Gradients so far are dropped. All processes
      prune what the first one chooses.
    - The best checkpoint (``save_best``) is sought anew among those of the smaller
      model.
    - Checkpoints hold the channels that are left, counted in the original
      architecture, under ``meta['pruning']``; a checkpoint that has them is loaded into
      the original, which is cut first.
    - After training, ``subnet.yaml`` and ``pruned.pth`` (the bare Architecture's
      weights, averaged ones if there are) are written to the work folder.

    Raises:
        TypeError: If the model has no such pruner, or the distributed wrapper cannot
            take in smaller parameters.
        ScheduleError: If the schedule does not fit the training loop.
    """

    # Before all that copies the model or compares a checkpoint with it.
    priority = "HIGHEST"

    def __init__(self) -> None:
        self._reading: RemovableHandle | None = None

    def before_run(self, runner: Any) -> None:
        """Take back what was pruned at building if other weights are to come."""
        model = _model_of(runner)
        trains = isinstance(runner._train_loop, BaseLoop)  # built by now, if so
        initialised = getattr(model.architecture, "is_init", False)
        if runner._load_from or runner._resume or (trains and not initialised):
            self._restore(runner)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Cut the original as the checkpoint's model was cut."""
        model = _model_of(runner)
        state = (checkpoint.get("meta") or {}).get(PRUNING_KEY)
        if state is None:
            self._restore(runner)
            return
        cuts = model.load_pruning_(state)
        for average in averages_of(runner):
            shrink_average_(average, cuts)
        self._rebuild_wrapper(runner)

    def before_train(self, runner: Any) -> None:
        """Find faults early; prune once if there is no schedule."""
        model = _model_of(runner)
        pruner = model.pruner
        check_fit(runner, pruner)
        pruner.driven = True
        pruner.settle_()
        if pruner.schedule is not None:
            if not pruner.finished:
                model.prepare_pruning()
        elif not pruner.finished:
            self._prune(runner, 1.0, None)

    def before_train_epoch(self, runner: Any) -> None:
        """Prune if the schedule names this epoch."""
        schedule = _model_of(runner).pruner.schedule
        if schedule is not None and schedule.by_epoch:
            self._prune_if_due(runner, runner.epoch)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Prune if the schedule names this step, or read its gradients."""
        pruner = _model_of(runner).pruner
        schedule = pruner.schedule
        if schedule is None or pruner.finished:
            return
        if not schedule.by_epoch:
            self._prune_if_due(runner, runner.iter)
        if pruner.importance.reads_gradients and self._reading is None:
            left = steps_until_due(runner, schedule, batch_idx)
            if left is not None and left <= pruner.num_batches:
                self._read_gradients(runner)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Drop what was read in a step that the scaler of half precision left out."""
        wrapper = runner.optim_wrapper
        scaled = getattr(wrapper, "loss_scaler", None) is not None
        if scaled and self._reading is not None and wrapper.should_update():
            _model_of(runner).pruner.scores.forget_step_()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Store what is left of the original, as plain data."""
        state = _model_of(runner).pruner.state_dict()
        if state is not None:
            checkpoint.setdefault("meta", {})[PRUNING_KEY] = state

    def after_train(self, runner: Any) -> None:
        """Write the pruned model and its Subnet."""
        model = _model_of(runner)
        self._stop_reading(model.pruner)
        if model.pruner.state is None:
            return
        averaged = next(averages_of(runner), None)
        source = model if averaged is None else averaged.module
        write_pruned(runner, model.pruner, source.architecture)

    def _prune_if_due(self, runner: Any, time: int) -> None:
        pruner = _model_of(runner).pruner
        schedule = pruner.schedule
        late = time > schedule.end  # the run went past it with another config
        if not pruner.finished and (schedule.is_due(time) or late):
            self._stop_reading(pruner)
            self._prune(runner, schedule.share(time), time)

    def _prune(self, runner: Any, share: float, time: int | None) -> None:
        """Shrink the model and all that refers to its parameters."""
        model = _model_of(runner)
        step = model.next_step(share, time)
        # Near ties may fall otherwise on another device: the first process decides.
        shared = [None if step is None else (step.state, step.cuts)]
        broadcast_object_list(shared)
        if shared[0] is None:
            if share == 1:
                model.pruner.finish_()
            return
        state, cuts = shared[0]
        runner.optim_wrapper.zero_grad()
        shrunk = model.shrink_(cuts)
        model.pruner.take_(state)
        for optimizer in optimizers_of(runner.optim_wrapper):
            slice_state_(optimizer, shrunk)
        for average in averages_of(runner):
            shrink_average_(average, cuts)
        self._rebuild_wrapper(runner)
        _forget_best_(runner)
        at = "before training" if time is None else f"at {_unit(model, time)}"
        runner.logger.info(f"Pruned {at}: {model.pruner.state.progress()}.")

    def _restore(self, runner: Any) -> None:
        if _model_of(runner).restore_():
            self._rebuild_wrapper(runner)

    def _rebuild_wrapper(self, runner: Any) -> None:
        if not is_model_wrapper(runner.model):
            return
        if not isinstance(runner.model, RebuildsReducer):
            raise TypeError(
                f"{type(runner.model).__name__} cannot take in parameters of another "
                "size. Set model_wrapper_cfg=dict(type='mmrazor.AlgorithmDDP')."
            )
        runner.model.rebuild_()

    def _read_gradients(self, runner: Any) -> None:
        """Add up scores right before each optimizer step, when gradients are final."""
        model = _model_of(runner)
        optimizers = list(optimizers_of(runner.optim_wrapper))
        if len(optimizers) != 1:
            raise TypeError(
                f"{type(model.pruner.importance).__name__} reads the gradients of one "
                f"optimizer, but the run has {len(optimizers)}. Use one, or an "
                "importance that reads weights."
            )
        model.pruner.start_scoring_(model.architecture)
        self._reading = optimizers[0].register_step_pre_hook(
            lambda *_: model.pruner.scores.add_(_loss_scale(runner.optim_wrapper))
        )

    def _stop_reading(self, pruner: Any) -> None:
        if self._reading is not None:
            self._reading.remove()
            self._reading = None
            pruner.scores.stop_()


def _loss_scale(optim_wrapper: Any) -> float:
    """Return what the losses of a step are multiplied by in half precision."""
    scaler = getattr(optim_wrapper, "loss_scaler", None)
    return 1.0 if scaler is None else float(scaler.get_scale())


def _unit(model: Any, time: int) -> str:
    word = "epoch" if model.pruner.schedule.by_epoch else "iteration"
    return f"{word} {time}"


def _model_of(runner: Any) -> Any:
    model = unwrapped(runner.model)
    pruner = getattr(model, "pruner", None)
    if not isinstance(model, PrunesInTraining) or not hasattr(pruner, "schedule"):
        raise TypeError(
            f"PruningScheduleHook needs an Algorithm with pruner=dict("
            f"type='mmrazor.Pruner', ...), got {type(model).__name__} with "
            f"{type(pruner).__name__}. Add it to the model, or remove the hook from "
            "custom_hooks."
        )
    return model


def _forget_best_(runner: Any) -> None:
    """Let the best checkpoint be one of the model as it is, not of a larger one."""
    info = runner.message_hub.runtime_info
    for key in [key for key in info if key.startswith("best_score")]:
        runner.message_hub.pop_info(key)
