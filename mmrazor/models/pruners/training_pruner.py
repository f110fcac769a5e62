# Prune a little, train on, prune again: Han et al. (2015, arXiv:1506.02626) for
# weights, Molchanov et al. (2019, arXiv:1906.10771) for channels. The model really
# shrinks at every pruning, in place, so that the rest of the training is cheaper too.
"""Pruner: the part of an Algorithm that makes its Architecture smaller."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ...core.cost import Budget, count_cost, warn_of_uncounted
from ...core.graph import ChannelGraph, example_inputs
from ...core.graph.compose import Undo
from ...core.graph.cuts import Cuts
from ...core.values import check_image_size, check_number
from ...registry import MODELS
from .cutting import Shrunk, cut_
from .gradient_scores import GradientScores
from .importances import Importance, build_importance
from .next_units import Selection
from .pruner import NothingPrunableError, nothing_prunable
from .pruning_state import PruningState
from .pruning_step import Step, checked_step, cuts_to_do, traced_groups
from .schedules import LinearSchedule, build_schedule

_DEFAULT_SIZE = (224, 224)


@MODELS.register_module()
class Pruner:
    """Prune the Architecture of an Algorithm, at once or while it trains.

    - Without a schedule it is pruned when the Algorithm is built; if other weights
      arrive later (``init_cfg``, ``load_from``), anew from those when training begins.
    - With a schedule it is pruned in steps, each ranked with the weights of its moment.
    - An importance that reads gradients takes its scores over the last
      ``num_batches`` optimizer steps before a pruning; without a schedule the network
      is pruned once, after the first so many.

    The last two are driven by ``mmrazor.PruningScheduleHook``, which the tools add to a
    run.

    Args:
        budget: Bounds on the cost of the final model, see
            :class:`~mmrazor.core.cost.Budget`.
        importance: Ranks the channels: a name, a config or an object.
        ranking: ``global``, one threshold over all groups, or ``local``, the same share
            of each.
        divisor: Kept channels are a multiple of this in every group.
        min_keep: Channels that each group keeps at least, or a fraction of them.
        ignore: Modules (with all inside them) whose parameters keep their size.
        tie: Lists of modules whose outputs must keep the same channels.
        whole: Modules to treat as one.
        image_size: Height and width of the images that the model is run on to find its
            channels; the tools take the config's test images, otherwise it is 224.
        schedule: Config of a :class:`~mmrazor.models.pruners.Schedule`.
        num_batches: Optimizer steps whose gradients are read before a pruning.
        inputs: What the model is called with, in place of images of that size.

    Raises:
        TypeError: If a config is of another kind.
        ValueError: If a value is out of range.
    """

    #: What a run needs beside the model; the tools add it.
    training_hook = "mmrazor.PruningScheduleHook"

    def __init__(
        self,
        budget: Budget | Mapping[str, Any],
        importance: str | Mapping[str, Any] | Importance = "L1Importance",
        ranking: str = "global",
        divisor: int = 1,
        min_keep: int | float = 1,
        ignore: Sequence[str] = (),
        tie: Sequence[Sequence[str]] = (),
        whole: Sequence[str] = (),
        image_size: Sequence[int] | None = None,
        schedule: Any = None,
        num_batches: int = 16,
        inputs: Any = None,
    ) -> None:
        check_number("num_batches", num_batches, whole=True)
        if num_batches < 1:
            raise ValueError(f"num_batches={num_batches} must be at least 1.")
        if image_size is not None:
            check_image_size(image_size)
        self.selection = Selection(Budget.parse(budget), ranking, divisor, min_keep)
        self.importance = build_importance(importance)
        self.scores = GradientScores(self.importance)
        self.hints = {"ignore": ignore, "tie": tie, "whole": whole}
        self.image_size = tuple(image_size or _DEFAULT_SIZE)
        self.inputs = inputs
        self.schedule = build_schedule(schedule)
        self.num_batches = num_batches
        if self.schedule is None and self.importance.reads_gradients:
            self.schedule = LinearSchedule(num_batches, num_batches)
        self.state: PruningState | None = None
        self.driven = False
        self._told = False  # which operations are not counted
        self._undo: Undo | None = None

    def __call__(self, model: nn.Module) -> nn.Module:
        """Return the model, pruned in place unless there is a schedule."""
        if self.schedule is None:
            step = self.decide(model, 1.0)
            assert step is not None  # it has no state yet
            self._undo = Undo(model, step.cuts)
            self.cut_(model, step.cuts)
            self.take_(step.state)
            print_log(step.state.progress(), logger="current")
        return model

    @property
    def finished(self) -> bool:
        """Whether the budget's target is reached."""
        return self.state is not None and self.state.finished

    def check_driven(self) -> None:
        """Return quietly if somebody prunes, or nothing is left to do.

        Raises:
            RuntimeError: If the model trains and nobody will prune it.
        """
        if not (self.driven or self.finished):
            raise RuntimeError(
                f"The model trains, but nothing prunes it: {self.schedule} needs "
                f"custom_hooks=[dict(type='{self.training_hook}')] in the Runner. The "
                "tools and mmrazor.train add it."
            )

    def prepare(self, model: nn.Module) -> Step | None:
        """Trace the model and try a pruning before training, to find faults early.

        Half of every group is cut from a copy; groups that break the model are frozen.

        Returns:
            The trial, not to be done; None if the pruner has begun already.

        Raises:
            TraceError: If the model does not run on the example inputs.
            NothingPrunableError: If no group can be pruned.
            BudgetError: If the budget cannot be reached.
        """
        if self.state is not None:
            return None
        graph, state, inputs = self._traced(model)

        def halves(current: ChannelGraph) -> dict[str, list[int]]:
            return self.selection.halves(current.groups, state)

        trial = checked_step(graph, state, halves, inputs)
        self.state = replace(state, frozen=trial.state.frozen)
        self.selection.check_reachable(graph.groups, self.state, 1.0)
        if graph.unprunable:
            print_log(
                f"Left alone in {type(model).__name__}, among other things: "
                f"{next(iter(graph.unprunable))}; tools/show_channels.py lists all "
                f"{len(graph.unprunable)}, and why.",
                logger="current",
            )
        return trial

    def decide(
        self, model: nn.Module, share: float, time: int | None = None
    ) -> Step | None:
        """Choose what goes now; the model stays as it is.

        Args:
            model: The Architecture, as it is now.
            share: Of the way from the dense cost to the target, in [0, 1].
            time: Step or epoch, for the records.

        Returns:
            The pruning, checked on a copy; None if the model is small enough.

        Raises:
            NothingPrunableError: If no group can be pruned.
            BudgetError: If the budget cannot be reached.
        """
        if self.state is not None and self.selection.fits(self.state, share):
            return None
        graph, state, inputs = self._traced(model)
        score: Any = self.importance
        if self.importance.reads_gradients:
            score = self.scores.scorer(graph, inputs)

        def choose(current: ChannelGraph) -> dict[str, list[int]]:
            scores = {group.name: score(group) for group in current.groups}
            return self.selection.units(current.groups, scores, state, share)

        return checked_step(graph, state, choose, inputs, time, share == 1)

    def cut_(self, model: nn.Module, cuts: Cuts) -> Shrunk:
        """Make a model smaller in place, see :func:`~.cutting.cut_`."""
        return cut_(model, cuts)

    def take_(self, state: PruningState) -> None:
        """Take over the state after a pruning; gradients are read anew."""
        self.state = state
        self.scores.clear_()

    def finish_(self) -> None:
        """Note that the target is reached, also where nothing had to go."""
        assert self.state is not None
        self.state = replace(self.state, finished=True)

    def settle_(self) -> None:
        """Keep for good what was pruned at building."""
        self._undo = None

    def restore_(self, model: nn.Module) -> bool:
        """Take back what was pruned at building, because other weights arrive.

        Returns:
            Whether there was something.
        """
        if self._undo is None:
            return False
        self._undo.apply_(model)
        self._undo = self.state = None
        return True

    def state_dict(self) -> dict[str, Any] | None:
        """Return plain data for a checkpoint; None before anything is known."""
        if self.state is None:
            return None
        return {**self.state.to_dict(), "scores": self.scores.to_dict()}

    def load_state_(self, model: nn.Module, data: Mapping[str, Any]) -> Cuts:
        """Take the state of a checkpoint, and cut the model accordingly.

        Returns:
            The cuts that were done; none if the model had them already.

        Raises:
            PruningStateError: If the data is damaged or of another model, or the model
                was cut otherwise before.
        """
        values = dict(data)
        scores = values.pop("scores", {"sums": {}, "count": 0})
        state = PruningState.from_dict(values)
        self.restore_(model)
        todo = cuts_to_do(model, self.state, state)
        self.cut_(model, todo)
        # A smaller budget than the checkpoint's takes up the pruning again.
        done = state.finished and self.selection.fits(state, 1.0)
        self.take_(replace(state, finished=done))
        self.scores.load_(scores)
        return todo

    def start_scoring_(self, model: nn.Module) -> None:
        """Find the channels whose scores ``scores.add_()`` adds up."""
        self.scores.start_(self._traced(model)[0])

    def slots_of_role(self, model: nn.Module, role: str) -> list[str]:
        """Return the parameters that have the channels of a prunable group in a role.

        Args:
            model: The Architecture.
            role: See :class:`~mmrazor.core.graph.Slot`.
        """
        groups = self._traced(model)[0].groups
        names = [slot.name for g in groups for slot in g.slots if slot.role == role]
        return list(dict.fromkeys(names))

    def _traced(self, model: nn.Module) -> tuple[ChannelGraph, PruningState, Any]:
        inputs = self.inputs
        if inputs is None:
            inputs = example_inputs(model, self.image_size)
        scorer = self.importance
        roles: Sequence[str] = ()
        if scorer.reads_gradients and not scorer.reads_masks:
            roles = getattr(scorer, "roles", ("out",))
        graph, state = traced_groups(model, inputs, self.state, self.hints, roles)
        if not self._told and self.selection.budget.macs is not None:
            dense = count_cost(model, inputs, graph.recorded)
            warn_of_uncounted(dense.uncounted, type(model).__name__)
        self._told = True
        for name, reason in self.scores.refusals(graph, inputs).items():
            graph.freeze([name], reason)
        if not graph.groups:
            raise NothingPrunableError(nothing_prunable(graph))
        return graph, state, inputs

    def __deepcopy__(self, memo: dict[int, Any]) -> Pruner:
        twin = copy.copy(self)  # of an averaged model: the hook cuts it alike
        memo[id(self)] = twin
        twin.scores, twin._undo = GradientScores(self.importance), None
        return twin
