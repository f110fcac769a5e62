"""Refuse to test, or to train on, somebody else's weights."""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from torch import nn

from mmrazor.core.forward import unwrapped
from mmrazor.registry import HOOKS, MODELS

_PREFIX = "architecture."
# Its tensors are as many as data have shown, and have shapes that these gave them.
_QUANTIZER = "quantizer."
# Parts of an Algorithm that a network to be tested or trained on can do without.
_TRAINING_ONLY = ("distiller.", "self_distiller.", "chains.", "search_steps")
_COUNTER = "num_batches_tracked"


class WrongCheckpointError(ValueError):
    """A checkpoint is that of another model."""


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Compare a checkpoint's weights with the model's before they are loaded.

    mmengine loads what fits and warns of the rest, so that a test of the wrong file
    reports numbers of random weights. Checkpoints of an Algorithm and of its bare
    Architecture are both taken for either: the prefix ``architecture.`` is put or
    removed. A run that is resumed goes on with the same Algorithm: there no weight may
    be left over either.

    Args:
        training: Whether the run trains: then ranges to quantize with may be missing,
            which are found before the first step.
        partly: Whether weights that do not fit may be left out where training begins,
            as in fine-tuning for other classes. Some must fit.

    Raises:
        WrongCheckpointError: If weights are missing or have other shapes, or a run
            cannot be resumed from the checkpoint.
    """

    priority = "HIGHEST"

    def __init__(self, training: bool = False, partly: bool = False) -> None:
        self.training = training
        self.partly = partly

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Rename keys in place and check them."""
        model = unwrapped(runner.model)
        if isinstance(model, BaseTTAModel):
            model = model.module
        resuming = self.training and bool(runner._resume)
        if resuming:
            _check_resumable(checkpoint, runner.cfg.get("model"))
        state = checkpoint.get("state_dict", checkpoint)
        if not isinstance(state, Mapping):
            raise WrongCheckpointError(
                f"its 'state_dict' is a {type(state).__name__}. It must hold tensors "
                "by name, as model.state_dict() gives them."
            )
        # Under its own names a run goes on; with others it was another Algorithm's.
        names = dict(state) if resuming else fitting_keys(state, model.state_dict())
        renamed: Any = OrderedDict(names)
        if names.keys() == state.keys() and hasattr(state, "_metadata"):
            renamed._metadata = state._metadata  # versions of the modules
        _check_ranges(renamed, model, needed=resuming or not self.training)
        if self.partly and not resuming:
            _check_some_fit(renamed, model)
        else:
            _check_weights(renamed, model, exact=resuming)
        if "state_dict" not in checkpoint:
            checkpoint.clear()  # a bare state dict; EMAHook expects the usual form
        checkpoint["state_dict"] = renamed


def _check_resumable(checkpoint: Mapping[str, Any], config: Any) -> None:
    """Refuse bare weights, and what another Algorithm left.

    Args:
        checkpoint: Its content.
        config: Of the model that the run trains, None if that is not known.
    """
    meta = checkpoint.get("meta")
    whole = isinstance(meta, Mapping) and {"epoch", "iter"} <= meta.keys()
    if not whole or "message_hub" not in checkpoint:
        raise WrongCheckpointError(
            "it holds weights alone, nothing of a run that could go on. Begin a new "
            "run with them: load_from='<file>' in place of --resume."
        )
    before = _type_in(meta.get("cfg"))  # type: ignore[union-attr]
    now = config.get("type") if isinstance(config, Mapping) else None
    if before is None or now is None:
        return
    known = MODELS.module_dict  # asked by key: get() would import what a file names
    old = before.rpartition(".")[2]
    new = now.rpartition(".")[2] if isinstance(now, str) else now.__name__
    if known.get(old, old) is known.get(new, new) or old == new:
        return
    if old in known or new in known:
        raise WrongCheckpointError(
            f"it is of a run of '{old}', and this run trains '{new}'. Resume with the "
            "config that it was trained with; or begin a new run with its weights: "
            "load_from='<file>' in place of --resume."
        )


def _type_in(text: Any) -> str | None:
    """Return the type of ``model`` in the text of a config, which is not run."""
    if not isinstance(text, str):
        return None
    try:
        lines = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for line in lines:
        if not isinstance(line, ast.Assign) or not isinstance(line.value, ast.Call):
            continue
        if any(isinstance(t, ast.Name) and t.id == "model" for t in line.targets):
            for pair in line.value.keywords:
                if pair.arg == "type" and isinstance(pair.value, ast.Constant):
                    return str(pair.value.value)
    return None


