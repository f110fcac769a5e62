# DARTS: Differentiable Architecture Search (arXiv:1806.09055), the CIFAR-10 network of
# section 3.1: cells of four nodes whose edges are chosen, two of which halve the map.
"""The supernet of DARTS, to search and to retrain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ....registry import MODELS
from ...mutables import DiffChoiceRoute, DiffMutableOP
from ...ops import DARTS_OPS, FactorizedReduce, darts_op, relu_conv_bn

_NUM_NODES = 4
_AUXILIARY = 768


@final
@MODELS.register_module()
class DartsBackbone(BaseModule):
    """Cells of DARTS; all normal cells share their decisions, and all reduction cells.

    The Choices are ``normal.node0.inputs``, ``normal.node0.edge0.op``, ... and the same
    for ``reduce``, whatever the number of cells and channels, so that a Subnet found
    with 8 cells fits a network of 20.

    Args:
        num_cells: Number of cells; those at one third and two thirds halve the map and
            double the channels.
        base_channels: Channels of a node in the first cells.
        in_channels: Channels of the image.
        affine: Whether norms learn scale and bias: False to search, True to retrain.
        drop_path: Probability of dropping a path of a cell in training; it can be set
            later, see :class:`~mmrazor.models.ops.DropPath`.
        auxiliary: Whether the cell at two thirds feeds an auxiliary tower in training,
            whose output of 768 channels is returned first.
        ops: Operations of an edge.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If there are too few cells or an operation is unknown.

    Example:
        >>> net = DartsBackbone(3, 4)
        >>> [tuple(out.shape) for out in net(torch.zeros(2, 3, 16, 16))]
        [(2, 64, 4, 4)]
    """

    def __init__(
        self,
        num_cells: int = 8,
        base_channels: int = 16,
        in_channels: int = 3,
        affine: bool = False,
        drop_path: float = 0.0,
        auxiliary: bool = False,
        ops: Sequence[str] = tuple(DARTS_OPS),
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_cells < 3:
            raise ValueError(
                f"num_cells={num_cells} must be 3 or more: two cells halve the map."
            )
        reductions = (num_cells // 3, 2 * num_cells // 3)
        channels = base_channels
        before, last = 3 * base_channels, 3 * base_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, last, 3, padding=1, bias=False),
            nn.BatchNorm2d(last),
        )
        self.cells = nn.ModuleList()
        first: dict[bool, _Cell] = {}
        was_reduction = False
        self._auxiliary_at = reductions[1] if auxiliary else None
        for i in range(num_cells):
            reduction = i in reductions
            channels *= 2 if reduction else 1
            cell = _Cell(
                (before, last),
                channels,
                was_reduction,
                reduction,
                ops,
                affine,
                drop_path,
            )
            cell.tie_(first.setdefault(reduction, cell))
            self.cells.append(cell)
            before, last, was_reduction = last, _NUM_NODES * channels, reduction
            if i == self._auxiliary_at:
                self.auxiliary = _auxiliary_tower(last)
        self.out_channels = last

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the last map; before it, in training, that of the auxiliary tower."""
        before = last = self.stem(image_BCHW)
        outs = []
        for i, cell in enumerate(self.cells):
            before, last = last, cell(before, last)
            if i == self._auxiliary_at and self.training:
                outs.append(self.auxiliary(last))
        return (*outs, last)


class _Cell(nn.Module):
    """Nodes, each a sum over edges from the two cells before and the nodes before.

    Args:
        inputs: Channels of the cell before the last and of the last.
        channels: Channels of a node.
        was_reduction: Whether the last cell halved the map.
        reduction: Whether this one does.
        ops, affine, drop: As for the backbone.
    """

    def __init__(
        self,
        inputs: tuple[int, int],
        channels: int,
        was_reduction: bool,
        reduction: bool,
        ops: Sequence[str],
        affine: bool,
        drop: float,
    ) -> None:
        super().__init__()
        reduce = FactorizedReduce if was_reduction else relu_conv_bn
        self.preprocess0 = reduce(inputs[0], channels, affine)
        self.preprocess1 = relu_conv_bn(inputs[1], channels, affine)
        kind = "reduce" if reduction else "normal"
        self.nodes = nn.ModuleList()
        for node in range(_NUM_NODES):
            edges = []
            for edge in range(node + 2):
                stride = 2 if reduction and edge < 2 else 1
                named = {op: darts_op(op, channels, stride, affine, drop) for op in ops}
                name = f"{kind}.node{node}.edge{edge}.op"
                never = [op for op in ops if op == "none"]
                edges.append(DiffMutableOP(named, name, never))
            name = f"{kind}.node{node}.inputs"
            self.nodes.append(DiffChoiceRoute(edges, num_chosen=2, name=name))

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Return the nodes side by side."""
        states = [self.preprocess0(before), self.preprocess1(last)]
        for node in self.nodes:
            states.append(node(states))
        return torch.cat(states[2:], 1)

    def tie_(self, other: _Cell) -> None:
        """Share decisions and architecture parameters of another cell."""
        for mine, theirs in zip(self.nodes, other.nodes, strict=True):
            assert isinstance(mine, DiffChoiceRoute)
            assert isinstance(theirs, DiffChoiceRoute)
            mine.tie_(theirs)
            edge: Any
            for edge, same in zip(
                mine.edges.values(), theirs.edges.values(), strict=True
            ):
                edge.tie_(same)


def _auxiliary_tower(channels: int) -> nn.Sequential:
    """Build the tower before the auxiliary classifier; an 8x8 map becomes one pixel."""
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride=3, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, _AUXILIARY, 2, bias=False),
        nn.BatchNorm2d(_AUXILIARY),
        nn.ReLU(),
    )
