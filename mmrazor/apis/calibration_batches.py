"""Calibration data of a config: training images, prepared as for a test."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .. import compat
from ..core.hooks.random_streams import seed_generators_
from .run_config import RunConfigError
from .runner import explained_types

_PREPARE_HINT = (
    "Check data_root, or fetch the data: python tools/prepare_data.py --help"
)


def calibration_loader(cfg: Config, seed: int = 0) -> DataLoader:
    """Return a shuffled loader of a config's training set, the same on every call.

    Images come through the pipeline and in the batches of the validation loader, so
    that they are what the deployed model sees; without a validation loader, or with a
    dataset that has no pipeline, as in training.

    Args:
        cfg: A complete config, from ``run_config``.
        seed: Of the order and of what the pipeline draws.

    Raises:
        RunConfigError: If there is no training set, or it is empty or not there.
    """
    spec = _train_spec(cfg)
    dataset = spec["dataset"]
    while isinstance(dataset.get("dataset"), Mapping) and _pipeline_of_val(cfg):
        dataset = dataset["dataset"]  # out of mosaics and repetitions
    if "pipeline" in dataset and _pipeline_of_val(cfg):
        spec = copy.deepcopy(cfg.val_dataloader.to_dict())
        spec["dataset"] = {**dataset, "pipeline": _pipeline_of_val(cfg)}
        spec["sampler"] = {"type": "DefaultSampler", "shuffle": True}
        spec.pop("batch_sampler", None)
    return _loader(cfg, spec, seed)


def calibration_batches(cfg: Config, num_batches: int, seed: int = 0) -> Iterator[Any]:
    """Yield batches of :func:`calibration_loader`, for ``model.val_step``.

    Args:
        cfg: A complete config, from ``run_config``.
        num_batches: Batches wanted, at least 1; a smaller training set ends earlier,
            with a warning.
        seed: As for :func:`calibration_loader`.

    Raises:
        RunConfigError: As for :func:`calibration_loader`.
    """
    loader = calibration_loader(cfg, seed)
    seed_generators_(seed)
    number = 0
    for batch in itertools.islice(loader, num_batches):
        number += 1
        yield batch
    if number < num_batches:
        print_log(
            f"The training set gives {number} calibration batches, {num_batches} were "
            "asked for.",
            logger="current",
            level=logging.WARNING,
        )


def train_batches(
    cfg: Config, num_batches: int, seed: int = 0, batch_size: int | None = None
) -> Iterator[Any]:
    """Yield batches as training has them, augmented and with labels.

    Args:
        cfg: A complete config, from ``run_config``.
        num_batches: Batches wanted, at least 1; a smaller training set is gone through
            again.
        seed: Of the order and of what the pipeline draws.
        batch_size: Images in a batch; default is the config's.

    Raises:
        RunConfigError: As for :func:`calibration_loader`.
    """
    spec = _train_spec(cfg)
    if batch_size is not None:
        spec.update(batch_size=batch_size)
        spec.pop("batch_sampler", None)
    loader = _loader(cfg, spec, seed)
    seed_generators_(seed)
    left = num_batches
    while left > 0:
        number = 0
        for batch in itertools.islice(loader, left):
            number += 1
            yield batch
        if number == 0:
            raise RunConfigError(
                f"The training set gives no batch of {spec['batch_size']}: it has "
                "fewer images, and drop_last is set. Make the batches smaller."
            )
        left -= number


def _train_spec(cfg: Config) -> dict[str, Any]:
    if not cfg.get("train_dataloader"):
        raise RunConfigError(
            f"Config '{cfg.filename}' has no train_dataloader to calibrate with. Add "
            "one."
        )
    return copy.deepcopy(cfg.train_dataloader.to_dict())


def _loader(cfg: Config, spec: dict[str, Any], seed: int) -> DataLoader:
    """Build a loader that works in this process, or say why there is none."""
    spec.update(num_workers=0, persistent_workers=False)
    spec.pop("prefetch_factor", None)
    seed_generators_(seed)
    try:
        with explained_types(), compat.host_scope(cfg.get("default_scope")):
            loader = Runner.build_dataloader(spec, seed=seed)
    except FileNotFoundError as err:
        raise RunConfigError(
            f"The training set is not there: {err}. {_PREPARE_HINT}"
        ) from err
    except ValueError as err:
        # What mmengine's BaseDataset and torch's samplers say of no samples.
        if "at least one array" not in str(err) and "num_samples" not in str(err):
            raise
        raise RunConfigError(f"The training set is empty. {_PREPARE_HINT}") from err
    if hasattr(loader.dataset, "__len__") and not len(loader.dataset):
        raise RunConfigError(f"The training set is empty. {_PREPARE_HINT}")
    return loader


def _pipeline_of_val(cfg: Config) -> list[Any] | None:
    dataset = (cfg.get("val_dataloader") or {}).get("dataset") or {}
    while "pipeline" not in dataset and isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    pipeline = dataset.get("pipeline")
    return None if pipeline is None else list(pipeline)
