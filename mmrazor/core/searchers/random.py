"""Random search, the baseline of every other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ...registry import TASK_UTILS
from ..values import check_number
from .base import Searcher
from .objectives import Objective


@final
@TASK_UTILS.register_module()
class RandomSearcher(Searcher):
    """Draw different Subnets within the limits, each with the same probability.

    Args:
        num_subnets: To evaluate; fewer if there are not so many.
        objectives: See :class:`Searcher`.
        seed: Of all chance.
    """

    def __init__(
        self,
        num_subnets: int = 1000,
        *,
        objectives: Sequence[Objective] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(objectives=objectives, seed=seed)
        check_number("num_subnets", num_subnets, least=1, whole=True)
        self.num_subnets = self.total = num_subnets

    def _proposed(self) -> Sequence[dict[str, Any]]:
        return self._drawn(self.num_subnets - len(self.history))
