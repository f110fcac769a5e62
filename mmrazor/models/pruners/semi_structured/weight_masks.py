"""Keep removed weights at zero while a model is trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .layers import PrunableLayer
from .masks import Pattern


class WeightMasks:
    """Which weights of a model stay zero; held apart from its state dict.

    The masks are no parameters, buffers or wrapped modules: the model keeps its own
    state-dict keys, weight averages see zeros only, and an export needs nothing undone.
    ``mmrazor.KeepSparsityHook`` does all that a Runner needs. In a loop of your own::

        masks.hold_()
        optimizer.register_step_post_hook(lambda *_: masks.apply_())
        ...  # train
        masks.release_()

    Until :meth:`hold_` is called, a training forward pass that meets a removed weight
    which is not zero is an error.

    Args:
        model: The model.
        layers: Layers of it that have the pattern.
        pattern: The pattern.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[PrunableLayer], pattern: Pattern
    ) -> None:
        self.model = model
        self.layers = list(layers)
        self.pattern = pattern
        self.held = False
        self.removed: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._guard = model.register_forward_pre_hook(self._refuse_broken)
        self.derive_()

    def derive_(self) -> None:
        """Take the masks from the weights as they are now; zero what is removed.

        The largest of each group stay. In weights that have the pattern already, by
        whatever method, these are the ones that are not zero.

        Raises:
            ValueError: If a weight is no longer part of the model, or has lost the
                shape that the pattern needs.
        """
        present = {id(parameter) for parameter in self.model.parameters()}
        for layer in self.layers:
            fits = layer.weight.dim() >= 2 and not self.pattern.misfit(
                layer.weight.shape
            )
            if id(layer.weight) not in present or not fits:
                raise ValueError(
                    f"'{layer.name}', shape {tuple(layer.weight.shape)}, cannot keep "
                    f"its {self.pattern} pattern: another part has replaced, split or "
                    "resized it. Put that part before the pruner, or add the layer to "
                    "the pruner's skip."
                )
        self.removed = {
            layer.name: ~self.pattern.mask(layer.weight.detach().abs())
            for layer in self.layers
        }
        self.apply_()

    def apply_(self) -> None:
        """Set every removed weight to zero."""
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.masked_fill_(self._removed(layer), 0.0)

    def broken(self) -> list[str]:
        """Return the names of weights that are not zero where they should be."""
        return [
            layer.name
            for layer in self.layers
            if bool(layer.weight.detach()[self._removed(layer)].any())
        ]

    def hold_(self) -> None:
        """Zero the gradients of removed weights from now on.

        The norm that gradients are clipped to, and an optimizer's momentum, are then
        those of the remaining network.
        """
        self._drop_handles()
        self.held = True
        for layer in self.layers:
            if layer.weight.requires_grad:
                hook = partial(_without, self._removed(layer))
                self._handles.append(layer.weight.register_hook(hook))

    def release_(self) -> None:
        """Take all hooks off: the model is a plain one, with zeros."""
        self._drop_handles()
        self._guard.remove()
        self.held = False

    def packed(self) -> dict[str, Tensor]:
        """Return the masks for a checkpoint, one bit for a weight, by weight name."""
        return {
            name: torch.from_numpy(np.packbits(mask.cpu().numpy()))
            for name, mask in self.removed.items()
        }

    def load_packed_(self, packed: Mapping[str, Tensor]) -> None:
        """Take the masks that :meth:`packed` returned; zero what is removed.

        Raises:
            ValueError: If they are of other weights.
        """
        wanted = {layer.name: -(-layer.weight.numel() // 8) for layer in self.layers}
        given = {name: bits.numel() for name, bits in packed.items()}
        if wanted != given:
            odd = sorted(dict(wanted.items() ^ given.items()))
            raise ValueError(
                f"The checkpoint has masks of {len(given)} weights and the pruner of "
                f"{len(wanted)}; they differ in {odd[:5]}. Resume with the pruner's "
                "settings that the run began with."
            )
        for layer in self.layers:
            weight, bits = layer.weight, packed[layer.name].cpu().numpy()
            mask = np.unpackbits(bits, count=weight.numel()).astype(bool)
            self.removed[layer.name] = torch.from_numpy(mask).view(weight.shape)
        self.apply_()

    def _removed(self, layer: PrunableLayer) -> Tensor:
        mask = self.removed[layer.name].to(layer.weight.device)
        self.removed[layer.name] = mask
        return mask

    def _drop_handles(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _refuse_broken(self, model: nn.Module, inputs: Any) -> None:
        if self.held or not model.training:
            return
        broken = self.broken()
        if broken:
            raise RuntimeError(
                f"Removed weights are not zero in training: {len(broken)} of "
                f"{len(self.layers)} layers, such as '{broken[0]}'. Nothing keeps the "
                f"{self.pattern} pattern. Add custom_hooks=["
                "dict(type='mmrazor.KeepSparsityHook')] to the config; in a loop of "
                "your own, see WeightMasks."
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightMasks:
        twin = copy.copy(self)
        memo[id(self)] = twin
        twin.model = copy.deepcopy(self.model, memo)
        twin.layers = copy.deepcopy(self.layers, memo)
        twin.removed = dict(self.removed)
        twin._handles, twin.held = [], False
        return twin


def _without(removed: Tensor, gradient: Tensor) -> Tensor:
    return gradient.masked_fill(removed, 0.0)
