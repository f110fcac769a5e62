"""What loops and hooks expect of a model, so that core need not know Algorithms."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class HasTeacher(Protocol):
    """A model that distils and can be told to stop."""

    distilling: bool

    def teacher_step(self, data: Any) -> list:
        """Return the teacher's predictions for one batch."""
        ...

    def stop_distillation(self) -> None:
        """Go on without the teacher."""
        ...
