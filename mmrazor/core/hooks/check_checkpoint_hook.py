"""Refuse to test a model with somebody else's weights."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from mmrazor.core.forward import unwrapped
from mmrazor.core.names import renamed_to_fit
from mmrazor.registry import HOOKS

# Its tensors are as many as data have shown, and have shapes that these gave them.
_QUANTIZER = "quantizer."
# Parts of an Algorithm that a network to be tested or trained on can do without.
_TRAINING_ONLY = ("distiller.", "self_distiller.", "chains.", "search_steps")


class WrongCheckpointError(ValueError):
    """A checkpoint is that of another model."""


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Compare a checkpoint's keys with the model's before it is loaded.

    mmengine loads what fits and warns of the rest, so that a test of the wrong file
    reports numbers of random weights. Checkpoints of an Algorithm and of its bare
    Architecture are both taken for either, and those of a model in ``DataParallel``:
    the prefixes are put or removed.

    Raises:
        WrongCheckpointError: If weights are missing or have other shapes.
    """

    priority = "HIGHEST"

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Rename keys in place and check them."""
        model = unwrapped(runner.model)
        wanted = {
            name: value
            for name, value in model.state_dict().items()
            if not name.startswith(_TRAINING_ONLY)
            and not name.endswith("num_batches_tracked")
        }
        state = checkpoint.get("state_dict", checkpoint)
        renamed = renamed_to_fit(state, wanted)
        quantized = [name for name in wanted if name.startswith(_QUANTIZER)]
        if quantized and not any(name.startswith(_QUANTIZER) for name in renamed):
            raise WrongCheckpointError(
                "it has no ranges to quantize with, as that of a float model. "
                "tools/quantize.py finds them; training a config of mmrazor.Quantize "
                "does too."
            )
        for name in quantized:
            del wanted[name]
        missing = [name for name in wanted if name not in renamed]
        if missing:
            raise WrongCheckpointError(
                f"it lacks {len(missing)} of "
                f"{len(wanted)} weights, such as '{missing[0]}'; it has "
                f"'{next(iter(state), None)}'. Pass the config it was trained with."
            )
        for name, value in wanted.items():
            if renamed[name].shape != value.shape:
                raise WrongCheckpointError(
                    f"'{name}' has shape {tuple(renamed[name].shape)} there and "
                    f"{tuple(value.shape)} in the model. Pass the config it was "
                    "trained with."
                )
        if "state_dict" not in checkpoint:
            checkpoint.clear()  # a bare state dict; EMAHook expects the usual form
        checkpoint["state_dict"] = renamed
