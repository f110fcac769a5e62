"""Build an Architecture from a config path, a file, a Config or a dict."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from torch import nn

from ... import compat
from ...core.forward import eager_module
from .checkpoint import load_weights
from .resolve import ArchitectureConfig, ArchitectureSource, architecture_config


def build_architecture(
    cfg: ArchitectureSource | nn.Module,
    pretrained: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    data_preprocessor: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build an Architecture and load its weights, if any are named.

    Weights are left as the constructor makes them otherwise: call ``init_weights()``
    of mmengine's models to run their ``init_cfg``.

    Args:
        cfg: One of: ``'mmdet::retinanet/<name>.py'``; a config file; a ``Config``; a
            model dict with ``type``; a dict with ``cfg_path``, optional ``pretrained``
            and ``checkpoint``, and overrides of that model's settings; or a module,
            which is returned as it is.
        pretrained: Load the weights that the host library published for ``cfg_path``.
        checkpoint: File or address of the weights to load.
        data_preprocessor: Used unless the given dict has its own; goes before the one
            in the file of ``cfg_path``.

    Returns:
        The plain model.

    Raises:
        FileNotFoundError: If the config or checkpoint does not exist.
        ModuleNotFoundError: If the host library is not installed.
        ValueError: If the model type or scope is unknown, or the weights do not fit.

    Example:
        >>> from torch import nn
        >>> build_architecture(nn.Linear(2, 3))
        Linear(in_features=2, out_features=3, bias=True)
    """
    if isinstance(cfg, nn.Module) or callable(cfg):
        module = eager_module(cfg)
        if pretrained:
            raise ValueError(
                "pretrained=True needs a cfg_path; a module has no published weights. "
                "Give checkpoint='weights.pth'."
            )
        model, weights = module, checkpoint
    else:
        resolved = architecture_config(cfg, data_preprocessor)
        weights = weights_of(resolved, pretrained, checkpoint)
        with compat.host_scope(resolved.scope):
            # A ConfigDict: some hosts read keys as attributes.
            model = MODELS.build(ConfigDict(copy.deepcopy(resolved.model)))
    if weights is not None:
        load_weights(model, weights)
    return model


def weights_of(
    resolved: ArchitectureConfig,
    pretrained: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> str | os.PathLike[str] | None:
    """Return file or address of the weights asked for, ``None`` if there are none.

    Args:
        resolved: Says what its config asks for.
        pretrained: Ask for the published ones.
        checkpoint: Goes before what the config says.

    Raises:
        ValueError: If two sets are asked for, or no weights are published.
    """
    checkpoint = checkpoint if checkpoint is not None else resolved.checkpoint
    if not (pretrained or resolved.pretrained):
        return checkpoint
    if checkpoint is not None:
        raise ValueError(
            f"pretrained=True and checkpoint='{checkpoint}' name two sets of weights. "
            "Keep one of them."
        )
    if resolved.cfg_path is None:
        raise ValueError(
            "pretrained=True needs a cfg_path; a model dict has no published weights. "
            "Give checkpoint='weights.pth'."
        )
    return compat.pretrained_url(resolved.cfg_path)
