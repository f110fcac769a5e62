# Beside PruningScheduleHook: there channels go one after the other, here the network is
# compact from the first step on and its layers change what they compute.
"""Train a compact network whose filters are fused, and make it plain in the end."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, IterBasedTrainLoop

from ...registry import HOOKS
from ..protocols import PRUNING_KEY
from .averaged_models import averages_of
from .optimizer_state import Shrunk, optimizers_of, slice_state_
from .pruning_schedule_hook import PruningScheduleHook, _model_of
from .schedule_fit import ScheduleError


@runtime_checkable
class FusesFilters(Protocol):
    """A model whose part ``pruner`` makes it compact and has it fuse its filters."""

    pruner: Any

    def fusing_plan(self) -> tuple[Any, ...]:
        """Return what ``fuse_`` takes; change nothing."""
        ...

    def fuse_(self, *plan: Any) -> dict[Any, Any]:
        """Become compact; return what became of the parameters."""
        ...

    def chosen_again(self, time: int, length: int) -> Any:
        """Return what ``represent_`` takes; change nothing."""
        ...

    def represent_(self, fusion: Any) -> None:
        """Fuse in another way from now on."""
        ...

    def fix_(self) -> dict[Any, Any]:
        """Become plain; return what became of the parameters."""
        ...

    def load_fusion_(self, data: Any, checkpoint: Any) -> None:
        """Become what a checkpoint's model was."""
        ...

    def pack_(self, checkpoint: Any) -> None:
        """Put compact weights in the place of all filters."""
        ...

    def unpack_(self, checkpoint: Any) -> None:
        """Put all filters back."""
        ...


@HOOKS.register_module()
class FuseFiltersHook(PruningScheduleHook):
    """Drive the DCFF pruner of an Algorithm, and carry it through checkpoints.

    The tools add it to a run whose model has ``pruner=dict(type='DCFFPruner', ...)``.

    - Before training the network is cut to its compact width in place, and its
      convolutions begin to fuse their filters.
    - At every interval of the pruner the representatives are chosen anew, by the first
      process for all, and the temperature is set.
    - After the last step, or when training is stopped, the fused filters become the
      weights of a plain network. Optimizer state, averaged models (``EMAHook``) and the
      distributed wrapper follow at each of these times.
    - Checkpoints hold the compact network, plain, and for resuming all its filters.
    - After training, ``subnet.yaml`` and ``pruned.pth`` are written as for any pruner.

    Raises:
        TypeError: If the model has no such pruner, or the distributed wrapper cannot
            take in smaller parameters.
        ScheduleError: If the pruner counts epochs and the training loop does not.
    """

    def before_run(self, runner: Any) -> None:
        """Let checkpoints be packed after all other hooks have added to them."""
        _fusing_model(runner)
        if not any(isinstance(hook, _PackHook) for hook in runner.hooks):
            runner.register_hook(_PackHook(), priority="LOWEST")

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Become what the checkpoint's network was; in a test the compact one."""
        state = (checkpoint.get("meta") or {}).get(PRUNING_KEY)
        trains = isinstance(runner._train_loop, BaseLoop)  # built by now, if so
        if state is None or not trains or state.get("finished"):
            super().after_load_checkpoint(runner, checkpoint)
            return
        model = _fusing_model(runner)
        model.load_fusion_(state, checkpoint)
        for average in averages_of(runner):
            average.module.load_fusion_(state, checkpoint)
        self._follow(runner, {})
        model.unpack_(checkpoint)

    def before_train(self, runner: Any) -> None:
        """Make the network compact, unless it was resumed."""
        model = _fusing_model(runner)
        model.pruner.driven = True
        if model.pruner.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ScheduleError(
                "DCFFPruner counts epochs, but IterBasedTrainLoop has none. Set "
                "by_epoch=False and give interval in iterations."
            )
        if model.pruner.finished or model.pruner.fusion is not None:
            return
        plan = list(model.fusing_plan())
        broadcast_object_list(plan)
        runner.optim_wrapper.zero_grad()
        shrunk = model.fuse_(*plan)
        for average in averages_of(runner):
            average.module.fuse_(*plan)
        self._follow(runner, shrunk)
        runner.logger.info(f"Fusing filters: {model.pruner.state.progress()}.")

    def before_train_epoch(self, runner: Any) -> None:
        """Choose representatives anew if it is time."""
        if _model_of(runner).pruner.by_epoch:
            self._choose_if_due(runner, runner.epoch, runner.max_epochs)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Choose representatives anew if it is time."""
        if not _model_of(runner).pruner.by_epoch:
            self._choose_if_due(runner, runner.iter, runner.max_iters)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Become plain after the last step, before checkpoints are written."""
        by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        if by_iter and runner.iter + 1 == runner.max_iters:
            self._fix(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Become plain after the last epoch, before checkpoints are written."""
        by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        if not by_iter and runner.epoch + 1 == runner.max_epochs:
            self._fix(runner)

    def after_train(self, runner: Any) -> None:
        """Become plain if training was stopped early; write the compact network."""
        self._fix(runner)
        super().after_train(runner)

    def _choose_if_due(self, runner: Any, time: int, length: int) -> None:
        model = _fusing_model(runner)
        if model.pruner.finished or time % model.pruner.interval:
            return
        # Near ties may fall otherwise on another device: the first process decides.
        shared = [model.chosen_again(time, length)]
        broadcast_object_list(shared)
        for one in (model, *(average.module for average in averages_of(runner))):
            one.represent_(shared[0])

    def _fix(self, runner: Any) -> None:
        model = _fusing_model(runner)
        if model.pruner.finished:
            return
        runner.optim_wrapper.zero_grad()
        shrunk = model.fix_()
        for average in averages_of(runner):
            average.module.fix_()
        self._follow(runner, shrunk)
        runner.logger.info("The fused filters are the weights of a plain network now.")

    def _follow(self, runner: Any, shrunk: Shrunk) -> None:
        """Bring along what refers to parameters that changed their size."""
        for optimizer in optimizers_of(runner.optim_wrapper):
            slice_state_(optimizer, shrunk)
        for average in averages_of(runner):
            if average.update_buffers:  # it holds views of the old tensors
                average.avg_parameters = average.module.state_dict()
        self._rebuild_wrapper(runner)


class _PackHook(Hook):
    """Packs a checkpoint that is complete."""

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        _fusing_model(runner).pack_(checkpoint)


def _fusing_model(runner: Any) -> FusesFilters:
    model = _model_of(runner)
    if not isinstance(model, FusesFilters):
        raise TypeError(
            f"FuseFiltersHook needs model=dict(type='mmrazor.DCFF', ...), got "
            f"{type(model).__name__}. Take that, or remove the hook from custom_hooks."
        )
    return model
