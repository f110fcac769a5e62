"""Prefixes of wrappers are told from children of the same name."""

import pytest
import torch
from torch import nn

from mmrazor.core.names import renamed_to_fit


class Named(nn.Module):
    """A model whose children have the names that are given."""

    def __init__(self, *names):
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(2, 2))


def wrapped(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "names",
    [
        ("fc",),
        ("module",),
        ("module", "fc"),
        ("architecture",),
        ("architecture", "fc"),
        ("architecture", "module"),
    ],
)
@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "architecture.", "module.architecture."),
        *("_orig_mod.", "module._orig_mod.", "_orig_mod.architecture."),
    ],
)
def test_children_keep_their_names_and_wrappers_lose_theirs(names, prefix):
    own = Named(*names).state_dict()
    stored = wrapped(own, prefix)
    if "architecture." in prefix:
        stored[prefix.replace("architecture", "distiller") + "weight"] = 0
    assert list(renamed_to_fit(stored, own)) == list(own)


def test_prefixes_are_put_where_the_model_has_them():
    own = Named("fc").state_dict()
    assert list(renamed_to_fit(own, wrapped(own, "module."))) == [
        "module.fc.weight",
        "module.fc.bias",
    ]
    algorithm = [*wrapped(own, "architecture."), "quantizer.scale"]
    assert list(renamed_to_fit(own, algorithm)) == algorithm[:2]
    assert list(renamed_to_fit(wrapped(own, "module."), algorithm)) == algorithm[:2]


def test_what_fits_is_handed_on_and_nothing_is_dropped_quietly():
    own = Named("fc").state_dict()
    assert renamed_to_fit(own, own) is own
    mixed = {**wrapped(own, "module."), "other": torch.zeros(1)}
    assert renamed_to_fit(mixed, own).keys() == mixed.keys()


@pytest.mark.parametrize(("old", "new"), [("module.", ""), ("", "module.")])
def test_versions_of_modules_move_along(old, new):
    inner, outer = nn.Sequential(nn.BatchNorm1d(2)), nn.Module()
    outer.module = inner
    first, second = (outer, inner) if old else (inner, outer)
    renamed = renamed_to_fit(first.state_dict(), second.state_dict())
    expected = second.state_dict()._metadata
    assert {k: v for k, v in renamed._metadata.items() if k in expected}
    norm = f"{new}0"
    assert renamed._metadata[norm] == expected[norm] == {"version": 2}
