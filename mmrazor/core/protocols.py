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


@runtime_checkable
class KeepsWeightsAtZero(Protocol):
    """Masks of a model, its attribute ``weight_masks``: weights that stay zero."""

    def derive_(self) -> None:
        """Take the masks from the weights as they are now; zero what is removed."""
        ...

    def apply_(self) -> None:
        """Set every removed weight to zero."""
        ...

    def hold_(self) -> None:
        """Zero the gradients of removed weights from now on."""
        ...

    def release_(self) -> None:
        """Take all hooks off the model."""
        ...

    def packed(self) -> dict[str, Any]:
        """Return the masks for a checkpoint."""
        ...

    def load_packed_(self, packed: Any) -> None:
        """Take the masks of a checkpoint; zero what is removed."""
        ...
