"""Algorithm: one Architecture, the parts that compress it, and a training step.

Any combination of parts is one config; a method with a step of its own overrides
``train_step``, written once against :meth:`Algorithm.run` for one process or many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...core.capture import Recorder
from ...registry import MODELS
from ..architectures import build_architecture
from ..distillers import Distiller, Teacher
from ..distillers.distiller import build_part


@MODELS.register_module()
class Algorithm(BaseModel):
    """Wrap an Architecture with the parts that make it small, or better, in training.

    Args:
        architecture: The model to compress: its config, ``dict(cfg_path=...)``, a path,
            or a module. It must be an mmengine model (``forward(..., mode=...)``).
        mutator, pruner, quantizer: Configs of parts that change the Architecture. Each
            is called once with it, in this order, and returns it changed.
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
        ValueError: If a teacher comes without a distiller or the other way round, or a
            teacher's weights are left open.
        SourceError: If a source of the distiller names nothing in student or teacher.
    """

    teacher: Teacher | None

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
        _check_mmengine_model(model, "architecture")
        super().__init__(model.data_preprocessor, init_cfg)
        for cfg in (mutator, pruner, quantizer):
            if cfg is not None:
                model = build_part(cfg)(model)
        self.architecture = model
        self.distiller: Distiller | None = None
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
            self.distiller = build_part({"type": "Distiller", **distiller})
            self.distilling = True
            self.student_recorder = Recorder(model, self.distiller.student_sources)
            _check_weights_given(teacher)
            model = build_architecture(teacher, data_preprocessor=data_preprocessor)
            _check_mmengine_model(model, "teacher")
            _warn_other_normalisation(self.data_preprocessor, model.data_preprocessor)
            cache = None
            if teacher_cache is not None:
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


def _check_mmengine_model(model: nn.Module, role: str) -> None:
    if not isinstance(model, BaseModel):
        raise ValueError(
            f"The {role} is {type(model).__name__}, a plain torch module. A runner "
            "trains mmengine models: wrap it in a BaseModel whose forward(inputs, "
            "data_samples, mode) returns losses, predictions or tensors."
        )


def _check_weights_given(cfg: Any) -> None:
    if isinstance(cfg, nn.Module):
        return
    if not isinstance(cfg, dict) or not {"checkpoint", "pretrained"} & set(cfg):
        raise ValueError(
            "The teacher has no weights. Give teacher=dict(cfg_path=..., "
            "checkpoint='teacher.pth') or pretrained=True for the published ones; "
            "pretrained=False says that random weights are meant."
        )


def _warn_other_normalisation(student: Any, teacher: Any) -> None:
    for name in ("mean", "std"):
        ours, theirs = getattr(student, name, None), getattr(teacher, name, None)
        if ours is None or theirs is None or torch.equal(ours, theirs):
            continue
        print_log(
            f"The teacher was built with another {name} ({theirs.flatten().tolist()}) "
            f"than the student ({ours.flatten().tolist()}). Both see the student's "
            "preprocessed images; a teacher trained on others loses accuracy.",
            logger="current",
            level=30,
        )
