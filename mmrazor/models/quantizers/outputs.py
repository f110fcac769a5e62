"""What the layers of a quantized model return in a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container
from typing import Any

from torch import Tensor, nn

from ...core.forward import call_model, evaluating
from .quantizer import Quantizer
from .sites import Site


def outputs_at(
    model: nn.Module,
    quantizer: Quantizer,
    sites: Container[Site],
    batch: Any,
    run: Callable[[nn.Module, Any], Any] = call_model,
) -> dict[Site, list[Tensor]]:
    """Run a model and return what some sites return, flat, call by call.

    Args:
        model: The model.
        quantizer: Prepared for it.
        sites: Which ones.
        batch: What to run it on.
        run: Runs it.
    """
    outputs: defaultdict[Site, list[Tensor]] = defaultdict(list)

    def keep(site: Site, given: list[Tensor], result: Any) -> None:
        if site in sites:
            outputs[site].append(result.detach().flatten().clone())

    with evaluating(model), quantizer.listening(keep):
        run(model, batch)
    return dict(outputs)


def same_lengths(some: list[Tensor], others: list[Tensor]) -> bool:
    """Return whether two lists hold tensors of the same lengths."""
    return [len(one) for one in some] == [len(one) for one in others]
