"""What holds for every registered importance, and how they are built."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmengine.registry import DefaultScope

from mmrazor.models.pruners import Importance, L1Importance, build_importance
from mmrazor.registry import MODELS
from tests.models.pruners.toy_groups import toy_groups, toy_model

REGISTERED = {
    name: found
    for name, found in MODELS.module_dict.items()
    if isinstance(found, type)
    and issubclass(found, Importance)
    and found.__module__.startswith("mmrazor.")
}


@pytest.fixture
def group():
    model = toy_model()
    images = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    model(images).square().sum().backward()
    torch.nn.init.uniform_(model[1].weight)
    return toy_groups(model)["conv.out"]


def build(name, group, order=(0, 1, 2)):
    if name == "FisherImportance":
        sums = torch.tensor([0.5, 3.0, 1.0])[list(order)]
        saved = {group.name: 2.0}
        return build_importance(name).filled({group.name: sums}, saved)
    return build_importance(name)


def test_all_are_registered():
    assert sorted(REGISTERED) == [
        "BNScaleImportance",
        "FPGMImportance",
        "FisherImportance",
        "GroupNormImportance",
        "L1Importance",
        "L2Importance",
        "LAMPImportance",
        "RandomImportance",
        "TaylorImportance",
    ]


@pytest.mark.parametrize("name", REGISTERED)
def test_one_finite_score_a_channel(name, group):
    scores = build(name, group)(group)
    assert scores.shape == (3,)
    assert bool(scores.isfinite().all())
    assert not scores.requires_grad
    assert len(set(scores.tolist())) == 3


@pytest.mark.parametrize("name", sorted(set(REGISTERED) - {"RandomImportance"}))
def test_scores_follow_the_channels(name, group):
    order = [2, 0, 1]
    slots = tuple(replace(s, indices=s.indices[order]) for s in group.slots)
    moved = replace(group, slots=slots)
    scores = build(name, group)(group)
    torch.testing.assert_close(build(name, group, order)(moved), scores[order])


@pytest.mark.parametrize("name", REGISTERED)
def test_the_model_is_left_alone(name, group):
    before = {k: v.clone() for k, v in group.model.state_dict().items()}
    build(name, group)(group)
    after = group.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


@pytest.mark.parametrize(
    "cfg",
    [
        "L1Importance",
        "mmrazor.L1Importance",
        dict(type="L1Importance"),
        dict(type=L1Importance),
        L1Importance(),
    ],
)
def test_ways_to_name_one(cfg):
    with DefaultScope.overwrite_default_scope("mmengine"):
        assert type(build_importance(cfg)) is L1Importance


def test_arguments_are_passed_and_the_config_stays():
    cfg = dict(type="L1Importance", reduction="max")
    assert build_importance(cfg).reduction == "max"
    assert cfg == dict(type="L1Importance", reduction="max")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("L1Importence", "'L1Importence' is no importance. Near names: L1Importance"),
        ("mmrazor.taylorimportance", "Near names: TaylorImportance"),
        ("lamp", "Near names: LAMPImportance. "),
        ("Distiller", "'Distiller' is no importance"),
        ("zzz", "There are: BNScaleImportance, FPGMImportance"),
        (dict, "is no importance"),
    ],
)
def test_unknown_names(name, match):
    with pytest.raises(ValueError, match=match):
        build_importance(dict(type=name))


@pytest.mark.parametrize("cfg", [None, 3, dict(seed=1), L1Importance])
def test_other_kinds(cfg):
    with pytest.raises(TypeError, match="An importance is a name such as"):
        build_importance(cfg)
