"""The model that a config and a checkpoint stand for, before it is pruned."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from ..core.graph import example_inputs
from ..core.graph.compose import composed
from ..core.graph.cuts import Cuts
from ..core.space import Subnet
from ..models.architectures import (
    ArchitectureConfig,
    build_architecture,
    load_weights,
)
from ..models.architectures.build import weights_of
from ..models.architectures.checkpoint import checkpoint_file
from .bare_config import architecture_of
from .image_size import test_image_size
from .runner import explained_types
from .weights_file import stored_meta


@dataclass(frozen=True)
class PruneSource:
    """The Architecture of a config, with its weights.

    Args:
        cfg: The whole config.
        resolved: Its Architecture.
        model: The same, built, on the CPU.
        weights: Where its weights are from; ``None`` if they are random.
    """

    cfg: Config
    resolved: ArchitectureConfig
    model: nn.Module
    weights: Path | None

    @classmethod
    def of(
        cls, cfg: Config, checkpoint: str | os.PathLike[str] | None = None
    ) -> PruneSource:
        """Build the Architecture of a config and load its weights.

        Args:
            cfg: Of an Algorithm, or of a plain host model.
            checkpoint: Goes before the weights that the config names.

        Raises:
            FileNotFoundError: If the checkpoint does not exist.
            RunConfigError: If the model names a type that no registry knows.
            ValueError: If the checkpoint does not fit, or the config has no model.
        """
        resolved = architecture_of(cfg)
        named = checkpoint if checkpoint is not None else weights_of(resolved)
        weights = None if named is None else checkpoint_file(named)
        model = _built(resolved)
        if weights is not None:
            load_weights(model, weights)
        return cls(cfg, resolved, model, weights)

    def image_size(self, given: Sequence[int] | None = None) -> tuple[int, int]:
        """Return height and width of a test image.

        Args:
            given: Height and width, or one number, instead of what the config tells.

        Raises:
            ValueError: If nothing tells.
        """
        if given:
            sizes = [int(size) for size in given]
            if len(sizes) > 2:
                raise ValueError(f"image_size={sizes} must be height and width.")
            return sizes[0], sizes[-1]
        scope = self.cfg.get("default_scope") or self.resolved.scope
        return test_image_size(
            Config(
                {
                    "model": self.resolved.model,
                    "default_scope": scope,
                    "test_dataloader": self._test_loader(),
                },
                filename=self.cfg.filename,
            )
        )

    def example(
        self, image_size: Sequence[int] | None = None
    ) -> tuple[dict[str, Any], tuple[int, int]]:
        """Return what the model is called with, and the size of the image in it.

        Args:
            image_size: As for :meth:`image_size`.

        Raises:
            ValueError: If nothing tells the size, or the model refuses the inputs.
        """
        size = self.image_size(image_size)
        return example_inputs(self.model, size), size

    def warn_of_random_weights(self, consequence: str) -> None:
        """Say what follows if there are no weights.

        Args:
            consequence: As a sentence that goes on after a comma.
        """
        if self.weights is None:
            print_log(
                f"No checkpoint: the weights are random, so {consequence}",
                logger="current",
                level=logging.WARNING,
            )

    def dataset_meta(self) -> dict[str, Any]:
        """Return class names and palette, of the checkpoint or else of the test set."""
        found = {} if self.weights is None else stored_meta(self.weights)
        dataset = (self._test_loader() or {}).get("dataset") or {}
        return dict(found or dataset.get("metainfo") or {})

    def _test_loader(self) -> Mapping[str, Any] | None:
        return self.cfg.get("test_dataloader") or self.cfg.get("val_dataloader")


def default_folder(cfg: Config, name: str) -> Path:
    """Return where files go if nobody says: a folder of the config's work dir.

    Args:
        cfg: The config.
        name: Of the folder.
    """
    return Path(cfg.get("work_dir") or f"work_dirs/{config_stem(cfg)}") / name


def config_stem(cfg: Config) -> str:
    """Return the name of a config without its suffix, ``model`` if it has none."""
    return Path(cfg.filename).stem if cfg.filename else "model"


def rebuilt(cfg: Config) -> nn.Module:
    """Build the Architecture of a config with the weights that it names.

    Args:
        cfg: Of an Algorithm, or of a plain host model.
    """
    resolved = architecture_of(cfg)
    model = _built(resolved)
    weights = weights_of(resolved)
    if weights is not None:
        load_weights(model, weights)
    return model


def subnet_of_both(first: Subnet, second: Subnet) -> Subnet:
    """Return the Subnet that does at once what two do in turn.

    Args:
        first: Of the original model.
        second: Of what ``first`` leaves of it.
    """
    assert first.slots is not None
    assert second.slots is not None
    cuts = composed(Cuts.from_dict(first.slots), Cuts.from_dict(second.slots))
    shapes = {k: v for k, v in first.slots.items() if k == "shapes"}
    choices = dict(first.choices)
    for name, kept in second.choices.items():
        before = choices.get(name)
        if isinstance(before, list) and isinstance(kept, list):
            choices[name] = [before[index] for index in kept]
    return Subnet(first.space, choices, {**cuts.to_dict(), **shapes}, second.cost)


def _built(resolved: ArchitectureConfig) -> nn.Module:
    scope = resolved.scope or "mmengine"
    with explained_types():
        return build_architecture(
            Config(dict(model=resolved.model, default_scope=scope))
        )
