from __future__ import annotations

import pytest
import torch
from torch import nn

from mmrazor.models.mutables import DiffChoiceRoute, DiffMutableOP


def edge(alpha: list[float]) -> DiffMutableOP:
    ops = {"none": nn.Tanh(), "same": nn.Identity(), "act": nn.ReLU()}
    op = DiffMutableOP(ops, name=f"edge{alpha}", never=["none"])
    op.alpha.data = torch.tensor(alpha)
    return op


def test_darts_adds_all_edges_and_keeps_the_strongest_two() -> None:
    # the second edge has the greatest alpha of all, but for 'none'
    edges = [edge([0.0, 0.0, 1.0]), edge([9.0, 0.0, 0.0]), edge([0.0, 2.0, 0.0])]
    node = DiffChoiceRoute(edges, num_chosen=2, name="node")
    inputs = list(torch.randn(3, 4))
    wanted = sum(e(value) for e, value in zip(edges, inputs, strict=True))
    torch.testing.assert_close(node(inputs), wanted)
    assert node.derived() == {"node": "0+2"}
    assert node.alpha is None
    with pytest.raises(ValueError, match="argument"):
        node(inputs[:2])


def test_weighted_edges_are_ranked_by_alpha() -> None:
    edges = [nn.Identity(), nn.ReLU(), nn.Tanh()]
    node = DiffChoiceRoute(edges, num_chosen=1, weighted=True, name="node")
    node.alpha.data = torch.tensor([0.1, 0.7, -0.4])
    inputs = list(torch.randn(3, 4))
    shares = torch.softmax(torch.tensor([0.1, 0.7, -0.4]), 0)
    wanted = sum(s * e(v) for s, e, v in zip(shares, edges, inputs, strict=True))
    torch.testing.assert_close(node(inputs), wanted)
    assert node.derived() == {"node": "1"}


def test_what_it_becomes_reads_the_kept_inputs() -> None:
    edges = [nn.Linear(4, 4) for _ in range(3)]
    node = DiffChoiceRoute(edges, num_chosen=2, weighted=True, name="node")
    inputs = list(torch.randn(3, 4))
    for value in node.choices()[0].values:
        node.choices()[0].selected = value
        kept = [int(i) for i in value.split("+")]
        wanted = sum(edges[i](inputs[i]) for i in kept)
        assert torch.equal(node.fix()(inputs), wanted)
    assert list(node.fix().state_dict()) == [
        f"edges.{i}.{name}" for i in (1, 2) for name in ("weight", "bias")
    ]


def test_tied_nodes() -> None:
    nodes = [
        DiffChoiceRoute([nn.Identity()] * 3, 2, weighted=True, name=name)
        for name in ("a", "b")
    ]
    nodes[1].tie_(nodes[0])
    assert nodes[1].alpha is nodes[0].alpha
    assert nodes[1].derived().keys() == {"a"}


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="from 1 to the number of edges, 2"):
        DiffChoiceRoute([nn.Identity()] * 2, num_chosen=3, weighted=True)
    with pytest.raises(ValueError, match="edges \\['1'\\] have no strength"):
        DiffChoiceRoute([edge([0.0, 0.0, 0.0]), nn.Identity()], num_chosen=1)