def _check_ranges(state: Mapping[str, Any], model: nn.Module, needed: bool) -> None:
    """Refuse weights without ranges for a model that needs them now."""
    wanted = any(name.startswith(_QUANTIZER) for name in model.state_dict())
    if needed and wanted and not any(name.startswith(_QUANTIZER) for name in state):
        raise WrongCheckpointError(
            "it has no ranges to quantize with, as that of a float model. "
            "tools/quantize.py finds them; training a config of mmrazor.Quantize "
            "does too."
        )


def _check_some_fit(state: Mapping[str, Any], model: nn.Module) -> None:
    own = model.state_dict()
    if any(name in own and _shape(v) == own[name].shape for name, v in state.items()):
        return
    raise WrongCheckpointError(
        f"not one of its {len(state)} weights, such as '{next(iter(state), None)}', "
        f"fits one of the model's {len(own)}, such as '{next(iter(own), None)}'. Pass "
        "the config it was trained with."
    )


def _check_weights(state: dict, model: nn.Module, exact: bool) -> None:
    """Refuse weights that are missing or of another shape.

    Args:
        state: Names as in the model.
        model: Takes them in.
        exact: Whether it must be the state of this very Algorithm.
    """
    own = model.state_dict()
    exempt = (_QUANTIZER,) if exact else (_QUANTIZER, *_TRAINING_ONLY)
    wanted = [
        name
        for name in own
        if not name.startswith(exempt) and not name.endswith(_COUNTER)
    ]
    tried: Any = OrderedDict(
        (name, value)
        for name, value in state.items()
        if not name.startswith(exempt)
        or name not in own
        or _shape(value) == own[name].shape
    )
    if hasattr(state, "_metadata"):
        tried._metadata = state._metadata
    error: RuntimeError | None = None
    absent = left = frozenset[str]()
    try:
        # Modules rename keys of older versions while loading, so torch has the say.
        keys = model.load_state_dict(tried, strict=False)
        absent, left = frozenset(keys.missing_keys), frozenset(keys.unexpected_keys)
    except RuntimeError as err:
        error = err
        absent = frozenset(name for name in wanted if name not in state)
    missing = [name for name in wanted if name in absent and name not in state]
    if missing:
        raise WrongCheckpointError(
            f"it lacks {len(missing)} of {len(wanted)} weights, such as "
            f"'{missing[0]}'; it has '{next(iter(state), None)}'. Pass the config it "
            "was trained with."
        )
    for name in wanted:
        if error is not None and _shape(state[name]) != own[name].shape:
            raise WrongCheckpointError(
                f"'{name}' has shape {tuple(_shape(state[name]) or ())} there and "
                f"{tuple(own[name].shape)} in the model. Pass the config it was "
                "trained with."
            )
    if error is not None:
        lines = str(error).splitlines()
        raise WrongCheckpointError(f"torch refuses it: {lines[-1].strip()}")
    extra = [name for name in state if name in left and not name.endswith(_COUNTER)]
    extra = [name for name in extra if not name.startswith(_QUANTIZER)]
    if exact and extra:
        raise WrongCheckpointError(
            f"it has {len(extra)} weights too many, such as '{extra[0]}', which the "
            "model does not have. Resume with the config it was trained with."
        )


def _shape(value: Any) -> Any:
    return getattr(value, "shape", None)


def fitting_keys(state: dict, wanted: dict) -> dict:
    """Rename a state dict between an Algorithm and its bare Architecture.

    Args:
        state: State dict as stored.
        wanted: State dict of the model.

    Returns:
        ``state`` itself, or a copy with the prefix ``architecture.`` put or removed,
        whichever holds most of the wanted names.

    Example:
        >>> list(fitting_keys({'architecture.fc.bias': 0}, {'fc.bias': 0}))
        ['fc.bias']
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    bare = {
        name.removeprefix(_PREFIX): value
        for name, value in state.items()
        if name.startswith(_PREFIX)
    }
    wrapped = {_PREFIX + name: value for name, value in state.items()}
    return max(state, bare, wrapped, key=lambda names: len(names.keys() & wanted))
