# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion (Lin
# et al., 2021, arXiv:2107.06916). Checkpoints hold the compact network under its own
# names, so that it can be tested and exported at any time, and all filters beside it.
"""DCFF: train a compact network whose filters are fused from many."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from ....registry import MODELS
from ...pruners import DCFFPruner, PruningStateError
from ...pruners.dcff_layers import fused_layer
from ..base import Algorithm

#: Where a checkpoint holds all filters, and how they are fused.
_KEY = "filter_fusion"
# Parts of a checkpoint, and how they name the Architecture.
_PARTS = {"state_dict": "architecture", "ema_state_dict": "module.architecture"}


@MODELS.register_module()
class DCFF(Algorithm):
    """Train at the compact width; every convolution fuses its filters as it runs.

    Dynamic-coded filter fusion: see :class:`~mmrazor.models.pruners.DCFFPruner` for
    what happens when, and :class:`~mmrazor.models.ops.FuseConv2d` for the layer.

    Args:
        architecture: As for :class:`~mmrazor.models.algorithms.Algorithm`, dense. The
            paper trains from random weights.
        pruner: Config of the pruner; its type is ``DCFFPruner`` if none is given.
        **kwargs: As for ``Algorithm``: ``teacher``, ``distiller`` and so on.

    Raises:
        TypeError: If the pruner is another one.
    """

    pruner_type = "DCFFPruner"
    pruner: DCFFPruner

    def __init__(self, architecture: Any, pruner: dict, **kwargs: Any) -> None:
        super().__init__(architecture, pruner=pruner, **kwargs)
        if not isinstance(self.pruner, DCFFPruner):
            raise TypeError(
                f"DCFF fuses filters, which {type(self.pruner).__name__} does not. "
                "Take pruner=dict(type='DCFFPruner', budget=dict(macs=0.5)), or prune "
                "with type='mmrazor.Compress'."
            )

    def fusing_plan(self) -> tuple[Any, ...]:
        """Return what :meth:`fuse_` takes; nothing changes yet.

        Raises:
            PruningStateError: If the model is compact already but above the budget.
            ValueError: What :meth:`~mmrazor.models.pruners.Pruner.decide` raises.
        """
        if self.pruner.state is not None:
            raise PruningStateError(
                "The checkpoint's compact network is above the budget, and its filters "
                "are fixed. Give the budget that it was trained with, or train the "
                "dense network's config anew."
            )
        return self.pruner.plan(self.next_step(1.0))

    def fuse_(self, *plan: Any) -> dict[nn.Parameter, Any]:
        """Make the dense Architecture compact, with fused convolutions.

        Returns:
            What became of its parameters.
        """
        shrunk = self.pruner.fuse_(self.architecture, *plan)
        self._listen()
        return shrunk

    def chosen_again(self, time: int, length: int) -> Any:
        """Return the representatives from an epoch or iteration on; nothing changes.

        Args:
            time: Its number, counted from 0.
            length: How many there are.
        """
        temperature = self.pruner.inverse_temperature(time, length)
        if time == 0:  # those of the dense network: norms and readers are theirs
            return self.pruner.fusion_at(temperature)
        return self.pruner.chosen_again(self.architecture, temperature)

    def represent_(self, fusion: Any) -> None:
        """Take over what :meth:`chosen_again` returned."""
        self.pruner.represent_(self.architecture, fusion)

    def fix_(self) -> dict[nn.Parameter, Any]:
        """Make the Architecture a plain one; return what became of its parameters."""
        shrunk = self.pruner.fix_(self.architecture)
        self._listen()
        return shrunk

    def load_fusion_(self, data: Any, checkpoint: MutableMapping[str, Any]) -> None:
        """Take up an unfinished training.

        Args:
            data: The checkpoint's state of the pruner.
            checkpoint: As it was loaded.
        """
        stored = checkpoint.get(_KEY) or {}
        self.pruner.load_fusion_(self.architecture, data, stored.get("fusion"))
        self._listen()

    @torch.no_grad()
    def pack_(self, checkpoint: MutableMapping[str, Any]) -> None:
        """Put the compact weights in the place of all filters, and these beside them.

        Args:
            checkpoint: Complete, about to be written.
        """
        fusion = self.pruner.fusion
        if fusion is None:
            return
        filters: dict[str, dict[str, Tensor]] = {}
        for part, state, prefix in _parts_of(checkpoint):
            filters[part] = {}
            for name in fusion.filters:
                keys = [f"{prefix}.{name}.{leaf}" for leaf in ("weight", "bias")]
                weight, bias = state[keys[0]], state.get(keys[1])
                fused = fused_layer(self.architecture, name).fuse(weight, bias)
                for key, value in zip(keys, fused, strict=True):
                    if value is not None:
                        filters[part][key] = state[key]
                        state[key] = value
        checkpoint[_KEY] = {"fusion": fusion.to_dict(), "filters": filters}

    def unpack_(self, checkpoint: MutableMapping[str, Any]) -> None:
        """Put all filters back in the place of the compact weights."""
        for part, state, _ in _parts_of(checkpoint):
            state.update(checkpoint[_KEY]["filters"].get(part, {}))


def _parts_of(
    checkpoint: MutableMapping[str, Any],
) -> Iterator[tuple[str, MutableMapping[str, Any], str]]:
    for part, prefix in _PARTS.items():
        if part in checkpoint:
            yield part, checkpoint[part], prefix
