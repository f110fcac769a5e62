"""What a search for bit-widths found: a table, a picture, files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from ..core.files import write_atomically
from ..core.plain_table import PlainTable
from ..models.quantizers import ChosenBits
from .figures import drawn_if_possible, figure_type

_ROW = 0.26
_TINY = 1e-12


@dataclass(frozen=True)
class BitsFiles:
    """What was found, and where it is.

    Args:
        found: What was found.
        subnet: The Subnet that was chosen.
        picture: The sensitivities; None without matplotlib.
    """

    found: ChosenBits
    subnet: Path
    picture: Path | None

    def moved_to(self, folder: Path) -> BitsFiles:
        """Return the same of files that were moved to another folder."""
        picture = None if self.picture is None else folder / self.picture.name
        return BitsFiles(self.found, folder / self.subnet.name, picture)


def write_bits(found: ChosenBits, folder: Path, stem: str) -> BitsFiles:
    """Write the Subnet that was chosen, and the picture.

    Args:
        found: What was found.
        folder: Where they go: ``<stem>_bits.yaml`` and ``<stem>_bits.png``.
        stem: How their names begin.
    """
    subnet = found.subnet.dump(folder / f"{stem}_bits.yaml")
    picture = drawn_if_possible(draw_bits, found, folder / f"{stem}_bits.png")
    return BitsFiles(found, subnet, picture)


def bits_table(found: ChosenBits) -> Group:
    """Return the error of the output by layer and bit-width, for a console.

    Args:
        found: What was found; what was chosen is in brackets.
    """
    errors, chosen = found.sensitivity.errors, found.subnet.choices
    widths = _widths(found)
    table = PlainTable(title="Error of the output, one layer at a time")
    table.add_column("layer", overflow="fold", min_width=16)
    for width in widths:
        table.add_column(f"{width} bits", justify="right", no_wrap=True)
    for name, of_layer in errors.items():
        cells = [_cell(of_layer, width, chosen[name]) for width in widths]
        table.add_row(_layer(name), *cells)
    return Group(table, *(Text(line) for line in _lines(found)))


def draw_bits(found: ChosenBits, path: str | Path) -> Path:
    """Write a picture of the errors: layers by bit-widths, the chosen ones framed.

    Args:
        found: What was found.
        path: The suffix says the format (``.png``, ``.svg``).

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    figure_class = figure_type("Install it: pip install matplotlib.")
    names, widths = list(found.sensitivity.errors), _widths(found)
    errors = [
        [found.sensitivity.errors[name].get(w, math.nan) for w in widths]
        for name in names
    ]
    label_width = 0.085 * max(len(_layer(name)) for name in names)
    size = max(label_width + 0.9 * len(widths) + 2.2, 6.0), _ROW * len(names) + 1.6
    figure = figure_class(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    logs = [[math.log10(max(x, _TINY)) for x in row] for row in errors]
    image = axes.imshow(logs, aspect="auto", cmap="viridis_r")
    axes.set_facecolor("0.85")  # where a layer has no such width
    axes.set_xticks(range(len(widths)), [f"{width} bits" for width in widths])
    axes.set_yticks(range(len(names)), [_layer(name) for name in names], fontsize=9)
    for row, name in enumerate(names):
        for column, error in enumerate(errors[row]):
            if math.isfinite(error):
                red, green, blue, _ = image.cmap(image.norm(logs[row][column]))
                dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
                is_chosen = found.subnet.choices[name] == widths[column]
                text = f"[{error:.2g}]" if is_chosen else f"{error:.2g}"
                axes.text(
                    *(column, row, text),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                    fontweight="bold" if is_chosen else "normal",
                )
    axes.set_title("one layer narrow, all others at their widest; chosen: [ ]")
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 8 / size[1]))
    bar.set_label("log10 of the output's relative squared error", fontsize=10)
    return write_atomically(path, lambda place: figure.savefig(place, dpi=110))


def _widths(found: ChosenBits) -> list[int]:
    errors = found.sensitivity.errors
    return sorted({w for of_layer in errors.values() for w in of_layer}, reverse=True)


def _layer(name: str) -> str:
    return name.removesuffix(".bits")


def _cell(errors: Any, width: int, chosen: Any) -> str:
    if width not in errors:
        return ""
    return f"[{errors[width]:.2e}]" if width == chosen else f"{errors[width]:.2e}"


def _lines(found: ChosenBits) -> list[str]:
    size, score = found.subnet.cost["size_bytes"], found.subnet.score
    least, most = found.range
    kib = [f"{value / 1024:.1f}" for value in (least, most, size, found.limits[1])]
    return [
        f"parameters: {kib[0]} to {kib[1]} KiB by the widths there are, {kib[2]} KiB "
        f"chosen, {kib[3]} KiB allowed",
        f"error of the output: {score['output_error']:.3e} with the chosen widths, "
        f"{score['estimated_error']:.3e} by the sum of layers, "
        f"{found.sensitivity.widest:.3e} with the widest",
    ]
