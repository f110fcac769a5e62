"""Distiller: the sources, connectors and losses of one distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from ...core.capture import Source
from ...core.capture.source import SourceError, describe
from ...core.values import check_spec
from ...registry import MODELS
from ..losses import LossInputError

_INPUTS = ("student", "teacher")


class DistillError(RuntimeError):
    """A distillation loss that cannot be computed from what was recorded."""


@MODELS.register_module()
class Distiller(BaseModule):
    """Losses between recorded values of a student and of its teacher.

    Args:
        losses: By name, the config of a loss (``type`` and its arguments) with

            - ``student``, ``teacher``: source strings of the values it compares;
            - ``student_connector``, ``teacher_connector``: config of a module that the
              value passes first, optional.

    A source without ``#k`` in a module that runs several times (a detection head over
    pyramid levels) stands for all its calls: the loss is the sum over the calls.

    Raises:
        ValueError: If there is no loss, or one lacks a source.
        SourceError: If a source string is malformed.

    Example:
        >>> distiller = Distiller(dict(kd=dict(
        ...     type='KLDivergence',
        ...     student='output:head.fc', teacher='output:head.fc')))
        >>> distiller.student_sources
        ['output:head.fc']
    """

    def __init__(
        self, losses: dict[str, dict], init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg)
        if not losses:
            raise ValueError(
                "Distiller got no losses. Give at least one: losses=dict(kd=dict("
                "type='KLDivergence', student='output:head.fc', "
                "teacher='output:head.fc'))."
            )
        self.losses = nn.ModuleDict()
        self.connectors = nn.ModuleDict()
        self._sources: dict[str, dict[str, str]] = {}
        check_spec("losses", losses)
        for name, cfg in losses.items():
            check_spec(f"loss '{name}'", cfg)
            self._add(name, dict(cfg))

    def _add(self, name: str, cfg: dict[str, Any]) -> None:
        self._sources[name] = {}
        for side in _INPUTS:
            if side not in cfg:
                raise ValueError(
                    f"loss '{name}' lacks '{side}': the source string of its {side} "
                    f"input, for example {side}='output:backbone.layer4'."
                )
            try:
                self._sources[name][side] = str(Source.parse(cfg.pop(side)))
            except SourceError as err:
                raise SourceError(f"loss '{name}', {side}: {err}") from err
            connector = cfg.pop(f"{side}_connector", None)
            if connector is not None:
                check_spec(f"{side}_connector of loss '{name}'", connector)
                self.connectors[f"{name}_{side}"] = build_part(connector)
        self.losses[name] = build_part(cfg)

    @property
    def student_sources(self) -> list[str]:
        """Sources wanted from the student, each once."""
        return self._unique("student")

    @property
    def teacher_sources(self) -> list[str]:
        """Sources wanted from the teacher, each once."""
        return self._unique("teacher")

    @property
    def sources_by_loss(self) -> dict[str, dict[str, str]]:
        """By loss, its sources under ``student`` and ``teacher``."""
        return {name: dict(pair) for name, pair in self._sources.items()}

    def _unique(self, side: str) -> list[str]:
        return list(dict.fromkeys(s[side] for s in self._sources.values()))

    def forward(
        self,
        student: Mapping[str, list[Tensor]],
        teacher: Mapping[str, list[Tensor]],
    ) -> dict[str, Tensor]:
        """Return every loss, under ``distill.loss_<name>``.

        Args:
            student: By source, the student's values, one for each call.
            teacher: The same of the teacher.

        Raises:
            DistillError: If calls or shapes do not match; names the loss and its
                sources.
        """
        return {
            f"distill.loss_{name}": self.loss(
                name, student[sources["student"]], teacher[sources["teacher"]]
            )
            for name, sources in self._sources.items()
        }

    def loss(self, name: str, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Return one loss, the sum over the calls of its sources.

        Args:
            name: Name of the loss.
            student: The student's values, one for each call.
            teacher: The same of the teacher.

        Raises:
            DistillError: As for :meth:`forward`.
        """
        sources = self._sources[name]
        where = (
            f"loss '{name}' ({type(self.losses[name]).__name__}) of student "
            f"'{sources['student']}' and teacher '{sources['teacher']}'"
        )
        if len(student) != len(teacher):
            raise DistillError(
                f"{where}: the student's came {len(student)} times, the teacher's "
                f"{len(teacher)} times in one forward pass. Pick the calls that belong "
                "together with '#k'."
            )
        terms = []
        for values in zip(student, teacher, strict=True):
            for side, value in zip(_INPUTS, values, strict=True):
                if not isinstance(value, Tensor):
                    raise DistillError(
                        f"{where}: '{sources[side]}' is {describe(value)}, not one "
                        f"tensor. Pick an element: '{sources[side]}[0]'."
                    )
            try:
                terms.append(self.losses[name](*self._connected(name, *values)))
            except LossInputError as err:
                raise DistillError(f"{where}: {err}") from err
        return sum(terms[1:], terms[0])

    def _connected(self, name: str, *values: Tensor) -> list[Tensor]:
        connected = []
        for side, value in zip(_INPUTS, values, strict=True):
            key = f"{name}_{side}"
            if key in self.connectors:
                try:
                    value = self.connectors[key](value)
                except RuntimeError as err:
                    raise LossInputError(
                        f"{side}_connector cannot take a value of shape "
                        f"{tuple(value.shape)}: {err}"
                    ) from err
            connected.append(value)
        return connected


def build_part(cfg: dict[str, Any]) -> Any:
    """Build a part of mmrazor; the default scope of a run is a host library's.

    Raises:
        TypeError: If the config of the part is no dict.
    """
    check_spec("the config of a part", cfg)
    return MODELS.build({"_scope_": "mmrazor", **cfg})
