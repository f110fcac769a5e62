"""Importance by Fisher information of channel masks.

Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
arXiv:2108.00708): the squared gradient of each sample's loss with
respect to a mask of ones on the channel, added up over samples, divided by the MACs or
the memory that dropping the channel would save.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ....core.forward import call_model, evaluating
from ....core.graph import ChannelGraph
from ....core.graph.channel_group import ChannelGroup
from ....registry import MODELS
from ..unit_masks import UnitMasks
from .base import Importance, ImportanceError
from .savings import NORMALIZATIONS, channel_savings


@MODELS.register_module()
class FisherImportance(Importance):
    """Squared gradients of the loss to masks on channels, by what a channel saves.

    The score of channel ``c`` is the sum over samples of ``(sum over layers that read
    it of dL / dm_c) ** 2`` with a mask ``m`` of ones, divided by what it saves.
    :class:`~mmrazor.models.pruners.Pruner` and ``tools/prune.py`` collect the squares;
    for a model of your own do it in :meth:`reading`.

    Args:
        normalize: What a channel saves: ``macs``; ``activations``, the elements that
            the layers that make it return; or None, not to divide.

    Attributes:
        squares: By group's name, shape ``(C,)``.
        savings: By group's name, of one channel.
        refused: Groups that could not be measured, and why.

    Raises:
        ValueError: If ``normalize`` is another word.
        ImportanceError: When called, if a group has no squares, or saves nothing.

    Example:
        >>> import torch
        >>> from mmrazor.core.graph import channel_graph
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
        >>> graph = channel_graph(net, torch.rand(1, 2))
        >>> fisher = FisherImportance()
        >>> with fisher.reading(graph):
        ...     net(torch.rand(8, 2)).square().mean().backward()
        >>> fisher(graph.groups[0]).shape
        torch.Size([3])
    """

    reads_gradients = True
    reads_masks = True

    def __init__(self, normalize: str | None = "macs") -> None:
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize={normalize!r}; use one of {NORMALIZATIONS}.")
        self.normalize = normalize
        self.squares: dict[str, Tensor] = {}
        self.savings: dict[str, float] = {}
        self.refused: dict[str, str] = {}

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        name = group.name
        if name in self.refused:
            raise ImportanceError(
                f"Group '{name}' {self.refused[name]}. Leave the layers that make it "
                "out of the pruning (ignore), or take another importance."
            )
        if name not in self.squares:
            raise ImportanceError(
                f"Group '{name}' has no squared mask gradients; there are some of "
                f"{len(self.squares)} other groups. Run loss.backward() on a few "
                "batches within FisherImportance(...).reading(graph)."
            )
        squares = self.squares[name].detach().cpu().double()
        if squares.shape != (group.size,):
            raise ImportanceError(
                f"Group '{name}' has {group.size} channels, but squared mask gradients "
                f"of shape {tuple(squares.shape)}. Read them for the model as it is."
            )
        return squares / self.savings[name]

    def filled(
        self, squares: Mapping[str, Tensor], savings: Mapping[str, float]
    ) -> FisherImportance:
        """Return one with these squares, and savings from :func:`channel_savings`."""
        found = FisherImportance(self.normalize)
        found.squares, found.savings = dict(squares), dict(savings)
        return found

    @contextmanager
    def reading(self, graph: ChannelGraph, inputs: Any = None) -> Iterator[UnitMasks]:
        """Collect the squares of all backward passes within.

        Args:
            graph: Of the model as it is; call the model itself, not its parts.
            inputs: What it is called with; needed to count ``activations``.

        Raises:
            ValueError: If the inputs are missing.
        """
        if self.normalize == "activations" and inputs is None:
            raise ValueError(
                "FisherImportance(normalize='activations') counts the outputs of a "
                "forward pass. Give reading(graph, inputs)."
            )

        def run() -> None:
            with evaluating(graph.model):
                call_model(graph.model, inputs)

        self.savings = channel_savings(graph, self.normalize, run)
        with UnitMasks(graph.model, graph.groups) as masks:
            yield masks
            self.squares = masks.squares()
            self.refused = {**masks.refused, **no_saving(self.savings)}


def no_saving(savings: Mapping[str, float]) -> dict[str, str]:
    """Return the groups whose score would be divided by nothing, and why."""
    reason = "saves nothing that its importance can be divided by"
    return {name: reason for name, saved in savings.items() if not saved}
