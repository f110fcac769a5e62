"""Which weights take the pattern, and what is said of the others."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from mmrazor.models.pruners.semi_structured import Pattern, prunable_layers


def names(model, skip=()):
    layers, left = prunable_layers(model, Pattern(2, 4), skip)
    return [layer.name for layer in layers], left


def test_every_weight_is_a_layer_or_has_a_reason():
    model = nn.ModuleDict(
        {
            "stem": nn.Conv2d(3, 8, 3),
            "depthwise": nn.Conv2d(8, 8, 3, groups=8),
            "grouped": nn.Conv2d(8, 8, 3, groups=2),
            "norm": nn.BatchNorm2d(8),
            "up": nn.ConvTranspose2d(8, 8, 2),
            "embed": nn.Embedding(5, 8),
            "attention": nn.MultiheadAttention(8, 2),
            "fc": nn.Linear(8, 2),
            "lazy": nn.LazyLinear(3),
        }
    )
    layers, left = names(model)
    assert layers == ["grouped.weight", "attention.out_proj.weight", "fc.weight"]
    assert left == {
        "stem.weight": "27 inputs (3x3x3) are not divisible by 4",
        "depthwise.weight": "9 inputs (1x3x3) are not divisible by 4",
        "up.weight": "ConvTranspose2d is no linear layer or convolution",
        "embed.weight": "Embedding is no linear layer or convolution",
        "attention.in_proj_weight": (
            "MultiheadAttention is no linear layer or convolution"
        ),
        "lazy.weight": "it has no size yet; run the model once before",
    }


def test_a_weight_computed_from_others_stays():
    model = parametrizations.weight_norm(nn.Linear(8, 4))
    layers, left = names(model)
    assert layers == []
    assert set(left) == {
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    }


def test_shared_weights_are_taken_once_and_not_from_embeddings():
    model = nn.Sequential(
        *(nn.Linear(8, 8, bias=False) for _ in range(2)), nn.Linear(8, 8)
    )
    model[1].weight = model[0].weight
    embedding = nn.Embedding(8, 8)
    model[2].weight = embedding.weight
    model.append(embedding)
    layers, left = names(model)
    assert layers == ["0.weight"]
    assert left["1.weight"] == "it is '0.weight'"
    assert left["2.weight"] == "it is also '3.weight', which is no layer of this kind"


@pytest.mark.parametrize(
    ("skip", "kept"),
    [
        ("body", ["head.weight"]),
        (["body.0"], ["body.1.weight", "head.weight"]),
        (["*.1"], ["body.0.weight", "head.weight"]),
        (["head.weight", "body.1"], ["body.0.weight"]),
        (["*"], []),
    ],
)
def test_skip_names_modules_weights_and_patterns(skip, kept):
    body = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model = nn.ModuleDict({"body": body, "head": nn.Linear(8, 4)})
    layers, left = names(model, skip)
    assert layers == kept
    assert all(reason.startswith("skip has '") for reason in left.values())


def test_an_unknown_name_in_skip_lists_near_names():
    model = nn.ModuleDict({"backbone": nn.Linear(8, 8)})
    match = "skip has 'backbne', which names no module or .* Near names: backbone"
    with pytest.raises(ValueError, match=match):
        names(model, ["backbne"])


def test_integer_weights_stay():
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    assert names(layer) == ([], {"weight": "its type is torch.int8"})
