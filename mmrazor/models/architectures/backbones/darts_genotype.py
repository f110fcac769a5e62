# DARTS (arXiv:1806.09055): the form in which its authors publish cells.
"""Cells of DARTS, as published, and the values of a search space that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...ops import DARTS_OPS

Edges = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Genotype:
    """The operations and inputs of the two cells of DARTS.

    Args:
        normal: Operation and input of each kept edge, two for each node in order. The
            inputs 0 and 1 are the two cells before, 2 is the first node.
        reduce: The same for the reduction cell.
    """

    normal: Edges
    reduce: Edges


#: The cells of the paper's figures 4 and 5 (second order): 97.24 % on CIFAR-10.
DARTS_V2 = Genotype(
    normal=(
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    ),
    reduce=(
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
        ("max_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
    ),
)


def genotype_values(genotype: Genotype) -> dict[str, str]:
    """Return the values of the space of a ``DartsBackbone`` that are a genotype.

    The operations of edges that are not kept are ``none``.

    Raises:
        ValueError: If an operation is unknown, or a node's inputs are not two that it
            can have.

    Example:
        >>> values = genotype_values(DARTS_V2)
        >>> values['normal.node3.inputs'], values['normal.node3.edge2.op']
        ('0+2', 'dil_conv_3x3')
    """
    values: dict[str, str] = {}
    for kind in ("normal", "reduce"):
        edges = getattr(genotype, kind)
        nodes = [{i: op for op, i in edges[k : k + 2]} for k in range(0, len(edges), 2)]
        for node, kept in enumerate(nodes):
            values |= _node_values(f"{kind}.node{node}", node + 2, kept)
    return values


def _node_values(name: str, inputs: int, kept: Mapping[int, str]) -> dict[str, str]:
    unknown = [op for op in kept.values() if op not in DARTS_OPS]
    if unknown or len(kept) != 2 or not set(kept) <= set(range(inputs)):
        raise ValueError(
            f"'{name}' cannot have the edges {dict(kept)}: it keeps two different ones "
            f"of the inputs 0 to {inputs - 1}, each with one of {[*DARTS_OPS]}."
        )
    values = {f"{name}.inputs": "+".join(map(str, sorted(kept)))}
    ops = {f"{name}.edge{i}.op": kept.get(i, "none") for i in range(inputs)}
    return values | ops
