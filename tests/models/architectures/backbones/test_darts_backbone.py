from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.cost import count_cost
from mmrazor.models.architectures import (
    DARTS_V2,
    DartsBackbone,
    Genotype,
    genotype_values,
)
from mmrazor.models.mutators import NasMutator
from mmrazor.models.ops import DropPath

OPS = ("none", "skip_connect", "max_pool_3x3", "dil_conv_3x3")


class Classifier(nn.Module):
    def __init__(self, backbone: DartsBackbone, classes: int = 10) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.out_channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.backbone(image)[-1].mean((2, 3)))


def test_the_published_cells_have_the_published_size() -> None:
    """The paper says 3.3M; the authors' training script prints 3.349342MB."""
    mutator = NasMutator()
    model = mutator(Classifier(DartsBackbone(20, 36, affine=True)))
    fixed = mutator.fixed(model, genotype_values(DARTS_V2))
    assert sum(p.numel() for p in fixed.parameters()) == 3_349_342


def test_the_space_does_not_depend_on_the_size() -> None:
    small, large = NasMutator(), NasMutator()
    model = small(DartsBackbone(3, 4))
    large(DartsBackbone(6, 8, affine=True))
    assert small.space.fingerprint() == large.space.fingerprint()
    assert len(small.space) == 2 * (4 + 14)
    assert small.space.size() == (1 * 3 * 6 * 10 * 8**14) ** 2
    small.space.validate(genotype_values(DARTS_V2))
    alphas = [p for name, p in model.named_parameters() if name.endswith(".alpha")]
    assert len(alphas) == 2 * 14


def test_cells_of_a_kind_share_their_parameters() -> None:
    net = DartsBackbone(6, 4)
    assert [
        cell.nodes[0].edges["0"].alpha is net.cells[0].nodes[0].edges["0"].alpha
        for cell in net.cells
    ] == [True, True, False, True, False, True]
    assert (
        net.cells[2].nodes[3].edges["4"].alpha is net.cells[4].nodes[3].edges["4"].alpha
    )


def test_gradients_reach_every_alpha() -> None:
    net = DartsBackbone(3, 4, ops=OPS)
    net(torch.rand(2, 3, 16, 16))[-1].square().mean().backward()
    alphas = [p for name, p in net.named_parameters() if name.endswith(".alpha")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in alphas)


def test_what_is_derived_follows_alpha_and_leaves_none_out() -> None:
    mutator = NasMutator()
    model = mutator(DartsBackbone(3, 4, ops=OPS))
    for edge in range(5):
        op = model.cells[0].nodes[3].edges[str(edge)]
        op.alpha.data = torch.tensor([5.0, 0.0, 0.0, float(edge)])
    values = mutator.derived()
    assert values["normal.node3.inputs"] == "3+4"
    assert values["normal.node3.edge4.op"] == "dil_conv_3x3"
    assert "none" not in values.values()
    fixed = mutator.fixed(model, values).eval()
    assert fixed(torch.rand(1, 3, 9, 9))[-1].shape == (1, 64, 3, 3)


@pytest.mark.slow
def test_every_cost_equals_a_real_count() -> None:
    mutator = NasMutator()
    image = torch.rand(1, 3, 8, 8)
    model = mutator(Classifier(DartsBackbone(3, 4, ops=OPS)))
    costs = mutator.space_cost(model, image)
    assert costs.range_is_exact
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = mutator.space.sample(rng)
        real = count_cost(mutator.fixed(model, values), image)
        assert costs.cost(values).macs == real.macs
        assert costs.cost(values).params == real.params


def test_the_auxiliary_tower_runs_in_training_alone() -> None:
    net = DartsBackbone(3, 4, auxiliary=True, ops=OPS, drop_path=0.2)
    image = torch.rand(2, 3, 32, 32)
    first, last = net(image)
    assert (first.shape, last.shape) == ((2, 768, 1, 1), (2, 64, 8, 8))
    assert len(net.eval()(image)) == 1
    assert {m.prob for m in net.modules() if isinstance(m, DropPath)} == {0.2}


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="num_cells=2 must be 3 or more"):
        DartsBackbone(2)
    with pytest.raises(ValueError, match="no operation 'conv'"):
        DartsBackbone(3, ops=["conv"])
    wrong = Genotype([("sep_conv_3x3", 0), ("sep_conv_3x3", 0)], ())
    with pytest.raises(ValueError, match="'normal.node0' cannot have the edges"):
        genotype_values(wrong)
    wrong = Genotype([("conv", 0), ("sep_conv_3x3", 1)], ())
    with pytest.raises(ValueError, match="each with one of \\['none'"):
        genotype_values(wrong)
