# A pruned model is not an object to pickle: it is the user's own model and a file that
# says what is left of it. What is built here is the host's model itself, only smaller,
# so train, test, hooks, checkpoints and deployment need to know nothing of mmrazor.
# The same holds for what a search found.
"""Build a small model from the Architecture it was made from and its Subnet file."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn

from ...core.forward import eager_module
from ...core.graph.belongs import misfits
from ...core.graph.cuts import Cuts
from ...core.graph.slim import slim
from ...core.names import renamed_to_fit
from ...core.space import KeepChannels, SearchSpace, Subnet
from ...registry import MODELS
from .build import build_architecture
from .checkpoint import checkpoint_file, load_weights, model_state, read_checkpoint
from .resolve import names_weights, with_settings

_MOST_CHANNELS = 2**20
SubnetSource = Subnet | str | os.PathLike[str]


class SubnetModelError(ValueError):
    """A Subnet, or weights, that do not fit the model they are used with."""


@MODELS.register_module(name="SubnetModel")
def subnet_model(
    architecture: Any,
    subnet: SubnetSource,
    checkpoint: str | os.PathLike[str] | None = None,
    mutator: Mapping[str, Any] | None = None,
    supernet: str | os.PathLike[str] | None = None,
    data_preprocessor: Mapping[str, Any] | None = None,
    init_cfg: Any = None,
    **settings: Any,
) -> nn.Module:
    """Build a small model: ``type='mmrazor.SubnetModel'`` in any config.

    What is returned is the host's own model, smaller: its type, its state-dict keys,
    its data preprocessor. Nothing is traced.

    Args:
        architecture: The model before pruning, or the supernet: anything
            ``build_architecture`` takes. Weights named there are loaded before the cut.
        subnet: The Subnet file that ``tools/prune.py`` or ``tools/search.py`` wrote, or
            a Subnet.
        checkpoint: Weights of the small model.
        mutator: Of a Subnet that was searched, the config of the Mutator that makes the
            architecture the supernet.
        supernet: With a mutator, the checkpoint of the trained supernet, whose weights
            the small model takes over.
        data_preprocessor: Used where the architecture's own config has none.
        init_cfg: Of the small model, as in mmengine.
        **settings: Changes to the architecture's settings, such as ``test_cfg``.

    Raises:
        FileNotFoundError: If a file does not exist.
        SubnetModelError: If the Subnet belongs to another model or its file is faulty,
            or the checkpoint does not fit.
        ValueError: If a supernet is given without its mutator.
    """
    source = with_settings(architecture, settings)
    model = build_architecture(source, data_preprocessor=data_preprocessor)
    if mutator is not None:
        small = fixed(model, subnet, mutator, checkpoint, supernet)
    elif supernet is not None:
        raise ValueError(
            f"supernet='{supernet}' needs the mutator that makes the architecture the "
            "supernet, such as mutator=dict(type='NasMutator')."
        )
    else:
        small = slimmed(model, subnet, checkpoint)
    if init_cfg is not None:
        if not isinstance(small, BaseModule):
            raise SubnetModelError(
                f"{type(small).__name__} is a plain torch module, which has no "
                "init_cfg. Give checkpoint='weights.pth' in its place."
            )
        small.init_cfg = init_cfg
    return small


def fixed(
    model: nn.Module,
    subnet: SubnetSource,
    mutator: Mapping[str, Any],
    checkpoint: str | os.PathLike[str] | None = None,
    supernet: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """Return the plain model that a searched Subnet describes.

    Args:
        model: The architecture; the mutator changes it.
        subnet: The Subnet or its file.
        mutator: Config of the Mutator.
        checkpoint: Weights of the plain model.
        supernet: Checkpoint of the supernet, loaded before the values are fixed.

    Raises:
        FileNotFoundError: If a file does not exist.
        SubnetModelError: If the Subnet belongs to another space or its file is faulty,
            or a checkpoint does not fit.
    """
    loaded = _loaded(subnet, "A search writes it: tools/search.py.")
    if loaded.slots is not None:
        raise SubnetModelError(
            f"Subnet '{loaded.path or loaded.space}' was made by pruning. Leave the "
            "mutator out; a searched network that was pruned later is the architecture "
            "of another SubnetModel."
        )
    part: Any = MODELS.build({"_scope_": "mmrazor", **mutator})
    model = part(model)
    try:
        loaded.check(part.space)
        if supernet is not None:
            load_weights(model, supernet)
        small: nn.Module = part.fixed(model, loaded.choices)
        if checkpoint is not None:
            load_weights(small, checkpoint)
    except ValueError as err:
        raise SubnetModelError(str(err)) from err
    return small


def slimmed(
    model: nn.Module,
    subnet: SubnetSource,
    checkpoint: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """Return the pruned model that a Subnet describes.

    Args:
        model: The model before pruning, with any weights; it is left as it was.
        subnet: The Subnet or its file.
        checkpoint: Weights of the pruned model.

    Raises:
        FileNotFoundError: If a file does not exist.
        SubnetModelError: If the Subnet belongs to another model or its file is faulty,
            or the checkpoint does not fit.
    """
    model = eager_module(model)
    loaded = _loaded(subnet, "tools/prune.py writes it.")
    name = f"Subnet '{loaded.path or loaded.space}'"
    if loaded.slots is None:
        raise SubnetModelError(
            f"{name} has no slots: it was not made by pruning. Give the mutator it was "
            "searched with: mutator=dict(type='NasMutator')."
        )
    try:
        cuts = Cuts.from_dict(loaded.slots)
    except ValueError as err:
        raise SubnetModelError(f"{name}: {err}") from err
    shapes = loaded.slots.get("shapes")
    if shapes is not None and not _are_shapes(shapes):
        raise SubnetModelError(
            f"{name} is damaged: its 'shapes' are no lists of whole numbers by name. "
            "Write it again with tools/prune.py."
        )
    faults = misfits(model, cuts, shapes)
    if faults:
        raise SubnetModelError(
            f"{name} was made for another model than this {type(model).__name__}: "
            f"{'; '.join(faults)}. Pass the config it was made with, or prune this "
            "model with tools/prune.py."
        )
    fault = _contradiction(model, loaded, cuts, shapes or {})
    if fault:
        raise SubnetModelError(
            f"{name} contradicts itself: {fault}. What is built follows from the "
            "slots; write the file again with tools/prune.py."
        )
    small = slim(model, cuts)
    if checkpoint is not None:
        _load(small, checkpoint, shapes)
    elif not getattr(small, "is_init", False):
        _forget_pretrained_(small, cuts)
    return small


def _are_shapes(shapes: Any) -> bool:
    return isinstance(shapes, Mapping) and all(
        isinstance(name, str)
        and isinstance(shape, list)
        and all(type(size) is int for size in shape)
        for name, shape in shapes.items()
    )


def _contradiction(
    model: nn.Module, subnet: Subnet, cuts: Cuts, shapes: Mapping[str, Any]
) -> str:
    """Say which choice drops channels that the cuts keep, as far as that can be told.

    Where the fingerprint confirms that every choice is of all outputs of one layer,
    what a layer keeps is what its choice names; pruned once more, it keeps less.
    """
    modules = dict(model.named_modules())
    space, places = [], {}
    for choice in subnet.choices:
        path = re.sub(r"\.out(\.[0-9]+)?$", "", choice)
        weight = f"{path}.weight"
        axis = 1 if getattr(modules.get(path), "transposed", False) else 0
        if weight not in shapes or len(shapes[weight]) <= axis:
            return ""
        size = shapes[weight][axis]
        if not 0 < size <= _MOST_CHANNELS:
            return ""
        space.append(KeepChannels(choice, size))
        places[choice] = cuts.slots.get(weight, {}).get(axis, range(size))
    if SearchSpace(space).fingerprint() != subnet.space:
        return ""
    for choice, indices in places.items():
        value = subnet.choices[choice]
        if not isinstance(value, list) or not set(indices) <= set(value):
            return f"its choice '{choice}' drops channels that its slots keep"
    return ""


def _loaded(subnet: SubnetSource, written: str) -> Subnet:
    if isinstance(subnet, Subnet):
        return subnet
    path = Path(subnet)
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*.yaml"))
        hint = f" '{path.parent}' holds {', '.join(beside[:5])}." if beside else ""
        raise FileNotFoundError(f"There is no subnet file '{path}'.{hint} {written}")
    try:
        return Subnet.load(path)
    except ValueError as err:
        raise SubnetModelError(str(err)) from err


def _load(
    small: nn.Module,
    checkpoint: str | os.PathLike[str],
    shapes: Mapping[str, Any] | None,
) -> None:
    try:
        load_weights(small, checkpoint)
    except ValueError as err:
        if shapes and _is_dense(checkpoint, shapes):
            raise SubnetModelError(
                f"Checkpoint '{checkpoint}' holds the weights from before the pruning. "
                "Give them to the architecture, where they are cut: architecture=dict("
                f"..., checkpoint='{checkpoint}'). The pruned weights are those that "
                "tools/prune.py wrote beside the subnet file."
            ) from err
        raise SubnetModelError(str(err)) from err


def _is_dense(checkpoint: str | os.PathLike[str], shapes: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint has the shapes that a model had before pruning."""
    try:
        state = model_state(read_checkpoint(checkpoint_file(checkpoint)), "")
    except ValueError:
        return False
    fitting = renamed_to_fit(state, shapes)
    found = {name: list(value.shape) for name, value in fitting.items()}
    return all(found.get(name) == list(shape) for name, shape in shapes.items())


def _forget_pretrained_(small: nn.Module, cuts: Cuts) -> None:
    """Drop published weights of parts that are smaller now: they cannot fit."""
    for name, module in small.named_modules():
        cfg = getattr(module, "init_cfg", None)
        inside = any(slot.startswith(f"{name}." if name else "") for slot in cuts.slots)
        if not isinstance(module, BaseModule) or not inside:
            continue
        kept = [one for one in _as_list(cfg) if not names_weights(one)]
        if len(kept) < len(_as_list(cfg)):
            module.init_cfg = kept or None
            print_log(
                f"The published weights of '{name or type(small).__name__}' are for "
                "the model before pruning and are not loaded. Give checkpoint=... with "
                "the weights that tools/prune.py wrote.",
                logger="current",
                level=logging.WARNING,
            )


def _as_list(cfg: Any) -> list[Any]:
    return list(cfg) if isinstance(cfg, (list, tuple)) else [cfg] if cfg else []
