from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmrazor.core.cost import count_cost
from mmrazor.models.mutables import Mutable, OneShotMutableOP
from mmrazor.models.mutators import NasMutator

from .nets import Everything, choice

IMAGE = torch.rand(2, 3, 6, 6)
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def searched() -> tuple[nn.Module, NasMutator]:
    mutator = NasMutator()
    return mutator(Everything()).eval(), mutator


@pytest.fixture(scope="module")
def costs(searched: tuple[nn.Module, NasMutator]):
    model, mutator = searched
    return mutator.space_cost(model, IMAGE)


def test_choices_are_named_after_their_places(searched: tuple) -> None:
    _, mutator = searched
    assert list(mutator.space) == [
        "shared",
        "stage.depth",
        *(f"stage.{i}.op" for i in range(3)),
        "outer.op",
        "outer.candidates.inner.0.op",
        "sliced.width.value",
        "route.inputs",
        *(f"route.edges.{i}.op" for i in range(3)),
    ]
    assert mutator.mutables["tied"].choices() == mutator.mutables["stem"].choices()


@settings(max_examples=40)
@given(SEEDS)
def test_every_cost_equals_a_real_count(searched: tuple, costs, seed: int) -> None:
    model, mutator = searched
    values = mutator.space.sample(np.random.default_rng(seed))
    real = count_cost(mutator.fixed(model, values), IMAGE)
    assert costs.cost(values).macs == real.macs
    assert costs.cost(values).params == real.params
    low, high = costs.range()["macs"]
    assert low <= real.macs <= high


def test_the_range_is_reached(searched: tuple, costs) -> None:
    _, mutator = searched
    rng = np.random.default_rng(0)
    seen = [costs.cost(mutator.space.sample(rng)).macs for _ in range(4000)]
    assert costs.range_is_exact
    assert costs.range()["macs"] == (min(seen), max(seen))


@settings(max_examples=20)
@given(SEEDS)
def test_the_plain_model_computes_the_same(searched: tuple, seed: int) -> None:
    model, mutator = searched
    values = mutator.space.sample(np.random.default_rng(seed))
    before, state = mutator.space.selected(), copy.deepcopy(model.state_dict())
    fixed = mutator.fixed(model, values)
    assert mutator.space.selected() == before
    assert not any(isinstance(m, Mutable) for m in fixed.modules())
    assert not any(name.endswith("alpha") for name in fixed.state_dict())
    mutator.space.select_(values)
    # a route runs all edges until it is fixed: compare up to there
    value = IMAGE
    for name in ("stem", "stage", "outer", "tied", "sliced"):
        theirs = getattr(fixed, name)(value)
        value = getattr(model, name)(value)
        assert torch.equal(value, theirs)
    for p in fixed.parameters():
        p.data.fill_(7)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_keys_are_those_of_a_plain_model(searched: tuple) -> None:
    model, mutator = searched
    values = {
        **mutator.space.selected(),
        "stage.depth": 1,
        "route.inputs": "0+2",
        "outer.op": "inner",
        "outer.candidates.inner.0.op": "k1",
    }
    names = ["stem", "stage.0", "outer.0", "tied", "sliced.conv"]
    names += ["route.edges.0", "route.edges.2", "fc"]
    wanted = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    fixed = mutator.fixed(model, values)
    assert list(fixed.state_dict()) == wanted
    plain = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
    plain.load_state_dict(fixed.outer.state_dict())


def test_a_copy_of_the_model_can_be_fixed(searched: tuple) -> None:
    model, mutator = searched
    twin = copy.deepcopy(model)
    values = mutator.space.sample(np.random.default_rng(3))
    twin.fc.weight.data.fill_(3)
    assert mutator.fixed(twin, values).fc.weight.unique().tolist() == [3.0]
    assert mutator.fixed(model, values).fc.weight.unique().numel() > 1


