"""Build mmengine's Runner from a complete config, with clear errors."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.registry import OPTIMIZERS, RUNNERS
from mmengine.runner import Runner

from mmrazor import compat

from ..core.checkpoint_reader import CheckpointError
from ..core.hooks import CheckCheckpointHook, StopOnNanHook
from ..core.hooks.check_checkpoint_hook import WrongCheckpointError
from ..core.hooks.stop_on_nan_hook import NonFiniteError
from ..models.architectures import OnnxModelError, SubnetModelError
from ..models.quantizers import NothingQuantizedError
from .error_kinds import unknown_type
from .run_keys import RunConfigError
from .samples import name_samples_

_PREPARE_HINT = (
    "Check data_root, or fetch the data: python tools/prepare_data.py --help"
)


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of a config that ``run_config`` completed.

    Raises:
        RunConfigError: If the config names something that does not exist, a Subnet that
            belongs to another model or a checkpoint that cannot be read, or nothing in
            the model can be quantized.
        ModuleNotFoundError: If it needs a host library that is not installed.
    """
    scope = cfg.get("default_scope")
    if scope:
        compat.import_host(scope)
    if cfg.launcher != "none":
        join_process_group(cfg.launcher)
    with explained_types():
        custom = "runner_type" in cfg
        try:
            runner = RUNNERS.build(cfg) if custom else Runner.from_cfg(cfg)
        except (
            CheckpointError,
            FileNotFoundError,
            NothingQuantizedError,
            OnnxModelError,
            SubnetModelError,
        ) as err:
            raise RunConfigError(str(err)) from err
        _check_optimizer(cfg)
    if runner.distributed:
        # Threads of gloo that still run at exit abort the process.
        atexit.register(_leave_process_group)
    return runner


def check_datasets(runner: Runner, *stages: str) -> None:
    """Load the datasets of some stages and refuse empty ones.

    Args:
        runner: A Runner that has not run yet.
        *stages: Among ``train``, ``val``, ``test``.

    Raises:
        RunConfigError: If a dataset cannot be found or holds no samples.
    """
    for stage in stages:
        spec = runner.cfg.get(f"{stage}_dataloader")
        try:
            with explained_types():
                loop = getattr(runner, f"{stage}_loop")
        except FileNotFoundError as err:
            raise RunConfigError(
                f"{_describe(stage, spec)} is not there: {err}. {_PREPARE_HINT}"
            ) from err
        except ValueError as err:
            # What mmengine's BaseDataset and torch's samplers say of no samples.
            if not re.search("at least one array|num_samples", str(err)):
                raise
            raise _empty(stage, spec) from err
        if loop is None:
            continue
        dataset: Any = getattr(getattr(loop, "dataloader", None), "dataset", None)
        if hasattr(dataset, "__len__") and len(dataset) == 0:
            raise _empty(stage, spec)
        name_samples_(dataset)


def guard_(runner: Runner) -> None:
    """Let a run that trains refuse foreign weights, and stop when numbers turn NaN.

    Config keys: ``load_what_fits = True`` lets ``load_from`` leave out what does not
    fit, ``stop_on_nan = False`` goes on.

    Args:
        runner: A Runner that has not run yet.
    """
    if runner._load_from or runner._resume:
        partly = bool(runner.cfg.get("load_what_fits", False))
        runner.register_hook(CheckCheckpointHook(training=True, partly=partly))
    own = any(isinstance(hook, StopOnNanHook) for hook in runner.hooks)
    if runner.cfg.get("stop_on_nan", True) and not own:
        runner.register_hook(StopOnNanHook())


@contextmanager
def explained_faults(runner: Runner) -> Iterator[None]:
    """Say which checkpoint cannot be used for a run, or why it stopped.

    Args:
        runner: It trains or tests inside the ``with`` block.

    Raises:
        RunConfigError: In place of the errors of the hooks and of the reader.
    """
    try:
        yield
    except (CheckpointError, NonFiniteError) as err:
        raise RunConfigError(str(err)) from err
    except WrongCheckpointError as err:
        name = runner._load_from or f"{runner.work_dir}/last_checkpoint"
        text = (
            f"Checkpoint '{name}' is not of the model in '{runner.cfg.filename}': {err}"
        )
        checks = [
            hook for hook in runner.hooks if isinstance(hook, CheckCheckpointHook)
        ]
        if any(hook.training for hook in checks) and not runner._resume:
            text += (
                " To begin with what fits, as for other classes, set load_what_fits = "
                "True."
            )
        raise RunConfigError(text) from err


