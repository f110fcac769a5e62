from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.core.hooks.nan_origin import all_finite, find_origin
from mmrazor.models.algorithms import DSNAS, SPOS, Darts
from tests.models.algorithms.nas.toys import FIRST, SECOND, Net, two


def test_all_finite_of_every_kind_of_tensor() -> None:
    big = torch.full((3,), 3e38)  # its squares are not finite
    sparse = torch.sparse_coo_tensor([[1]], [float("inf")], (3,))
    assert all_finite([])
    assert all_finite([big, torch.empty(0), torch.tensor([1, 2]), torch.ones(2).half()])
    assert all_finite([torch.tensor([1e300], dtype=torch.float64), torch.ones(1)])
    for odd in (sparse, torch.tensor(float("nan")), torch.tensor([1j * float("inf")])):
        assert not all_finite([big, odd])


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("layer", ["stem", "head"])
def test_two_optimizers(unroll: bool, layer: str) -> None:
    algorithm = Darts(Net(), unroll=unroll).train()
    check(algorithm, (FIRST, SECOND), layer)


@pytest.mark.parametrize("layer", ["stem", "head"])
def test_steps_of_one_path(layer: str) -> None:
    check(DSNAS(Net("one_hot")).train(), FIRST, layer)


def check(algorithm: Any, batch: Any, layer: str) -> None:
    wrapper = two(algorithm)
    before = {k: v.clone() for k, v in algorithm.named_parameters()}
    assert find_origin(algorithm, batch, wrapper) == ({}, "")
    module = algorithm.architecture.get_submodule(layer)
    handle = module.register_forward_hook(lambda *a: a[-1] * float("nan"))
    losses, text = find_origin(algorithm, batch, wrapper)
    assert f"output of 'architecture.{layer}' (Linear) is the first" in text
    assert list(losses) == ["loss"]
    handle.remove()
    # Nothing was stepped, and all is in its place again.
    assert all(torch.equal(before[k], v) for k, v in algorithm.named_parameters())
    algorithm.train_step(batch, wrapper)
    assert any(not torch.equal(before[k], v) for k, v in algorithm.named_parameters())


def test_a_model_that_fails_on_being_run_again_tells_what_it_can() -> None:
    algorithm = SPOS(Net("one_shot")).train()
    calls = []

    def fail(module: nn.Module, args: Any, output: Any) -> Any:
        calls.append(1)
        raise RuntimeError("no second time")

    algorithm.architecture.head.register_forward_hook(fail)
    algorithm.architecture.stem.weight.data.fill_(float("nan"))
    wrapper = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    losses, text = find_origin(algorithm, FIRST, wrapper)
    assert calls
    assert losses == {}
    assert "'architecture.stem' (Linear)" in text
    assert text.endswith("and so is its weight")
