"""What loops and hooks expect of a model, so that core need not know Algorithms."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

#: Where a checkpoint's ``meta`` holds what a pruner has done, as plain data.
PRUNING_KEY = "pruning"


def is_alpha(name: str) -> bool:
    """Tell from the name of a parameter whether it is one of the architecture.

    Example:
        >>> is_alpha('backbone.cells.0.alpha'), is_alpha('backbone.alpha_conv.weight')
        (True, False)
    """
    return name.rpartition(".")[2] == "alpha"


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


@runtime_checkable
class PrunesInTraining(Protocol):
    """A model whose part ``pruner`` makes it smaller while it trains."""

    pruner: Any

    def prepare_pruning(self) -> None:
        """Find faults before training that would stop a later pruning."""
        ...

    def next_step(self, share: float, time: int | None = None) -> Any:
        """Return what goes now (``state``, ``cuts``), or None; change nothing."""
        ...

    def shrink_(self, cuts: Any) -> dict[Any, Any]:
        """Make the model smaller in place.

        Returns:
            By parameter, its shape before and the kept indices of axes that shrank.
        """
        ...

    def restore_(self) -> bool:
        """Take back what was pruned at building; tell whether there was something."""
        ...

    def load_pruning_(self, data: Any) -> Any:
        """Take the state of a checkpoint and return the cuts that were done."""
        ...


@runtime_checkable
class RebuildsReducer(Protocol):
    """A distributed wrapper that can take in parameters of another size."""

    def rebuild_(self) -> None:
        """Average the gradients of the module's parameters as they are now."""
        ...


@runtime_checkable
class Quantizes(Protocol):
    """A model that runs quantized; its part ``quantizer`` is a module."""

    quantizer: Any

    def calibrate_(self, batches: Any, forget: bool = True) -> None:
        """Find the ranges on batches as training has them; forget the data, or not."""
        ...


@runtime_checkable
class Searchable(Protocol):
    """A model with a SearchSpace that runs as any of its Subnets."""

    space: Any

    def select_(self, values: Any) -> None:
        """Run as the Subnet with these values from now on."""
        ...


@runtime_checkable
class Derives(Searchable, Protocol):
    """A model whose training prefers some values of its SearchSpace."""

    def derived(self) -> dict[str, Any]:
        """Return these values."""
        ...

    def subnet_model(self, values: Any) -> Any:
        """Return a plain copy with the values fixed."""
        ...


@runtime_checkable
class Anneals(Protocol):
    """A module that changes with the progress of the training."""

    def anneal_(self, share: float) -> None:
        """Be as it is when this share of the training is done, from 0 to 1."""
        ...
