# A distillation loss compares the student's features with the teacher's. When pruning
# takes channels from those features, some losses go on (attention maps, relations of
# samples) and others cannot; the loss itself knows best, so it is asked.
"""Check that distillation survives a pruning."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ...core.capture import Recorder
from ...core.capture.recorder import RecordError
from ...core.forward import call_model, evaluating
from ..distillers import Distiller, Teacher
from ..distillers.distiller import DistillError

_Values = dict[str, list[Any]]


class PrunedFeatureError(ValueError):
    """A distillation loss on features that pruning shrinks."""


def check_student_features(
    student: nn.Module,
    slimmed: nn.Module,
    inputs: Any,
    distiller: Distiller,
    teacher: Teacher,
) -> None:
    """Return quietly if every loss can be computed with the pruned student too.

    Losses whose student value keeps its shape are not computed. Values that do not
    come in the mode of the example inputs (a loss function's arguments, say) are not
    checked.

    Args:
        student: The Architecture as it is.
        slimmed: A pruned copy.
        inputs: What both are called with.
        distiller: The losses; copies of them are tried, their state stays.
        teacher: Run on the same inputs, if a value changed.

    Raises:
        PrunedFeatureError: With the source, the shapes and what to do.
    """
    sources = distiller.student_sources
    before, after = (_values(model, inputs, sources) for model in (student, slimmed))
    changed = [
        source
        for source in sources
        if source in before
        and source in after
        and _shapes(before[source]) != _shapes(after[source])
    ]
    if not changed:
        return
    given = _values(
        teacher.model, _in_mode(inputs, teacher.mode), distiller.teacher_sources
    )
    trial = copy.deepcopy(distiller)
    for name, pair in distiller.sources_by_loss.items():
        source = pair["student"]
        if source not in changed or pair["teacher"] not in given:
            continue
        try:
            with torch.no_grad():
                trial.loss(name, after[source], given[pair["teacher"]])
        except (DistillError, RuntimeError, ValueError) as err:
            old, new = (_shapes(values[source])[0] for values in (before, after))
            raise PrunedFeatureError(
                f"Pruning shrinks the student's '{source}', which distillation loss "
                f"'{name}' reads: from {old} to, say, {new}. The loss cannot compare "
                f"that with the teacher's '{pair['teacher']}'. Distil outputs of the "
                f"network, or keep the layer's size: "
                f"pruner=dict(ignore=['{_path(source)}'], ...)."
            ) from err


def _values(model: nn.Module, inputs: Any, sources: Iterable[str]) -> _Values:
    recorder = Recorder(model, sources)
    with evaluating(model), recorder:
        call_model(model, inputs)
    found = {}
    for source in sources:
        try:
            found[source] = recorder.calls(source)
        except RecordError:  # another mode of the model makes it
            continue
    return found


def _shapes(values: list[Any]) -> list[tuple[int, ...]]:
    return [tuple(v.shape) if isinstance(v, Tensor) else () for v in values]


def _in_mode(inputs: Any, mode: str) -> Any:
    return {**inputs, "mode": mode} if isinstance(inputs, dict) else inputs


def _path(source: str) -> str:
    return source.partition(":")[2].partition("#")[0].partition("[")[0]
