"""Read a config file and make of it what one run needs."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from mmrazor import compat
from mmrazor.core.checkpoint_backend import BACKEND_NAME

from .error_kinds import message
from .error_origin import is_users, location, places
from .pruning_run import set_pruning_
from .quantizing_run import set_quantizing_
from .run_keys import RunConfigError, check_keys

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def load_config(
    config: str | os.PathLike[str] | Config,
    cfg_options: Mapping[str, Any] | None = None,
) -> Config:
    """Read a config, with changes.

    Args:
        config: A file, the config of an installed library such as
            ``'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'`` or
            ``'mmrazor::distill/...'``, or a Config, of which a copy is returned.
        cfg_options: Changes to it, with dotted keys; they stay as they are.

    Raises:
        FileNotFoundError: If there is no such config; near names are listed.
        RunConfigError: If the file is not valid.
    """
    cfg = copy.deepcopy(config) if isinstance(config, Config) else _read(config)
    if cfg_options:
        # A copy: mmengine writes dotted keys into the dictionaries beside them.
        _merge_(cfg, copy.deepcopy(dict(cfg_options)))
    return cfg


def _merge_(cfg: Config, options: dict[str, Any]) -> None:
    for key, value in options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as err:
            raise RunConfigError(
                f"--cfg-options {key}={value!r} does not fit what the config has there "
                f"({message(err)}). Change a key of it, or write _delete_=True into a "
                "new dict."
            ) from err


def _read(config: str | os.PathLike[str]) -> Config:
    path = compat.find_config(config if isinstance(config, str) else Path(config))
    try:
        cfg = compat.read_config(path)
    except FileNotFoundError as err:
        raise FileNotFoundError(
            f"Config '{path}' builds on a file that does not exist: {err}. Correct its "
            "'_base_'."
        ) from err
    except (Exception, SystemExit) as err:
        raise RunConfigError(
            f"Config '{path}' cannot be read: {_reason(err)} Correct the file."
        ) from err
    if not cfg:
        raise RunConfigError(f"Config '{path}' is empty. Add at least 'model'.")
    return cfg


def _reason(err: BaseException) -> str:
    """Say what was raised while a config was read, and at which line of whose file."""
    text = f"{type(err).__name__}: {message(err)}"
    if isinstance(err, ImportError) and ", the current sys.path is" in text:
        text = text.partition(", the current sys.path is")[0]
        text += f" ({err.__cause__}). Its folder must be in PYTHONPATH"
    if not isinstance(err, SyntaxError) and is_users(places(err)[-1].file):
        text += f" (at {location(err)})"
    return f"{text.rstrip('.')}."


def run_config(
    config: str | os.PathLike[str] | Config,
    *,
    work_dir: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
    launcher: str | None = None,
    resume: str | Path | bool | None = None,
    checkpoint: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
) -> Config:
    """Complete a config for one run, on the machine this is called on.

    Options given here win over the file; what neither gives is set as the OpenMMLab
    tools set it. Without a GPU, distributed runs use gloo. Calling it on its own
    result changes nothing.

    Besides, training is made resumable to the bit, unless the config says
    ``exact_resume = False``: ``mmrazor.RandomStateHook`` joins the hooks, and
    checkpoints are renamed into place when they are whole.

    A model with a pruner gets the hook that the pruner names, one with a quantizer that
    which calibrates it.

    Args:
        config: As for ``load_config``.
        work_dir: Folder for logs and checkpoints; default is the config's, then
            ``work_dirs/<name of the config file>``.
        cfg_options: Changes to the config, with dotted keys.
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``; default is the
            config's, then ``none``.
        resume: A checkpoint to go on from, or ``True`` or ``'auto'`` for the newest in
            ``work_dir``; if there is none, training starts at the beginning.
        checkpoint: Weights to start from or to test.
        amp: Train in mixed precision.
        auto_scale_lr: Scale the learning rate to the batch size of all processes.
        seed: For all random numbers of the run.

    Returns:
        The complete config, ready for ``mmengine.Runner.from_cfg``.

    Raises:
        FileNotFoundError: If the config or a checkpoint does not exist.
        RunConfigError: If options or keys do not fit together.
    """
    cfg = load_config(config, cfg_options)
    check_keys(cfg)
    cfg.launcher = launcher or cfg.get("launcher") or "none"
    if cfg.launcher not in LAUNCHERS:
        raise RunConfigError(f"launcher='{cfg.launcher}' is none of {LAUNCHERS}.")
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or _default_work_dir(cfg))
    if seed is not None:
        cfg.randomness = dict(cfg.get("randomness") or {}, seed=seed)
    if checkpoint is not None:
        cfg.load_from, cfg.resume = existing_checkpoint(checkpoint), False
    if resume:
        _set_resume_(cfg, resume)
    if amp:
        _set_amp_(cfg)
    if auto_scale_lr:
        _set_auto_scale_lr_(cfg)
    _set_distributed_(cfg)
    _set_dataloader_defaults_(cfg)
    set_pruning_(cfg)
    set_quantizing_(cfg)
    if cfg.get("exact_resume", True) and cfg.get("train_cfg"):
        _set_exact_resume_(cfg)
    check_keys(cfg)
    return cfg


def existing_checkpoint(path: str | Path) -> str:
    """Return the path (or URL) of a checkpoint as a string, if it is there.

    Raises:
        FileNotFoundError: If it is not; the checkpoints beside it are listed.
    """
    text = str(path)
    if "://" in text or Path(text).expanduser().is_file():
        return text
    if Path(text).is_dir():
        found = ", ".join(sorted(p.name for p in Path(text).glob("*.pth")))
        raise FileNotFoundError(
            f"Checkpoint '{text}' is a folder. Name a file in it: {found or 'none'}."
        )
    folder = Path(text).parent
    names = sorted(p.name for p in folder.glob("*.pth"))
    beside = (
        f"'{folder}' holds {', '.join(names)}."
        if names
        else (
            f"'{folder}' holds no .pth file."
            if folder.is_dir()
            else f"Folder '{folder}' does not exist."
        )
    )
    raise FileNotFoundError(f"There is no checkpoint '{text}'. {beside}")


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the newest whole checkpoint that a run left in its ``work_dir``."""
    folder = Path(work_dir)
    note = folder / "last_checkpoint"
    if note.is_file():
        named = Path(note.read_text(encoding="utf-8").strip())
        # The folder may have been moved since.
        for path in (named, folder / named.name):
            if path.is_file():
                return path
    found = [p for kind in ("epoch", "iter") for p in folder.glob(f"{kind}_*.pth")]
    return max(found, key=lambda p: p.stat().st_mtime, default=None)


