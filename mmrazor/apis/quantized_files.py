# A quantized model is an Algorithm: no host knows what rounds its numbers. Its files
# are a checkpoint with two kinds of keys, ``architecture.*`` and ``quantizer.*``, and a
# config of ``mmrazor.Quantize``, with batch norms folded.
"""Read quantized models from checkpoints, and say in a config how to build them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from torch import nn

from ..core.names import renamed_to_fit
from ..core.space import Subnet
from ..models.algorithms import Algorithm, Quantize
from ..models.architectures import ArchitectureConfig
from ..models.architectures.checkpoint import (
    load_state,
    model_state,
    read_checkpoint,
)
from ..models.architectures.resolve import is_pruned
from .bare_config import bare_model
from .finetune_config import OF_A_RUN, named_types

_HERE = "{{ fileDirname }}"
_PARTS = ("architecture.", "quantizer.")
_MADE_ANEW = {"architecture", "quantizer", "mutator", "pruner", "init_cfg"}


def quantized_from(
    model: nn.Module,
    settings: Mapping[str, Any],
    image_size: Sequence[int],
    checkpoint: Path,
) -> Quantize:
    """Return a quantized model with the weights and ranges of a checkpoint.

    Batch norms are folded and ranges fixed, as in what is deployed.

    Args:
        model: The Architecture, changed in place.
        settings: Config of its quantizer.
        image_size: Height and width of an image, if the settings name none.
        checkpoint: Of a run of ``mmrazor.Quantize``, or of ``tools/quantize.py``.

    Raises:
        NothingQuantizedError: If there is nothing to quantize; the text says why.
        ValueError: If the checkpoint does not fit, or has no ranges.
    """
    size = settings.get("image_size") or tuple(image_size)
    algorithm = Quantize(model, {**settings, "image_size": size})
    stored = model_state(read_checkpoint(checkpoint), str(checkpoint))
    state = renamed_to_fit(stored, algorithm.state_dict())
    state = {key: value for key, value in state.items() if key.startswith(_PARTS)}
    if not any(key.startswith(_PARTS[1]) for key in state):
        raise ValueError(
            f"Checkpoint '{checkpoint}' has no ranges to quantize with. Give one of a "
            "run with this config, or quantize the float weights: "
            "python tools/quantize.py CONFIG CHECKPOINT."
        )
    load_state(algorithm, state, str(checkpoint))
    algorithm.is_init = True
    algorithm.quantizer.freeze_()
    algorithm.quantizer.fold_(algorithm.architecture)
    return algorithm


def quantized_config(
    cfg: Config,
    resolved: ArchitectureConfig,
    settings: Mapping[str, Any],
    weights: Path,
) -> Config:
    """Return a config that tests a quantized model, or trains it on.

    Args:
        cfg: The config before: of an Algorithm, or of a plain host model.
        resolved: Its Architecture.
        settings: Config of the quantizer, with the size of an image.
        weights: The checkpoint, in the folder that the config goes to. The Subnet of a
            pruned model is copied beside it.
    """
    inner = named_types(bare_model(resolved))
    if is_pruned(inner):
        subnet = weights.with_name(f"{weights.stem}_subnet.yaml")
        Subnet.load(inner["subnet"]).dump(subnet)
        inner["subnet"] = f"{_HERE}/{subnet.name}"
    tuned = named_types(ConfigDict(cfg._cfg_dict).to_dict())
    before = tuned["model"]
    tuned["model"] = quantized_model(
        inner, resolved.scope, settings, settings["image_size"]
    )
    if "architecture" in before and not is_pruned(before):
        kept = inspect.signature(Algorithm).parameters.keys() - _MADE_ANEW
        tuned["model"] |= {key: before[key] for key in before.keys() & kept}
    for key in (*OF_A_RUN, "quantize"):
        tuned.pop(key, None)
    tuned["load_from"] = f"{_HERE}/{weights.name}"
    return Config(tuned)


def quantized_model(
    inner: Mapping[str, Any],
    scope: str | None,
    settings: Mapping[str, Any],
    image_size: Sequence[int],
) -> dict[str, Any]:
    """Return the model dict of a quantized Architecture.

    Args:
        inner: The model dict of the Architecture.
        scope: The library that it is of.
        settings: Config of its quantizer.
        image_size: Height and width of an image, if the settings name none.
    """
    architecture = dict(inner)
    plain = architecture["architecture"] if is_pruned(inner) else architecture
    kind = plain["type"]
    if scope not in (None, "mmengine") and isinstance(kind, str) and "." not in kind:
        plain["type"] = f"{scope}.{kind}"
    kept = {key: value for key, value in settings.items() if key != "fold"}
    kept["image_size"] = list(kept.get("image_size") or image_size)
    return {
        "type": "mmrazor.Quantize",
        "architecture": architecture,
        "quantizer": kept,
    }
