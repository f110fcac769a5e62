"""What every post-training method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from ....core.forward import call_model
from ..quantizer import Quantizer


@dataclass(frozen=True)
class LayerError:
    """What a method did to the error of a layer.

    Args:
        site: The layer.
        before: Its error without the method.
        after: Its error with it. What is measured is said by the method.
    """

    site: str
    before: float
    after: float


class PostTrainingMethod(ABC):
    """Make a quantized model better on some data, without training it.

    What it changes are parameters of the model. Weights that it rounds stay on the grid
    of their quantizer, which gives back the same numbers from then on.

    Attributes:
        before_calibration: Whether it works on a Quantizer that is prepared only, and
            not on one that is calibrated.
        chooses_bits: Whether it chooses among the bit-widths of weights that have
            several.
    """

    before_calibration: ClassVar[bool] = False
    chooses_bits: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any] = call_model,
        advance: Callable[[], None] = lambda: None,
    ) -> list[LayerError]:
        """Change the model in place.

        Args:
            model: The model.
            quantizer: Prepared for it, with batch norms folded.
            batches: What to run it on; they are kept in memory and run many times.
            run: Runs the model on a batch.
            advance: Called for each of ``quantizer.layers()`` that is done.

        Returns:
            The errors of the layers that it worked on, in the order of the run.

        Raises:
            ValueError: If there is no batch, or the Quantizer is not as it should be.
        """

    def _checked(self, quantizer: Quantizer, batches: Iterable[Any]) -> list[Any]:
        """Return the batches as a list, to be run in the same order each time."""
        name = type(self).__name__
        kept = list(batches)
        if not kept:
            raise ValueError(
                f"{name} has no data: the batches are empty. Give some tens of images "
                "such as the model will see."
            )
        if quantizer.folds:
            raise ValueError(
                f"{name} works on weights that batch norms are folded into. Use "
                "Quantizer(fold=True), or call fold_(model) first."
            )
        ready = all(module.ready for module in quantizer.quantizers())
        if not ready and not self.before_calibration:
            raise ValueError(f"{name} comes after calibration: call calibrate_ first.")
        if ready and self.before_calibration:
            raise ValueError(
                f"{name} changes the ranges of weights and comes before calibration. "
                "Prepare the model anew and call it before calibrate_."
            )
        return kept