def _type_name(spec: Any) -> str:
    """Return the class name in ``type``: without scope, for a class and its name."""
    kind = spec.get("type", "") if isinstance(spec, dict) else type(spec)
    return kind.rsplit(".", 1)[-1] if isinstance(kind, str) else kind.__name__


def _default_work_dir(cfg: Config) -> Path:
    name = Path(cfg.filename).stem if cfg.filename else "run"
    return Path("work_dirs") / name


def _set_resume_(cfg: Config, resume: str | Path | bool) -> None:
    if resume is not True and resume != "auto":
        cfg.load_from, cfg.resume = existing_checkpoint(str(resume)), True
        return
    found = latest_checkpoint(cfg.work_dir)
    cfg.resume = found is not None
    if found is not None:
        cfg.load_from = str(found)
        return
    print_log(
        f"No checkpoint to resume from in '{cfg.work_dir}': starting at the beginning.",
        logger="current",
        level=logging.WARNING,
    )


def _set_amp_(cfg: Config) -> None:
    wrapper = cfg.get("optim_wrapper")
    if not wrapper or "optimizer" not in wrapper:
        raise RunConfigError(
            "amp needs 'optim_wrapper=dict(optimizer=dict(...))' in the config, with "
            "one optimizer."
        )
    kinds = ("OptimWrapper", "AmpOptimWrapper", "CpuAmpOptimWrapper")
    kind = _type_name(wrapper) or "OptimWrapper"
    if kind not in kinds:
        raise RunConfigError(
            f"amp replaces optim_wrapper.type, which must be one of {kinds}, but the "
            f"config has '{kind}'. Train without --amp."
        )
    if get_device() == "cpu":
        wrapper.type = "mmrazor.CpuAmpOptimWrapper"
        return
    wrapper.type = "AmpOptimWrapper"
    wrapper.setdefault("loss_scale", "dynamic")


def _set_auto_scale_lr_(cfg: Config) -> None:
    if "base_batch_size" not in (cfg.get("auto_scale_lr") or {}):
        raise RunConfigError(
            "auto-scale-lr needs the batch size that the learning rate was chosen for. "
            "Add auto_scale_lr = dict(base_batch_size=...) to the config."
        )
    cfg.auto_scale_lr.enable = True


def _set_distributed_(cfg: Config) -> None:
    if cfg.launcher == "none":
        return
    cfg.setdefault("model_wrapper_cfg", {"type": "mmrazor.AlgorithmDDP"})
    env = cfg.get("env_cfg") or {}
    dist = {"backend": "nccl", **(env.get("dist_cfg") or {})}
    if get_device() == "cpu":
        dist["backend"] = "gloo"
    cfg.env_cfg = {**env, "dist_cfg": dist}


def _set_dataloader_defaults_(cfg: Config) -> None:
    """Do to mmpretrain's loaders what its own tools do; its configs rely on it."""
    if cfg.get("default_scope") not in ("mmpretrain", "mmcls"):
        return
    for stage in ("train", "val", "test"):
        loader = cfg.get(f"{stage}_dataloader")
        if not loader:
            continue
        loader.setdefault("collate_fn", {"type": "default_collate"})
        loader.setdefault("pin_memory", get_device() != "cpu")
        loader.setdefault("persistent_workers", loader.get("num_workers", 0) > 0)


def _set_exact_resume_(cfg: Config) -> None:
    hooks = list(cfg.get("custom_hooks") or [])
    if "RandomStateHook" not in map(_type_name, hooks):
        cfg.custom_hooks = [*hooks, {"type": "mmrazor.RandomStateHook"}]
    default_hooks = cfg.get("default_hooks") or {}
    saver = default_hooks.get("checkpoint", {"type": "CheckpointHook", "interval": 1})
    if saver is None or saver.get("file_client_args") or saver.get("backend_args"):
        return
    if "://" not in str(saver.get("out_dir") or ""):
        saver = {**saver, "backend_args": {"backend": BACKEND_NAME}}
        cfg.default_hooks = {**default_hooks, "checkpoint": saver}
