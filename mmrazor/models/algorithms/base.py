"""Algorithm: one Architecture, the parts that compress it, and a training step.

Any combination of parts is one config; a method with a step of its own overrides
``train_step``, written once against :meth:`Algorithm.run` for one process or many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...core.capture import Recorder
from ...core.values import check_spec
from ...registry import MODELS
from ..architectures import build_architecture
from ..distillers import Distiller, Teacher
from ..distillers.distiller import build_part
from ..quantizers import calibrate_
from .checks import (
    check_mmengine_model,
    check_one_changes,
    check_weights_given,
    warn_other_normalisation,
)
from .pruning_steps import PruningSteps


@MODELS.register_module(name=["Algorithm", "Compress"])
class Algorithm(PruningSteps, BaseModel):
    """Wrap an Architecture with the parts that make it small, or better, in training.

    Any combination of parts may be given; configs name it ``mmrazor.Compress``.

    Args:
        architecture: The model to compress: its config, ``dict(cfg_path=...)``, a path,
            or a module. It must be an mmengine model (``forward(..., mode=...)``).
        mutator, pruner, quantizer: Configs of parts that change the Architecture. Each
            is called once with it, in this order, and returns it changed. They are kept
            as attributes: a pruner with a schedule goes on while the model trains, see
            :class:`~mmrazor.models.pruners.Pruner`, and so may a
            :class:`~mmrazor.models.quantizers.Quantizer`.
        distiller: Config of the :class:`~mmrazor.models.distillers.Distiller`.
        teacher: As ``architecture``, with its weights: ``checkpoint='teacher.pth'`` or
            ``pretrained=True``; ``pretrained=False`` says that random weights are
            meant.
        teacher_mode: ``tensor``, or ``predict`` for teachers that have no tensor mode.
        teacher_cache: Config of a :class:`~mmrazor.models.distillers.TeacherCache`,
            for training data without random augmentation.
        data_preprocessor: Used where the architecture's own config has none.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If a teacher comes without a distiller or the other way round, a
            teacher's weights are left open, or a model would be pruned while it is
            quantized.
        SourceError: If a source of the distiller names nothing in student or teacher.
    """

    #: Type of the pruner if its config names none.
    pruner_type = "Pruner"
    #: Whether a step leaves parameters without a gradient, which distributed training
    #: must look for; :class:`~mmrazor.models.algorithms.AlgorithmDDP` reads it.
    find_unused_parameters = False

    def __init__(
        self,
        architecture: Any,
        mutator: dict | None = None,
        pruner: dict | None = None,
        distiller: dict | None = None,
        teacher: Any = None,
        quantizer: dict | None = None,
        teacher_mode: str = "tensor",
        teacher_cache: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        model = build_architecture(architecture, data_preprocessor=data_preprocessor)
        check_mmengine_model(model, "architecture")
        super().__init__(model.data_preprocessor, init_cfg)
        self.mutator: Any = None if mutator is None else build_part(mutator)
        self.pruner: Any = None
        if pruner is not None:
            check_spec("pruner", pruner)
            self.pruner = build_part({"type": self.pruner_type, **pruner})
        self.quantizer: Any = None
        if quantizer is not None:
            check_one_changes(self.pruner)
            check_spec("quantizer", quantizer)
            self.quantizer = build_part({"type": "Quantizer", **quantizer})
        for part in (self.mutator, self.pruner, self.quantizer):
            if part is not None:
                model = part(model)
        self.architecture = model
        self.distiller = None
        self.teacher = None
        self.distilling = False
        self._wrapper: nn.Module | None = None
        if (distiller is None) != (teacher is None):
            lacking = "distiller" if distiller is None else "teacher"
            raise ValueError(
                f"{type(self).__name__} has no {lacking}. Distillation takes both "
                "teacher=dict(...) and distiller=dict(losses=dict(...))."
            )
        if distiller is not None:
            check_spec("distiller", distiller)
            self.distiller = build_part({"type": "Distiller", **distiller})
            self.distilling = True
            self._listen()
            check_weights_given(teacher)
            model = build_architecture(teacher, data_preprocessor=data_preprocessor)
            check_mmengine_model(model, "teacher")
            warn_other_normalisation(self.data_preprocessor, model.data_preprocessor)
            cache = None
            if teacher_cache is not None:
                check_spec("teacher_cache", teacher_cache)
                cache = build_part({"type": "TeacherCache", **teacher_cache})
            sources = self.distiller.teacher_sources
            self.teacher = Teacher(model, sources, teacher_mode, cache)

    def forward(self, *args: Any, mode: str = "tensor", **kwargs: Any) -> Any:
        """Run the Architecture; in ``loss`` mode add the distillation losses.

        Args:
            *args: What the data preprocessor hands on, usually nothing.
            **kwargs: The same by name, usually ``inputs`` and ``data_samples``.
            mode: ``loss``, ``predict`` or ``tensor``, as in mmengine.
        """
        if mode != "loss" or self.distiller is None:
            return self.architecture(*args, mode=mode, **kwargs)
        if not self.distilling:
            losses = self.architecture(*args, mode=mode, **kwargs)
            return {**losses, **_idle_loss(self.distiller)}
        assert self.teacher is not None
        teacher_values = self.teacher.values(*args, **kwargs)
        with self.student_recorder:
            losses = self.architecture(*args, mode=mode, **kwargs)
        student_values = self.student_recorder.values()
        return {**losses, **self.distiller(student_values, teacher_values)}

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one optimizer step on one batch; return the losses to log."""
        if hasattr(self.pruner, "check_driven"):
            self.pruner.check_driven()
        with optim_wrapper.optim_context(self._wrapper or self):
            losses = self.run(self.data_preprocessor(data, True), mode="loss")
        loss, log_vars = self.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return log_vars

    def run(self, data: Any, mode: str = "loss", sync: bool = True) -> Any:
        """Run a forward pass on preprocessed data, through the DDP wrapper if any.

        Args:
            data: A dict of keyword arguments, or a sequence of arguments.
            mode: As in :meth:`forward`.
            sync: Whether this pass's gradients are averaged over the processes. A step
                of several passes says False for all but the last.
        """
        model: Any = self._wrapper or self
        hold = nullcontext if sync or self._wrapper is None else model.no_sync
        with hold():
            if isinstance(data, dict):
                return model(**data, mode=mode)
            return model(*data, mode=mode)

    @contextmanager
    def running_through(self, wrapper: nn.Module) -> Iterator[None]:
        """Let :meth:`run` go through a DDP wrapper for the time of one step."""
        # not by setattr: the wrapper contains this module, a cycle in the module tree
        object.__setattr__(self, "_wrapper", wrapper)
        try:
            yield
        finally:
            object.__setattr__(self, "_wrapper", None)

    def teacher_step(self, data: Any) -> list:
        """Return the teacher's predictions for one batch, before preprocessing.

        Raises:
            ValueError: If there is no teacher.
        """
        if self.teacher is None:
            raise ValueError(
                f"{type(self).__name__} has no teacher to validate. Use mmengine's "
                "ValLoop: val_cfg = dict()."
            )
        data = self.data_preprocessor(data, False)
        if isinstance(data, dict):
            return self.teacher.predict(**data)
        return self.teacher.predict(*data)

    def calibrate_(self, batches: Iterable[Any], forget: bool = True) -> None:
        """Find the ranges of the quantizer on batches as training has them.

        Args:
            batches: Before preprocessing, with what the losses need.
            forget: Whether its observers will go on anew, or with what they have seen.

        Raises:
            ValueError: If there is no batch.
            QuantizedRunError: If there is NaN or infinity; the text names the place.
        """

        def run(model: nn.Module, batch: Any) -> Any:
            data = self.data_preprocessor(batch, True)
            return self.architecture._run_forward(data, mode="loss")

        calibrate_(self.architecture, self.quantizer, batches, run, forget=forget)

    def _listen(self) -> None:
        """Find the student's recorded modules; pruning may have replaced some."""
        if self.distiller is not None:
            sources = self.distiller.student_sources
            self.student_recorder = Recorder(self.architecture, sources)

    def stop_distillation(self) -> None:
        """Go on with the task's own losses; the teacher is not run again."""
        self.distilling = False

    def _apply(self, fn: Callable, recurse: bool = True) -> Algorithm:
        super()._apply(fn, recurse)
        if self.teacher is not None:  # outside the module tree, moved by hand
            self.teacher.model._apply(fn, recurse)
        return self


def _idle_loss(distiller: Distiller) -> dict[str, Tensor]:
    """Zero that keeps trained connectors in the graph: DDP waits for every gradient."""
    params = [p for p in distiller.parameters() if p.requires_grad]
    return {"distill.loss_idle": sum(0.0 * p.sum() for p in params)} if params else {}
