"""Write the config that trains a model that was made small."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..core.files import write_atomically
from ..core.space.values import is_scalar
from ..models.algorithms import Algorithm
from ..models.architectures import ArchitectureConfig
from ..models.architectures.resolve import is_pruned
from .bare_config import without_downloads
from .config_text import config_text
from .pruning_run import training_pruner

#: Where a run goes and starts is not taken over.
OF_A_RUN = ("work_dir", "resume", "launcher", "load_from")


def finetune_config(
    cfg: Config, resolved: ArchitectureConfig, subnet: str, checkpoint: str
) -> Config:
    """Return a config with the pruned model in place of the one it was made from.

    Args:
        cfg: The config before pruning: of an Algorithm, or of a plain host model.
        resolved: Its Architecture.
        subnet: Path of the Subnet file.
        checkpoint: Path of the pruned weights.
    """
    tuned = named_types(ConfigDict(cfg._cfg_dict).to_dict())
    inner = named_types(without_downloads(resolved.model))
    if resolved.scope and isinstance(inner["type"], str) and "." not in inner["type"]:
        inner["type"] = f"{resolved.scope}.{inner['type']}"
    pruned = {
        "type": "mmrazor.SubnetModel",
        "architecture": inner,
        "subnet": subnet,
        "checkpoint": checkpoint,
    }
    if "architecture" in tuned["model"] and not is_pruned(tuned["model"]):
        tuned["model"]["architecture"] = pruned
        if training_pruner(tuned["model"]) is not None:
            tuned["model"] = _without_pruner(tuned["model"])
    else:
        tuned["model"] = pruned
    for key in OF_A_RUN:
        tuned.pop(key, None)
    return Config(tuned)


def write_config(path: Path, cfg: Config, header: str) -> Path:
    """Write a config with a comment above it, and make sure that it reads as it is.

    Args:
        path: The file; missing folders are made.
        cfg: May hold ``{{ fileDirname }}``, the folder that the file lies in.
        header: Lines of the comment, without ``#``.

    Raises:
        ValueError: If the config holds what a config file cannot.
    """
    check_plain(cfg)
    lines = "".join(f"# {line}\n" for line in header.splitlines())
    text = lines + config_text(ConfigDict(cfg._cfg_dict).to_dict())

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")
        read = Config.fromfile(str(temporary), import_custom_modules=False)
        # As mmengine takes it: links are not followed.
        here = os.path.abspath(temporary.parent).replace("\\", "/")
        expected = _replaced(_plain(cfg), "{{ fileDirname }}", here)
        found = _plain(read)
        wrong = [key for key in expected if found.get(key) != expected[key]]
        if wrong:
            raise ValueError(
                f"The config for training cannot be written: {wrong} would read "
                "differently from a file. Use other names for its keys."
            )

    return write_atomically(path, write)


def check_plain(cfg: Config) -> None:
    """Return quietly if a config can be written.

    Raises:
        ValueError: If it holds what a config file cannot.
    """
    faults = list(_not_plain(_plain(cfg), ""))
    if faults:
        raise ValueError(
            f"The config for training cannot be written: {', '.join(faults[:4])}. A "
            "file holds dicts, lists, texts and finite numbers; name classes and "
            "functions by their type."
        )


def _plain(cfg: Config) -> dict[str, Any]:
    return _as_lists(ConfigDict(cfg._cfg_dict).to_dict())


def _as_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_lists(item) for item in value]
    return value


def named_types(value: Any) -> Any:
    """Name classes and functions that stand as ``type``, as pure Python configs do."""
    if isinstance(value, (list, tuple)):
        return type(value)(named_types(item) for item in value)
    if not isinstance(value, Mapping):
        return value
    named = {key: named_types(item) for key, item in value.items()}
    kind: Any = named.get("type")
    if hasattr(kind, "__qualname__"):
        named["type"] = f"{kind.__module__}.{kind.__qualname__}"
    return named


def _not_plain(value: Any, where: str) -> Iterator[str]:
    """Yield what no config file can hold, with its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _not_plain(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_plain(item, f"{where}[{index}]")
    elif not (value is None or is_scalar(value)):
        yield f"'{where}' is {value!r}"[:80]


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def _without_pruner(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Algorithm that only trains: what the pruner needed goes with it."""
    kept = inspect.signature(Algorithm).parameters.keys() - {"pruner"}
    parts = {key: value for key, value in model.items() if key in kept}
    return {"type": "mmrazor.Compress", **parts}
