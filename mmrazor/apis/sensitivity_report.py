"""What a sensitivity analysis found: numbers, a table, JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from ..core.files import write_json
from ..core.plain_table import PlainTable
from .prune_report import left_alone_table


@dataclass(frozen=True)
class GroupSensitivity:
    """What becomes of a model when one group is pruned and all others are whole.

    Args:
        name: The group.
        units: Its size.
        channels: Channels of the layers that make it.
        kept: Units kept, by pruned share.
        scores: The metric, by pruned share; ``None`` if the model broke.
        macs: Of the model, by pruned share.
    """

    name: str
    units: int
    channels: int
    kept: tuple[int, ...]
    scores: tuple[float | None, ...]
    macs: tuple[int, ...]


@dataclass(frozen=True)
class SensitivityReport:
    """Scores against pruned shares, group by group, in the order of the network.

    Args:
        model: Its type.
        stage: The set that was scored: ``val`` or ``test``.
        metric: What the scores are.
        lower_is_better: Whether a smaller score is a better one.
        dense: Score of the whole model.
        macs: Of the whole model, for one image.
        image_size: Height and width of that image.
        shares: Pruned shares of a group's units.
        groups: The groups.
        left_alone: What was not pruned, and why.
    """

    model: str
    stage: str
    metric: str
    lower_is_better: bool
    dense: float
    macs: int
    image_size: tuple[int, int]
    shares: tuple[float, ...]
    groups: tuple[GroupSensitivity, ...]
    left_alone: dict[str, str]

    def loss(self, group: GroupSensitivity) -> float:
        """Return how much worse the score is, averaged over the shares.

        A score that is not a number, or is missing, counts as infinitely worse.
        """
        sign = -1 if self.lower_is_better else 1
        losses = [
            math.inf if score is None or math.isnan(score) else self.dense - score
            for score in group.scores
        ]
        return statistics.fmean(x if x == math.inf else sign * x for x in losses)

    def ranked(self) -> list[GroupSensitivity]:
        """Return the groups, the most sensitive first."""
        return sorted(self.groups, key=self.loss, reverse=True)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON; ``None`` for what is no number."""
        data = asdict(self)
        for group, plain in zip(self.groups, data["groups"], strict=True):
            plain["scores"] = [_plain(score) for score in group.scores]
            plain["mean_loss"] = _plain(self.loss(group))
        return {**data, "dense": _plain(self.dense)}

    def write(self, path: str | Path) -> Path:
        """Write :meth:`to_dict` to a JSON file."""
        return write_json(path, self.to_dict())

    def table(self) -> Group:
        """Return groups and shares for a rich console, the most sensitive first.

        The loss is :meth:`loss`, the MACs what the largest share saves of all.
        """
        title = f"{self.metric} of {self.model} ({self.stage} set), by pruned share"
        table = PlainTable(title=title)
        table.add_column("group", overflow="fold", min_width=16)
        shares = [f"{share:.0%}" for share in self.shares]
        for name in ("channels", *shares, "loss", "MACs"):
            table.add_column(name, justify="right", no_wrap=True)
        for group in self.ranked():
            saved = 1 - group.macs[-1] / self.macs if self.macs else 0.0
            table.add_row(
                group.name,
                str(group.channels),
                *("-" if score is None else f"{score:.4g}" for score in group.scores),
                f"{self.loss(group):.3g}",
                f"{saved:.1%}",
            )
        height, width = self.image_size
        text = (
            f"whole: {self.metric} {self.dense:.4g}, {self.macs:,} MACs for one image "
            f"of {height} x {width}"
        )
        columns = f"loss: mean over the shares; MACs: saved with {shares[-1]} pruned"
        parts: list[Any] = [table, Text(text), Text(columns)]
        if self.left_alone:
            parts.append(left_alone_table(self.left_alone))
        return Group(*parts)


def units_left(size: int, share: float) -> int:
    """Return how many of a group's units are kept: at least one.

    Args:
        size: Units of the group.
        share: That is pruned, rounded to whole units, halves up.

    Example:
        >>> units_left(64, 0.3), units_left(4, 0.9), units_left(4, 0.1)
        (45, 1, 4)
    """
    return max(1, size - math.floor(share * size + 0.5 + 1e-9))


def checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """Return shares in ascending order, each once.

    Raises:
        ValueError: If there are none, or one is not in (0, 1).
    """
    wrong = [share for share in shares if not 0 < share < 1]
    if wrong or not shares:
        raise ValueError(
            f"shares={list(shares)}: give parts of a group to prune, each above 0 and "
            "below 1, such as 0.3 0.6 0.9."
        )
    return tuple(sorted(set(map(float, shares))))


def _plain(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
