"""What a sensitivity analysis has found so far, on disk after every evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.bounded import read_json
from ..core.files import write_json

_FORMAT = "mmrazor.sensitivity/1"
_SHOWN = 4
# Of a loader: they change how fast it is, not what it gives.
_SPEED = ("num_workers", "persistent_workers", "pin_memory", "prefetch_factor")

Metrics = dict[str, float]


@dataclass
class SensitivityState:
    """Metrics of the whole model and of every model that was evaluated.

    Args:
        path: The JSON file.
        settings: Everything that decides the metrics, from :func:`flat_settings`.
        dense: Of the whole model; empty if it was not evaluated.
        groups: By group and number of units kept.
    """

    path: Path
    settings: dict[str, str]
    dense: Metrics = field(default_factory=dict)
    groups: dict[str, dict[int, Metrics]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: Path, settings: Mapping[str, str], resume: bool
    ) -> SensitivityState:
        """Read the file if it is there, or begin anew.

        Args:
            path: The JSON file.
            settings: As they are now.
            resume: ``False`` ignores what is there.

        Raises:
            ValueError: If the file is damaged or of other settings; it says which.
        """
        if not resume or not path.is_file():
            return cls(path, dict(settings))
        try:
            data = read_json(path)
            if data["format"] != _FORMAT:
                raise ValueError(f"its format is {data['format']!r}")
            groups = {
                str(name): {int(kept): dict(m) for kept, m in found.items()}
                for name, found in data["groups"].items()
            }
            state = cls(path, dict(data["settings"]), dict(data["dense"]), groups)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise ValueError(
                f"'{path}' is no state of a sensitivity analysis, or damaged "
                f"({type(err).__name__}: {err}). Begin anew with --no-resume, or write "
                "elsewhere with --out."
            ) from err
        differences = list(_differences(state.settings, settings))
        if differences:
            more = len(differences) - _SHOWN
            text = "; ".join(differences[:_SHOWN]) + (
                f"; and {more} more" if more > 0 else ""
            )
            raise ValueError(
                f"'{path}' holds scores of another analysis: {text}. Begin anew with "
                "--no-resume, write elsewhere with --out, or go back to the settings."
            )
        return state

    def keep_dense(self, metrics: Metrics) -> None:
        """Keep the metrics of the whole model, and write the file."""
        self.dense = metrics
        self._write()

    def keep(self, group: str, kept: int, metrics: Metrics) -> None:
        """Keep the metrics of a model with this many units of a group, and write."""
        self.groups.setdefault(group, {})[kept] = metrics
        self._write()

    def has(self, group: str, kept: int) -> bool:
        """Tell whether that model was evaluated."""
        return kept in self.groups.get(group, {})

    def _write(self) -> None:
        groups = {
            name: {str(kept): metrics for kept, metrics in found.items()}
            for name, found in self.groups.items()
        }
        data = {"format": _FORMAT, "settings": self.settings, "dense": self.dense}
        write_json(self.path, {**data, "groups": groups})


def flat_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as texts by dotted key; what only speeds up is left out.

    Example:
        >>> flat_settings({'loader': {'batch_size': 2, 'num_workers': 4}})
        {'loader.batch_size': '2'}
    """
    return dict(_flat(settings, ""))


def weights_hash(model: nn.Module) -> str:
    """Return a hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(data.numpy().tobytes())
    return digest.hexdigest()[:16]


def _flat(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            if key not in _SPEED:
                yield from _flat(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)) and any(
        isinstance(item, (Mapping, list, tuple)) for item in value
    ):
        for index, item in enumerate(value):
            yield from _flat(item, f"{where}[{index}]")
    else:
        plain = list(value) if isinstance(value, tuple) else value
        name = getattr(plain, "__qualname__", None)  # a class that stands as type
        yield where, name or repr(plain)


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in {**before, **now}:
        first, second = before.get(key), now.get(key)
        if first != second:
            yield f"{key} was {first or 'not set'} and is {second or 'not set'}"
