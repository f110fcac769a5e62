"""Two optimizers of one model: every parameter has one, and the right one."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

import mmrazor  # noqa: F401 - registers
from mmrazor.models.architectures import DartsBackbone
from tests.models.algorithms.nas.toys import Net

KIND = "mmrazor.SeparateOptimWrapperConstructor"
SGD = dict(type="SGD", lr=0.1, weight_decay=0.5)
ADAM = dict(type="Adam", lr=0.01)


def build(model, **changes):
    cfg = dict(
        architecture=dict(optimizer=SGD, clip_grad=dict(max_norm=5.0)),
        mutator=dict(optimizer=ADAM),
    )
    return build_optim_wrapper(model, {"constructor": KIND, **cfg, **changes})


def names_in(wrapper, model):
    names = {id(p): name for name, p in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    return [names[id(p)] for group in groups for p in group["params"]]


@pytest.mark.parametrize("norms", [None, 0.0], ids=["plain", "norm_decay_mult"])
def test_parameters_are_split_by_name(norms):
    model = DartsBackbone(3, 4, affine=True)  # its cells share architecture parameters
    paramwise = None if norms is None else dict(norm_decay_mult=norms)
    architecture = dict(optimizer=SGD, paramwise_cfg=paramwise)
    wrappers = build(model, architecture=architecture)
    assert list(wrappers.keys()) == ["architecture", "mutator"]
    weights = names_in(wrappers["architecture"], model)
    alphas = names_in(wrappers["mutator"], model)
    assert sorted(weights + alphas) == sorted(n for n, _ in model.named_parameters())
    assert len(alphas) == 14 * 2  # edges of a normal and a reduction cell
    assert {name.rpartition(".")[2] for name in alphas} == {"alpha"}
    assert type(wrappers["mutator"].optimizer) is torch.optim.Adam
    decays = {
        name: group["weight_decay"]
        for group in wrappers["architecture"].optimizer.param_groups
        for name in names_in_group(group, model)
    }
    assert decays["stem.0.weight"] == 0.5
    assert decays["stem.1.weight"] == (0.5 if norms is None else norms)


def names_in_group(group, model):
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for p in group["params"]]


def test_settings_of_each_are_its_own():
    wrappers = build(Net())
    assert wrappers["architecture"].clip_grad_kwargs == {"max_norm": 5.0}
    assert wrappers["mutator"].clip_grad_kwargs is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(optimizer=SGD), "got \\['architecture', 'mutator', 'optimizer'\\]"),
        (dict(mutator=None), "got \\['architecture'\\]"),
        (dict(paramwise_cfg=dict(norm_decay_mult=0.0)), "and paramwise_cfg"),
    ],
)
def test_faults_are_explained(changes, text):
    with pytest.raises(ValueError, match=text):
        build(Net(), **changes)


def test_a_model_without_architecture_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameters for optim_wrapper.mutator"):
        build(Net("one_shot"))
