# mmengine builds most parts late: a bad value is met after the model is built and the
# work dir is made, in words of the code that met it.
"""Check the keys of a run's config that mmengine itself reads."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from .error_kinds import near

STAGES = ("train", "val", "test")

_DICTS = (
    *("model", "optim_wrapper", "default_hooks", "env_cfg", "log_processor"),
    *("randomness", "auto_scale_lr", "visualizer", "data_preprocessor"),
    *(f"{stage}_{part}" for stage in STAGES for part in ("dataloader", "cfg")),
)
_TEXTS = ("load_from", "work_dir", "default_scope", "experiment_name")
_SWITCHES = ("exact_resume", "resume")
_LEVELS = ("CRITICAL", "FATAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET")
_PLAIN = (str, bytes, bool, int, float, list, tuple)


class _Number(NamedTuple):
    """A number that a key must be."""

    least: float
    whole: bool = True


_LOADER = {"batch_size": _Number(1), "num_workers": _Number(0)}
_LOOP = {
    "max_epochs": _Number(0),
    "max_iters": _Number(0),
    "val_interval": _Number(1),
    "val_begin": _Number(0),
}
_OPTIMIZER = {"lr": _Number(0, whole=False), "weight_decay": _Number(0, whole=False)}


class RunConfigError(ValueError):
    """A fault in a config, or in what it names, found before training starts."""


def check_keys(cfg: Mapping[str, Any]) -> None:
    """Check the kinds and ranges of a run's settings.

    Objects in place of dicts, which a script may have put there, are left alone.

    Args:
        cfg: A config, complete for a run.

    Raises:
        RunConfigError: If a setting is of another kind, or a number is out of range.

    Example:
        >>> check_keys({'train_dataloader': {'batch_size': 0}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        mmrazor.apis.run_keys.RunConfigError: train_dataloader.batch_size is 0. ...
    """
    for key in _DICTS:
        if isinstance(cfg.get(key), _PLAIN):
            raise _wrong(key, cfg[key], "a dict")
    model = cfg.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("type"), (int, float, list)):
        raise _wrong("model.type", model["type"], "the name of a class")
    for key in _TEXTS:
        if not isinstance(cfg.get(key, ""), (str, type(None))):
            raise _wrong(key, cfg[key], "a text")
    for key in _SWITCHES:
        if not isinstance(cfg.get(key, False), (bool, type(None))):
            raise _wrong(key, cfg[key], "True or False")
    level = cfg.get("log_level")
    if isinstance(level, str) and level not in _LEVELS:
        raise _wrong("log_level", level, f"one of {', '.join(_LEVELS)}")
    for stage in STAGES:
        _check_loader(f"{stage}_dataloader", cfg.get(f"{stage}_dataloader"))
        _check_numbers(f"{stage}_cfg", cfg.get(f"{stage}_cfg"), _LOOP)
    for key in ("randomness", "auto_scale_lr"):
        given = cfg.get(key)
        wanted = {"seed": _Number(0), "base_batch_size": _Number(1)}
        _check_numbers(key, given, wanted)
    wrapper = cfg.get("optim_wrapper")
    if isinstance(wrapper, Mapping):
        _check_numbers("optim_wrapper", wrapper, {"accumulative_counts": _Number(1)})
        optimizer = wrapper.get("optimizer")
        if isinstance(optimizer, _PLAIN):
            raise _wrong("optim_wrapper.optimizer", optimizer, "a dict")
        _check_numbers("optim_wrapper.optimizer", optimizer, _OPTIMIZER)
    _check_lists(cfg)
    _check_saving(cfg)


def check_parts(cfg: Mapping[str, Any], *stages: str) -> None:
    """Check that a config has all that some stages need.

    Args:
        cfg: A config, complete for a run.
        *stages: Among ``train``, ``val``, ``test``; ``val`` may be missing as a whole.

    Raises:
        RunConfigError: If a part is missing.
    """
    name = f"Config '{getattr(cfg, 'filename', None) or 'of the run'}'"
    if not cfg.get("model"):
        raise RunConfigError(f"{name} has no 'model'. Add model = dict(type='...').")
    needed = {
        "train": ("train_dataloader", "train_cfg", "optim_wrapper"),
        "val": ("val_dataloader", "val_cfg", "val_evaluator"),
        "test": ("test_dataloader", "test_cfg", "test_evaluator"),
    }
    for stage in stages:
        missing = [key for key in needed[stage] if cfg.get(key) is None]
        if not missing or (stage == "val" and len(missing) == len(needed["val"])):
            continue
        has = [key for key in needed[stage] if key not in missing]
        what = f"has {' and '.join(has)}, but" if has else "has"
        raise RunConfigError(
            f"{name} {what} no {' and no '.join(missing)}. To {stage} a model needs "
            f"{', '.join(needed[stage])}."
        )
    for stage in stages:
        loader = cfg.get(f"{stage}_dataloader")
        if isinstance(loader, Mapping) and loader.get("dataset") is None:
            raise RunConfigError(
                f"{name} has no {stage}_dataloader.dataset. Add dataset = "
                "dict(type='...')."
            )


def _check_loader(key: str, loader: Any) -> None:
    if not isinstance(loader, Mapping):
        return
    _check_numbers(key, loader, _LOADER)
    dataset = loader.get("dataset")
    if isinstance(dataset, (str, bytes, bool, int, float)):
        raise _wrong(f"{key}.dataset", dataset, "a dict(type='...')")
    if loader.get("persistent_workers") and not loader.get("num_workers"):
        raise RunConfigError(
            f"{key}.persistent_workers is True with num_workers=0, where there are no "
            "workers. Set it to False, or num_workers to 1 or more."
        )


def _check_lists(cfg: Mapping[str, Any]) -> None:
    hooks = cfg.get("custom_hooks")
    if isinstance(hooks, (Mapping, str, bool, int, float)):
        raise _wrong("custom_hooks", hooks, "a list of dict(type='...')")
    for key in ("custom_hooks", "param_scheduler"):
        given = cfg.get(key)
        if isinstance(given, (str, bool, int, float)):
            raise _wrong(key, given, "a dict(type='...') or a list of them")
        for number, one in enumerate(given if isinstance(given, (list, tuple)) else ()):
            if isinstance(one, _PLAIN):
                raise _wrong(f"{key}.{number}", one, "a dict(type='...')")


def _check_saving(cfg: Mapping[str, Any]) -> None:
    """Check the keys of the hook that saves, which it looks at when it first does."""
    saver = (cfg.get("default_hooks") or {}).get("checkpoint")
    if not isinstance(saver, Mapping) or saver.get("type") != CheckpointHook.__name__:
        return
    known: set[str] = {"type", "_scope_", "priority"}
    for call in (CheckpointHook.__init__, Runner.save_checkpoint):
        known |= set(inspect.signature(call).parameters)
    for key in set(saver) - known:
        raise RunConfigError(
            f"default_hooks.checkpoint has the key '{key}', which CheckpointHook does "
            f"not take.{near(key, known)}"
        )


def _check_numbers(key: str, given: Any, wanted: Mapping[str, _Number]) -> None:
    if not isinstance(given, Mapping):
        return
    for name, number in wanted.items():
        value = given.get(name)
        if value is None:
            continue
        kinds = int if number.whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if not fits or not (number.least <= value < math.inf):
            what = "a whole number" if number.whole else "a finite number"
            raise _wrong(f"{key}.{name}", value, f"{what} of at least {number.least}")


def _wrong(key: str, value: Any, wanted: str) -> RunConfigError:
    return RunConfigError(f"{key} is {value!r}. It must be {wanted}.")
