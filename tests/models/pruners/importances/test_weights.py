"""Importances that read weights alone, against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from mmrazor.models.pruners import (
    BNScaleImportance,
    FPGMImportance,
    GroupNormImportance,
    ImportanceError,
    L1Importance,
    L2Importance,
    LAMPImportance,
    RandomImportance,
)
from mmrazor.models.pruners.importances import lamp_scores, sum_of_distances
from tests.models.pruners.toy_groups import residual_group, toy_groups, toy_model

NONE = dict(normalization="none")


@pytest.fixture
def model():
    return toy_model()


@pytest.fixture
def groups(model):
    return toy_groups(model)


def test_l1_of_a_convolution(model, groups):
    weight = model[0].weight.tolist()
    expected = [sum(abs(v) for x in f for y in x for v in y) for f in weight]
    assert L1Importance(**NONE)(groups["conv.out"]).tolist() == pytest.approx(expected)


def test_outputs_of_a_transposed_convolution_are_on_axis_1(model, groups):
    weight = model[3].weight.tolist()  # 3 in, 4 out
    expected = [sum(abs(row[c][0][0]) for row in weight) for c in range(4)]
    scores = L1Importance(**NONE)(groups["deconv.out"])
    assert scores.tolist() == pytest.approx(expected)


def test_a_unit_has_all_its_rows(model, groups):
    weight = model[6].weight.tolist()
    expected = [
        math.sqrt(sum(v**2 for row in weight[2 * c : 2 * c + 2] for v in row))
        for c in range(3)
    ]
    assert L2Importance(**NONE)(groups["heads"]).tolist() == pytest.approx(expected)


def test_readers_of_a_flattened_map(model, groups):
    weight = model[6].weight.tolist()
    expected = [
        sum(abs(v) for row in weight for v in row[4 * c : 4 * c + 4]) for c in range(4)
    ]
    scores = L1Importance(roles="in", **NONE)(groups["deconv.out"])
    assert scores.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("sum", [5.0, 14.0]),
        ("mean", [2.5, 7.0]),
        ("max", [3.0, 8.0]),
        ("prod", [6.0, 48.0]),
        ("first", [3.0, 6.0]),
    ],
)
def test_reduction_over_slots(reduction, expected):
    group = residual_group([[1.0, -2.0], [3.0, 3.0]], [[2.0], [-8.0]])
    assert L1Importance(reduction=reduction, **NONE)(group).tolist() == expected


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("none", [1.0, 2.0, 6.0]),
        ("mean", [1 / 3, 2 / 3, 2.0]),
        ("max", [1 / 6, 1 / 3, 1.0]),
        ("sum", [1 / 9, 2 / 9, 6 / 9]),
        ("standarization", [0.0, 0.2, 1.0]),
        # mean 3, variance (4 + 1 + 9) / 3
        ("gaussian", [x / math.sqrt(14 / 3) for x in (-2, -1, 3)]),
    ],
)
def test_normalization(normalization, expected):
    group = residual_group([[1.0], [2.0], [6.0]], [[-1.0], [2.0], [6.0]])
    scores = L1Importance(normalization=normalization)(group)
    assert scores.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("normalization", ["mean", "max", "sum", "standarization"])
def test_normalization_of_zeros_is_zeros(normalization):
    group = residual_group([[0.0], [0.0]], [[0.0], [0.0]])
    assert L1Importance(normalization=normalization)(group).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("normalization", ["standarization", "gaussian"])
def test_a_single_channel_has_no_spread(normalization):
    group = residual_group([[2.0]], [[4.0]])
    assert L2Importance(normalization=normalization)(group).tolist() == [0.0]


def test_products_of_many_large_slots_stay_finite():
    group = residual_group([[1e30], [2e30]], [[1e30], [2e30]])
    scores = L1Importance(reduction="prod", **NONE)(group)
    assert scores.tolist() == pytest.approx([1e60, 4e60])


def test_group_norm_adds_makers_and_readers(model, groups):
    made, read = model[0].weight.tolist(), model[3].weight.tolist()
    expected = [
        sum(v**2 for x in made[c] for y in x for v in y)
        + sum(v[0][0] ** 2 for v in read[c])
        for c in range(3)
    ]
    mean = sum(expected) / 3
    scores = GroupNormImportance()(groups["conv.out"])
    assert scores.tolist() == pytest.approx([v / mean for v in expected])


def test_bn_scale(model, groups):
    model[1].weight.data = torch.tensor([0.5, -2.0, 0.0])
    assert BNScaleImportance()(groups["conv.out"]).tolist() == [0.5, 2.0, 0.0]


def test_bn_scale_needs_a_norm(groups):
    match = r"'heads' has no norm layer.*\['6', '7'\].*L1Importance"
    with pytest.raises(ImportanceError, match=match):
        BNScaleImportance()(groups["heads"])


def test_fpgm(model, groups):
    filters = [
        [v for x in f for y in x for v in y] for f in model[0].weight.double().tolist()
    ]
    expected = [sum(math.dist(one, other) for other in filters) for one in filters]
    scores = FPGMImportance(**NONE)(groups["conv.out"])
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_fpgm_of_many_large_filters_close_together():
    # more than 25 rows take the path with matrix products
    rows = 100 + torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    exact = rows.double()
    expected = (exact[:, None] - exact[None]).square().sum(-1).sqrt().sum(1)
    torch.testing.assert_close(
        sum_of_distances(rows).double(), expected, rtol=1e-4, atol=0
    )


def test_fpgm_drops_the_middle_filter_and_not_the_smallest():
    group = residual_group([[0.0], [5.0], [9.0]], [[0.0], [5.0], [9.0]])
    assert int(FPGMImportance()(group).argmin()) == 1
    assert int(L1Importance()(group).argmin()) == 0


def test_lamp_divides_by_what_is_not_smaller():
    group = residual_group([[2.0], [1.0], [0.0]], [[1.0], [1.0], [3.0]])
    # squares 4 + 1, 1 + 1, 9
    assert LAMPImportance()(group).tolist() == pytest.approx([5 / 14, 2 / 16, 1.0])


def test_lamp_of_equals_and_zeros():
    assert lamp_scores(torch.tensor([1.0, 1.0])).tolist() == [0.5, 1.0]
    assert lamp_scores(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_random_depends_on_seed_and_name_alone(groups):
    importance = RandomImportance(seed=3)
    first = importance(groups["conv.out"])
    torch.rand(5)
    importance(groups["deconv.out"])
    assert torch.equal(importance(groups["conv.out"]), first)
    assert torch.equal(RandomImportance(3)(groups["conv.out"]), first)
    assert not torch.equal(RandomImportance(4)(groups["conv.out"]), first)
    assert not torch.equal(importance(groups["heads"]), first)
    assert bool(((first >= 0) & (first < 1)).all())


def test_random_refuses_negative_seeds():
    with pytest.raises(ValueError, match="seed is -1"):
        RandomImportance(-1)


def test_half_precision_does_not_overflow():
    group = residual_group([[60000.0, 60000.0]], [[1.0]])
    group.model.half()
    value = float(torch.tensor(60000.0).half())
    scores = L1Importance(reduction="first", **NONE)(group)
    assert scores.tolist() == [2 * value]


def test_a_missing_role_is_an_error_that_names_the_group(groups):
    match = r"'conv.out' has no slot of role 'other', which L1Importance .*'out': 1"
    with pytest.raises(ImportanceError, match=match):
        L1Importance(roles="other")(groups["conv.out"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (dict(roles=("outs",)), r"roles is \('outs',\); give one or more of \('out'"),
        (dict(roles=()), r"roles is \(\)"),
        (dict(reduction="average"), "reduction is 'average'; use one of"),
        (dict(normalization="l1"), "normalization is 'l1'; use one of"),
    ],
)
def test_unknown_words(arguments, match):
    for importance in (L1Importance, L2Importance, FPGMImportance):
        with pytest.raises(ValueError, match=match):
            importance(**arguments)
