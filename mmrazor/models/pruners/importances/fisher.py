"""Importance by Fisher information of channel masks.

Group Fisher Pruning for Practical Network Compression (Liu et al., 2021,
arXiv:2108.00708): the squared gradient of each sample's loss with
respect to a mask of ones on the channel, added up over samples, divided by the MACs or
the memory that dropping the channel would save.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor

from ....core.graph.channel_group import ChannelGroup
from ....registry import MODELS
from .base import Importance, ImportanceError

Saving: TypeAlias = "Callable[[ChannelGroup], float] | Mapping[str, float]"


@MODELS.register_module()
class FisherImportance(Importance):
    """Squared mask gradients that somebody else adds up while training.

    Args:
        squared_gradients: By group's name, their sums so far, shape ``(C,)``. Read at
            every call, not copied.
        saving: What one channel of a group saves (MACs, or elements of activations): a
            function of the group, or by the group's name. Without it scores are not
            divided by anything.

    Raises:
        ImportanceError: If nothing was added up for a group, the shape is another, or
            its saving is unknown or not above 0.
    """

    def __init__(
        self, squared_gradients: Mapping[str, Tensor], saving: Saving | None = None
    ) -> None:
        self.squared_gradients, self.saving = squared_gradients, saving

    def __call__(self, group: ChannelGroup) -> Tensor:
        """Return the scores, shape ``(C,)``."""
        name = group.name
        if name not in self.squared_gradients:
            raise ImportanceError(
                f"Group '{name}' has no squared mask gradients; there are some of "
                f"{len(self.squared_gradients)} other groups. Run loss.backward() on a "
                "few batches with the masks in place, or pass data to prune(...)."
            )
        scores = self.squared_gradients[name].detach().cpu().double()
        if scores.shape != (group.size,):
            raise ImportanceError(
                f"Group '{name}' has {group.size} channels, but squared mask gradients "
                f"of shape {tuple(scores.shape)}. Add them up for the model as it is."
            )
        return scores if self.saving is None else scores / self._saving_of(group)

    def _saving_of(self, group: ChannelGroup) -> float:
        if callable(self.saving):
            saving = float(self.saving(group))
        else:
            assert self.saving is not None
            if group.name not in self.saving:
                raise ImportanceError(
                    f"Group '{group.name}' is missing in 'saving', which has "
                    f"{len(self.saving)} groups. Give it a number above 0."
                )
            saving = float(self.saving[group.name])
        if not saving > 0:
            raise ImportanceError(
                f"Group '{group.name}' saves {saving} a channel. FisherImportance "
                "divides by it: give a number above 0, or leave the group out of the "
                "pruning."
            )
        return saving
