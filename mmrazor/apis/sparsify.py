# Choosing weights by calibration data is done once, before training, so it is a step of
# its own: what it writes is a plain checkpoint of the host's model with zeros in it, to
# be tested, exported or trained on like any other.
"""Give the weights of a checkpoint an N:M pattern."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from rich.console import Group
from rich.text import Text
from torch import nn

from ..core.files import file_set, write_json
from ..models.architectures import build_architecture, load_weights
from ..models.architectures.checkpoint import checkpoint_file
from ..models.pruners.semi_structured import SparsityReport, semi_structured_
from .bare_config import architecture_of
from .calibration_batches import calibration_batches
from .prune_source import config_stem
from .run_config import run_config
from .run_folder import file_stem, run_folder
from .weights_file import stored_meta, write_weights

_PRUNER = "SemiStructuredPruner"
_DEFAULTS = {"n": 2, "m": 4, "skip": (), "layout": "flat", "damping": 0.01}


@dataclass(frozen=True)
class SparsifyInfo:
    """What was pruned, and the files written.

    Args:
        checkpoint: Weights with the Architecture's own keys, and ``dataset_meta``.
        report_file: The report and where it comes from, as JSON.
        report: What was done to each weight.
        num_batches: Calibration batches used.
    """

    checkpoint: Path
    report_file: Path
    report: SparsityReport
    num_batches: int


def sparsify(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str],
    out_dir: str | os.PathLike[str] | None = None,
    *,
    method: str = "wanda",
    n: int | None = None,
    m: int | None = None,
    skip: Sequence[str] | None = None,
    layout: str | None = None,
    damping: float | None = None,
    calib_batches: int = 8,
    seed: int = 0,
    name: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> SparsifyInfo:
    """Prune the Architecture of a config and its checkpoint; write a plain checkpoint.

    What is None is taken from the config's ``SemiStructuredPruner`` if it has one, so
    that training goes on with the same layers.

    Args:
        config: Of an Algorithm, or of a plain host model.
        checkpoint: Its weights.
        out_dir: Folder for the files; default is ``sparse`` beside the checkpoint.
        method: ``magnitude``, ``wanda`` or ``sparsegpt``.
        n: Weights kept of every ``m``; default 2.
        m: Neighbours along a layer's inputs; default 4.
        skip: Names of modules or weights that stay dense; ``*`` stands for any text.
        layout: ``flat`` (default) or ``channels_last``.
        damping: Of ``sparsegpt``; default 0.01.
        calib_batches: Batches of the training set to calibrate with, in the size of
            the validation loader's; 0 for none, with ``magnitude``.
        seed: Of the choice of images.
        name: File name without suffix; default is the config's and the method.
        cfg_options: Changes to the config, with dotted keys.

    Returns:
        The report and where the files are.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        FileWriteError: If a file cannot be written; then none is.
        FolderInUseError: If another run writes into the folder.
        RunConfigError: If the config or the training set is faulty.
        ValueError: If the checkpoint does not fit, or pruning is impossible as asked.
    """
    cfg = run_config(config, cfg_options=dict(cfg_options or {}))
    given = dict(n=n, m=m, skip=skip, layout=layout, damping=damping)
    settings = _settings(cfg, given)
    if calib_batches < 0:
        raise ValueError(f"calib_batches={calib_batches} must be at least 0.")
    source = checkpoint_file(checkpoint)
    folder = Path(out_dir) if out_dir is not None else source.parent / "sparse"
    stem = file_stem(name, f"{config_stem(cfg)}_{method}")
    resolved = architecture_of(cfg)
    scope = resolved.scope or "mmengine"
    with run_folder(folder, "--out-dir"):
        model = build_architecture(
            Config(dict(model=resolved.model, default_scope=scope))
        )
        if calib_batches and not isinstance(model, BaseModel):
            raise ValueError(
                f"{type(model).__name__} is a plain torch module, which a config's "
                "data cannot be run through. Call semi_structured_(model, batches, "
                "...)."
            )
        load_weights(model, source)
        model.to(get_device())
        batches = _Counted(calibration_batches(cfg, calib_batches, seed))
        report = semi_structured_(
            model,
            batches if calib_batches else None,
            method,
            **settings,
            run=_predict,
        )
        origin = {
            "config": str(cfg.filename or ""),
            "checkpoint": str(source),
            "calib_batches": batches.number,
            "seed": seed,
        }
        weights, report_file = f"{stem}.pth", f"{stem}.json"
        with file_set(folder, (weights, report_file)) as place:
            write_weights(place / weights, model, stored_meta(source))
            write_json(place / report_file, {**origin, **report.to_dict()})
    return SparsifyInfo(folder / weights, folder / report_file, report, batches.number)


def summary(info: SparsifyInfo) -> Group:
    """Return what rich prints of a pruned checkpoint: every weight, and the files."""
    lines = [
        f"calibration batches: {info.num_batches}",
        f"weights: {info.checkpoint}",
        f"report: {info.report_file}",
    ]
    return Group(info.report.table(), *map(Text, lines))


class _Counted:
    """Batches, with a count of those that were used."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches
        self.number = 0

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            self.number += 1
            yield batch


def _predict(model: nn.Module, batch: Any) -> Any:
    assert isinstance(model, BaseModel)
    return model.val_step(batch)


def _settings(cfg: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the settings that were not given from the config's pruner."""
    model = cfg.get("model") or {}
    pruner = model.get("pruner") or {}
    kind = str(pruner.get("type", "")).rpartition(".")[2]
    known = dict(pruner) if kind == _PRUNER else {}
    return {
        key: known.get(key, default) if given[key] is None else given[key]
        for key, default in _DEFAULTS.items()
    }