@contextmanager
def explained_types() -> Iterator[None]:
    """Add near names to the error for a ``type`` that no registry knows.

    Raises:
        RunConfigError: In place of the KeyError of mmengine's registries.
    """
    try:
        yield
    except KeyError as err:
        text = unknown_type(err)
        if not text:
            raise
        raise RunConfigError(text) from err


def join_process_group(launcher: str) -> None:
    """Start gloo for a distributed run without a GPU.

    mmengine's ``init_dist`` selects a CUDA device first, so it cannot do it. With a
    GPU, or if there is a process group already, nothing is done here.

    Raises:
        RunConfigError: If the launcher's environment variables are missing.
    """
    environment = os.environ
    if launcher == "mpi" and "OMPI_COMM_WORLD_LOCAL_RANK" in environment:
        environment["LOCAL_RANK"] = environment["OMPI_COMM_WORLD_LOCAL_RANK"]
    if get_device() != "cpu" or is_distributed():
        return
    try:
        if launcher == "slurm":
            environment["RANK"] = environment["SLURM_PROCID"]
            environment["WORLD_SIZE"] = environment["SLURM_NTASKS"]
            environment["LOCAL_RANK"] = environment["SLURM_LOCALID"]
            if "MASTER_ADDR" not in environment:
                environment["MASTER_ADDR"] = _first_host(environment["SLURM_NODELIST"])
        elif launcher == "mpi":
            environment["RANK"] = environment["OMPI_COMM_WORLD_RANK"]
            environment["WORLD_SIZE"] = environment["OMPI_COMM_WORLD_SIZE"]
        environment.setdefault("MASTER_ADDR", "127.0.0.1")
        environment.setdefault("MASTER_PORT", "29500")
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    except KeyError as err:
        raise RunConfigError(
            f"launcher='{launcher}' needs the environment variable {err}, which is not "
            "set. Start the run with tools/dist_train.sh, tools/slurm_train.sh or "
            "mpirun; a single process needs no launcher."
        ) from err
    torch_dist.init_process_group("gloo", rank=rank, world_size=size)


def _check_optimizer(cfg: Config) -> None:
    """Say of an unknown optimizer what mmengine says of other unknown types."""
    spec = (cfg.get("optim_wrapper") or {}).get("optimizer") or {}
    name = spec.get("type")
    if isinstance(name, str) and OPTIMIZERS.get(name) is None:
        raise KeyError(f"{name} is not in the mmengine::{OPTIMIZERS.name} registry")


def _leave_process_group() -> None:
    if is_distributed():
        torch_dist.destroy_process_group()


def _first_host(nodes: str) -> str:
    command = ["scontrol", "show", "hostnames", nodes]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as err:
        raise RunConfigError(
            f"Slurm does not say which host comes first in '{nodes}': {err}. Set the "
            "environment variable MASTER_ADDR to it."
        ) from err
    return done.stdout.split()[0]


def _describe(stage: str, spec: Any) -> str:
    """Name the dataset of a loader and where its data should be."""
    dataset = spec.get("dataset", {}) if isinstance(spec, dict) else {}
    while isinstance(dataset.get("dataset"), dict):  # wrappers such as RepeatDataset
        dataset = dataset["dataset"]
    keys = ("data_root", "ann_file", "data_prefix")
    where = [f"{key}={dataset[key]!r}" for key in keys if dataset.get(key)]
    kind = dataset.get("type", "dataset")
    name = kind if isinstance(kind, str) else kind.__name__
    return f"The {stage} dataset {name}({', '.join(where)})"


def _empty(stage: str, spec: Any) -> RunConfigError:
    return RunConfigError(
        f"{_describe(stage, spec)} holds no samples. Its annotation file may be empty, "
        f"or a filter (filter_cfg, metainfo) dropped them all. {_PREPARE_HINT}"
    )
