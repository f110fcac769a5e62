# Why a hook and not torch's parametrizations: those rename ``weight`` to
# ``parametrizations.weight.original`` in state dict, optimizer and sources, and copy
# themselves into weight averages. Here the weights themselves are zero after every
# step, so whatever reads them (validation, EMA, checkpoints, export) sees the sparse
# network under the host's own names.
"""Keep the zeros of a pruned model through training, averaging and resuming."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from ...registry import HOOKS
from ..protocols import KeepsWeightsAtZero

_KEY = "weight_masks"


@HOOKS.register_module()
class KeepSparsityHook(Hook):
    """Train a model whose pruner has chosen weights that stay zero.

    - Before training, when all weights are loaded, the model takes its masks from them;
      a resumed run takes those of the checkpoint, one bit for a weight under
      ``weight_masks``, beside the state dict.
    - The gradients of removed weights are zero, so that clipping and momentum are those
      of the remaining network.
    - After every step the removed weights are set to zero, before other hooks read
      them: an ``EMAHook`` averages sparse weights only.
    - After training nothing is left on the model but the zeros.

    Raises:
        TypeError: If the model has no ``SemiStructuredPruner`` or the like.

    Example:
        >>> custom_hooks = [dict(type='mmrazor.KeepSparsityHook')]
    """

    # Before EMAHook and all else that reads the weights.
    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self.masks: KeepsWeightsAtZero | None = None
        self.stored: dict[str, Any] | None = None

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the masks of the run that is resumed."""
        if runner._resume:
            self.stored = checkpoint.get(_KEY)

    def before_train(self, runner: Any) -> None:
        """Fix the masks."""
        self.masks = _masks_of(runner.model)
        if self.stored is not None:
            self.masks.load_packed_(self.stored)
        else:
            self.masks.derive_()
        self.masks.hold_()

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Set removed weights to zero."""
        assert self.masks is not None
        self.masks.apply_()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Store the masks."""
        if self.masks is not None:
            checkpoint[_KEY] = self.masks.packed()

    def after_train(self, runner: Any) -> None:
        """Leave a plain model."""
        assert self.masks is not None
        self.masks.release_()


def _masks_of(model: Any) -> KeepsWeightsAtZero:
    for module in model.modules():
        masks = vars(module).get("weight_masks")
        if isinstance(masks, KeepsWeightsAtZero):
            return masks
    raise TypeError(
        f"KeepSparsityHook finds no masks in {type(model).__name__}. Put "
        "pruner=dict(type='mmrazor.SemiStructuredPruner') into the model, or remove "
        "the hook from custom_hooks."
    )
