"""What N:M pruning did to each weight of a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ....core.plain_table import PlainTable
from .masks import Pattern


@dataclass(frozen=True)
class PrunedLayer:
    """One weight that has the pattern.

    Args:
        name: Its name in the state dict.
        shape: Its shape.
        error: Squared change of the layer's outputs on the calibration data, relative
            to the dense outputs without bias; None if it was not measured.
    """

    name: str
    shape: tuple[int, ...]
    error: float | None


@dataclass(frozen=True)
class SparsityReport:
    """Every weight of a model: with the pattern, or dense for a reason.

    Args:
        method: How the weights to keep were chosen.
        pattern: The pattern.
        layers: The weights that have it.
        dense: By name, why a weight of two or more axes stayed as it was.
        removed: Number of weights that are zero by the pattern.
        params: Number of parameters of the whole model, zeros included.
    """

    method: str
    pattern: Pattern
    layers: list[PrunedLayer]
    dense: dict[str, str]
    removed: int
    params: int

    def __str__(self) -> str:
        left = f"; {len(self.dense)} stay dense" if self.dense else ""
        return (
            f"{self.pattern} by {self.method} in {len(self.layers)} layers, "
            f"{self.removed / self.params:.1%} of all parameters removed{left}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)

    def table(self) -> PlainTable:
        """Return the report as a table for a rich console."""
        reasons = "\n".join(f"{name}: {why}" for name, why in self.dense.items())
        caption = f"Dense:\n{reasons}" if reasons else None
        table = PlainTable(title=str(self), caption=caption, caption_justify="left")
        table.add_column("weight", style="cyan", overflow="fold")
        table.add_column("shape", justify="right", no_wrap=True)
        table.add_column("kept", no_wrap=True)
        table.add_column("relative error", justify="right", no_wrap=True)
        for layer in self.layers:
            error = "not measured" if layer.error is None else f"{layer.error:.3e}"
            shape = "x".join(map(str, layer.shape))
            table.add_row(layer.name, shape, str(self.pattern), error)
        return table
