# FBNet (Wu et al., 2019, arXiv:1812.03443) times each operator once and takes a sum for
# a network's latency. Ours has layers at several widths and is linear in between.
"""Milliseconds of every choice of channels, from layers that were timed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bounded import read_json
from ..files import write_json
from .product import Extent
from .width_axis import WidthAxis

_FORMAT = "mmrazor.latency/1"


class LatencyTableError(ValueError):
    """A table that is damaged, or of another device or model."""


@dataclass(frozen=True)
class LayerTimes:
    """Times of one layer at a grid of widths.

    Args:
        layer: The module's name.
        ins: Which channels go in, as they depend on the units kept.
        outs: Which come out, if they do not follow from those that go in.
        grid_in: Numbers of channels in at which it was timed, ascending.
        grid_out: Numbers of channels out, ascending.
        times_ms: Milliseconds, a row for each number in, a column for each out.

    Raises:
        LatencyTableError: If the shapes do not fit or a grid is not ascending.
    """

    layer: str
    ins: Extent
    outs: Extent
    grid_in: tuple[int, ...]
    grid_out: tuple[int, ...]
    times_ms: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        shape = (len(self.grid_in), len(self.grid_out))
        times = np.array(self.times_ms, float)
        grids = (self.grid_in, self.grid_out)
        rising = all(list(g) == sorted(set(g)) and g for g in grids)
        if not rising or times.shape != shape or not np.isfinite(times).all():
            raise LatencyTableError(
                f"The times of layer '{self.layer}' do not fit its grid, {grids}: they "
                f"have shape {times.shape}, or are not finite. Measure it again."
            )


class LatencyTable:
    """Estimates the latency of a pruned model; call it with units kept by group.

    The estimate is the sum over layers of their times, interpolated linearly in the
    channels that go in and come out, times a factor, plus what the model takes beyond.

    Args:
        groups: Number of units of every group.
        layers: Times of the layers that depend on them.
        dense_ms: Measured for the whole model.
        device: Where it was measured, from :func:`device_name`.
        model: Fingerprint of the model and its inputs.
        scale: Of layers in the model to layers alone, see :meth:`calibrated`.
        torch_version: Of the torch that ran.

    Example:
        >>> layer = LayerTimes('fc', Extent(3), Extent(0, {'fc.out': 1}), (3,),
        ...                    (2, 4), ((1.0, 2.0),))
        >>> table = LatencyTable({'fc.out': 4}, [layer], 2.5, 'a cpu', '3f2a')
        >>> table({'fc.out': 4}), table({'fc.out': 3})
        (2.5, 2.0)
    """

    def __init__(
        self,
        groups: Mapping[str, int],
        layers: Sequence[LayerTimes],
        dense_ms: float,
        device: str,
        model: str,
        scale: float = 1.0,
        torch_version: str = torch.__version__,
    ) -> None:
        self.groups = dict(groups)
        self.layers = tuple(layers)
        self.dense_ms = dense_ms
        self.device, self.model = device, model
        self.scale, self.torch_version = scale, str(torch_version)
        self._sizes = np.array(list(self.groups.values()), float)
        self._axes = [
            WidthAxis([getattr(layer, name) for layer in layers], grids, self.groups)
            for name, grids in (
                ("ins", [layer.grid_in for layer in layers]),
                ("outs", [layer.grid_out for layer in layers]),
            )
        ]
        shape = (len(layers), *(axis.grid.shape[1] for axis in self._axes))
        self._times = np.zeros(shape)
        for index, layer in enumerate(layers):
            rows, columns = len(layer.grid_in), len(layer.grid_out)
            self._times[index, :rows, :columns] = layer.times_ms
        self._rows = np.arange(len(layers))
        self.rest_ms = dense_ms - scale * self._layers_ms(self._sizes)

    def __call__(self, kept: Mapping[str, int]) -> float:
        """Return milliseconds when each group keeps this many units.

        Args:
            kept: By group; one that is missing keeps all.

        Raises:
            ValueError: If a group is unknown.
        """
        unknown = [name for name in kept if name not in self.groups]
        if unknown:
            raise ValueError(
                f"The latency table has no group '{unknown[0]}'; it has "
                f"{len(self.groups)}, such as {list(self.groups)[:3]}. It is of "
                "another model."
            )
        counts = [kept.get(name, size) for name, size in self.groups.items()]
        return self.rest_ms + self.scale * self._layers_ms(np.array(counts, float))

    def calibrated(
        self, measured: Sequence[tuple[Mapping[str, int], float]]
    ) -> LatencyTable:
        """Return a table whose factor fits whole models best, in least squares.

        Layers in a model find other things in the caches than layers alone.

        Args:
            measured: Units kept, and milliseconds of that model. The whole model stays
                exact.
        """
        plain = LatencyTable(self.groups, self.layers, self.dense_ms, "", "")
        guessed = np.array([self.dense_ms - plain(kept) for kept, _ in measured])
        saved = np.array([self.dense_ms - real for _, real in measured])
        total = float(guessed @ guessed)
        scale = max(0.0, float(guessed @ saved) / total) if total else 1.0
        values = (self.dense_ms, self.device, self.model, scale, self.torch_version)
        return LatencyTable(self.groups, self.layers, *values)

    def _layers_ms(self, counts: np.ndarray) -> float:
        if not self.layers:
            return 0.0
        (row, right), (column, below) = (axis.place(counts) for axis in self._axes)
        next_row = np.minimum(row + 1, self._times.shape[1] - 1)
        next_column = np.minimum(column + 1, self._times.shape[2] - 1)
        times, layers = self._times, self._rows
        first = times[layers, row, column] * (1 - below)
        first = first + times[layers, row, next_column] * below
        second = times[layers, next_row, column] * (1 - below)
        second = second + times[layers, next_row, next_column] * below
        return float((first * (1 - right) + second * right).sum())

    def check_fits(self, device: str, model: str) -> None:
        """Refuse to be used for something else than what was measured.

        Args:
            device: From :func:`device_name`.
            model: Fingerprint of the model and its inputs.

        Raises:
            LatencyTableError: If device, torch or model is another.
        """
        now = {"device": device, "torch": str(torch.__version__), "model": model}
        then = (self.device, self.torch_version, self.model)
        for (what, found), expected in zip(now.items(), then, strict=True):
            if found != expected:
                raise LatencyTableError(
                    f"The latency table is of another {what}: '{expected}', and this "
                    f"is '{found}'. Measure it here: name a file that does not exist."
                )

    def save(self, path: str | Path) -> Path:
        """Write everything to a JSON file."""
        names = ("groups", "dense_ms", "device", "model", "scale", "torch_version")
        data = {name: getattr(self, name) for name in names}
        layers = [asdict(layer) for layer in self.layers]
        return write_json(path, {"format": _FORMAT, **data, "layers": layers})

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """Read a file that :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is none.
            LatencyTableError: If it is damaged.
        """
        try:
            data = read_json(path)
            if data.pop("format") != _FORMAT:
                raise ValueError("of another format")
            layers = [_layer(item) for item in data.pop("layers")]
            return cls(layers=layers, **data)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise LatencyTableError(
                f"'{path}' is no latency table, or damaged ({type(err).__name__}: "
                f"{err}). Remove it, and it is measured again."
            ) from err


def _layer(data: Mapping[str, Any]) -> LayerTimes:
    values = {field.name: data[field.name] for field in fields(LayerTimes)}
    for name in ("ins", "outs"):
        values[name] = Extent(values[name]["const"], dict(values[name]["per_unit"]))
    values["times_ms"] = tuple(map(tuple, values["times_ms"]))
    return LayerTimes(
        **{
            **values,
            "grid_in": tuple(values["grid_in"]),
            "grid_out": tuple(values["grid_out"]),
        }
    )