def test_a_module_alone_has_a_cost(searched: tuple, costs) -> None:
    _, mutator = searched
    values = mutator.space.selected()
    alone = costs.restricted_to("stage")
    model = mutator.fixed(searched[0], values)
    real = count_cost(model.stage, torch.rand(2, 4, 6, 6))
    assert (alone.cost(values).macs, alone.cost(values).params) == (
        real.macs,
        real.params,
    )


def test_what_is_derived(searched: tuple) -> None:
    model, mutator = searched
    mutator.space.select_(mutator.space.sample(np.random.default_rng(5)))
    for i, alpha in enumerate(([2.0, 0.0], [0.0, 0.1], [0.0, 4.0])):
        model.route.edges[str(i)].alpha.data = torch.tensor(alpha)
    wanted = {"route.inputs": "0+2"}
    wanted |= {f"route.edges.{i}.op": op for i, op in enumerate("abb")}
    assert mutator.derived() == {**mutator.space.selected(), **wanted}


def test_draws_are_values_of_the_space(searched: tuple) -> None:
    _, mutator = searched
    rng = np.random.default_rng(0)
    drawn = [mutator.drawn(rng) for _ in range(50)]
    assert all(mutator.space.validate(values) == values for values in drawn)
    assert {values["shared"] for values in drawn} == {"k1", "k3"}
    assert mutator.drawn(np.random.default_rng(1)) == mutator.drawn(
        np.random.default_rng(1)
    )


def test_shapes_that_differ_are_named() -> None:
    ops = {"same": nn.Conv2d(3, 4, 3, padding=1), "less": nn.Conv2d(3, 4, 3)}
    model = nn.Sequential(OneShotMutableOP(ops), nn.Flatten(), nn.Linear(144, 2))
    mutator = NasMutator()
    mutator(model)
    text = "'0' give outputs of different shape: .*2, 4, 6, 6.*0.op='same'.*'less'"
    with pytest.raises(ValueError, match=text):
        mutator.space_cost(model, IMAGE)


def test_a_candidate_that_cannot_run_is_named() -> None:
    ops = {"fits": nn.Conv2d(3, 4, 3), "odd": nn.Conv2d(5, 4, 3)}
    model = nn.Sequential(nn.Identity(), OneShotMutableOP(ops))
    mutator = NasMutator()
    mutator(model)
    with pytest.raises(RuntimeError, match="'1' cannot be run there \\(1.op='odd'\\)"):
        mutator.space_cost(model, IMAGE)


def test_shared_weights_have_no_cost_by_place() -> None:
    one, two = choice(3, 3), choice(3, 3)
    two.candidates["k3"].weight = one.candidates["k3"].weight
    model, mutator = nn.Sequential(one, two), NasMutator()
    mutator(model)
    with pytest.raises(ValueError, match="no weights in common"):
        mutator.space_cost(model, IMAGE)


def test_a_cost_that_changes_elsewhere_is_named() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = choice(3, 3)
            self.head = nn.Linear(3, 2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            times = 2 if self.op.kernel_size == (1, 1) else 1
            return self.head(torch.cat([self.op(image).mean((2, 3))] * times))

    model = Reads()
    for key, module in model.op.candidates.items():
        module.kernel_size = (int(key[1]),) * 2
    mutator = NasMutator()
    mutator(model)
    model.op.kernel_size = (3, 3)
    with pytest.raises(ValueError, match="'head' changes with a Choice that is not in"):
        mutator.space_cost(model, IMAGE)


def test_a_model_without_mutables() -> None:
    with pytest.raises(ValueError, match="Linear has nothing to search"):
        NasMutator()(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no search space yet"):
        NasMutator().space  # noqa: B018


def test_one_name_and_different_values() -> None:
    ops = {"x": nn.Identity(), "y": nn.ReLU()}
    model = nn.Sequential(choice(3, 3, "op"), OneShotMutableOP(ops, "op"))
    with pytest.raises(ValueError, match="'0' and '1' both have the name op"):
        NasMutator()(model)
