# The depth of a stage as in Once-for-All (arXiv:1908.09791): the first blocks are kept.
"""A sequence of blocks of which the first ones run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import nn

from ...registry import MODELS
from .mutable import Mutable
from .mutable_op import Candidate, built


@final
@MODELS.register_module()
class MutableDepth(Mutable):
    """Blocks one after the other; as many as its Choice ``depth`` says are run.

    The blocks are its children ``0``, ``1``, ..., as in ``nn.Sequential``.

    Args:
        blocks: An ``nn.Sequential``, or modules or configs in order. The outputs of all
            depths have the same shape.
        depths: Numbers of blocks to choose from; the deepest is selected to begin with.
        name: Name of the Choice; without it the place gives the name.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If a depth is not from 0 to the number of blocks.

    Example:
        >>> import torch
        >>> blocks = [nn.Linear(2, 2) for _ in range(4)]
        >>> stage = MutableDepth(blocks, [2, 3, 4], 'depth')
        >>> stage.choices()[0].selected = 3
        >>> stage(torch.zeros(1, 2)).shape, len(stage.fix())
        (torch.Size([1, 2]), 3)
    """

    def __init__(
        self,
        blocks: nn.Sequential | Sequence[Candidate],
        depths: Sequence[int],
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        modules = [built(block) for block in blocks]
        wrong = [
            d for d in depths if not isinstance(d, int) or not 0 <= d <= len(modules)
        ]
        if wrong or not depths:
            raise ValueError(
                f"depths={list(depths)} must be numbers of blocks to keep, from 0 to "
                f"{len(modules)}."
            )
        for i, module in enumerate(modules):
            self.add_module(str(i), module)
        self._add_choice("depth", depths, name)
        self._roles["depth"].selected = max(depths)

    def forward(self, value: Any) -> Any:
        """Run the first blocks."""
        for i in range(self._roles["depth"].selected):
            value = self._modules[str(i)](value)
        return value

    def fix(self) -> nn.Sequential:
        """Return the first blocks as a sequence."""
        blocks = list(self.children())
        return nn.Sequential(*blocks[: self._roles["depth"].selected])
