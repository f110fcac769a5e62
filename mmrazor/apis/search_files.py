"""The files that a search leaves behind."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.files import write_atomically
from ..core.loops.search_state import Evaluation
from ..core.space import SearchSpace, Subnet
from ..core.space.values import is_scalar

_NUMBERED = re.compile(r"[0-9]{2,}\.yaml")
_ABOUT = ("number", "batch", "part", "seconds", "error")


def write_subnets(folder: Path, best: Sequence[Subnet]) -> list[Path]:
    """Write ``subnet.yaml``, the best, and ``subnets/00.yaml`` and so on, all of them.

    Files of an earlier end of the search are removed where they are now too many.

    Args:
        folder: Where they go.
        best: Best first.

    Returns:
        ``subnet.yaml`` and the others, in order.

    Raises:
        ValueError: If ``subnets`` is a link: nothing behind it is written or removed.
    """
    others = folder / "subnets"
    if others.is_symlink():
        raise ValueError(
            f"'{others}' is a link, behind which no files are written or removed. "
            "Remove it, or choose another folder with --work-dir."
        )
    width = max(2, len(str(len(best) - 1)))
    paths = [
        subnet.dump(others / f"{place:0{width}}.yaml")
        for place, subnet in enumerate(best)
    ]
    for path in set(others.glob("*.yaml")) - set(paths):
        if _NUMBERED.fullmatch(path.name):  # others are not of a search
            path.unlink()
    return [best[0].dump(folder / "subnet.yaml"), *paths]


def write_table(
    path: Path, space: SearchSpace, evaluations: Sequence[Evaluation]
) -> Path:
    """Write a row for each evaluation, as CSV.

    The columns are number, batch (generation), part of the validation set, seconds,
    error, then all scores, all costs and all Choices by their names.

    Args:
        path: The file.
        space: What was searched.
        evaluations: In order.
    """
    subnets = [one.subnet for one in evaluations]
    scores = list(dict.fromkeys(name for one in subnets for name in one.score))
    costs = list(dict.fromkeys(name for one in subnets for name in one.cost))

    def rows() -> Iterator[list[Any]]:
        yield [*_ABOUT, *scores, *costs, *space]
        for number, one in enumerate(evaluations, 1):
            yield [
                *(number, one.batch, one.part, one.seconds, one.error or ""),
                *(one.subnet.score.get(name, "") for name in scores),
                *(one.subnet.cost.get(name, "") for name in costs),
                *(
                    _cell(space[name].to_data(one.subnet.choices[name]))
                    for name in space
                ),
            ]

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows())

    return write_atomically(path, write)


def _cell(data: Any) -> Any:
    return data if is_scalar(data) else json.dumps(data)
