"""Shares of the training that modules are told."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmrazor.core.hooks import AnnealHook
from mmrazor.models.mutables import GumbelMutableOP
from mmrazor.models.ops import DropPath


def runner_of(*modules):
    return SimpleNamespace(
        model=nn.Sequential(*modules), epoch=0, iter=0, max_epochs=4, max_iters=40
    )


@pytest.mark.parametrize("by_epoch", [True, False])
def test_it_tells_the_share_that_is_done(by_epoch):
    gumbel = GumbelMutableOP({"a": nn.Identity()}, tau=(4.0, 1.0))
    runner = runner_of(nn.Linear(1, 1), gumbel)
    hook = AnnealHook(by_epoch)
    hook.before_train(runner)
    taus = []
    for epoch in range(4):
        runner.epoch = epoch
        hook.before_train_epoch(runner)
        for step in range(10):
            runner.iter = 10 * epoch + step
            hook.before_train_iter(runner, step)
            taus.append(gumbel.tau)
    shares = [(i // 10) / 4 if by_epoch else i / 40 for i in range(40)]
    assert taus == pytest.approx([4 * 0.25**share for share in shares])


def test_drop_path_rises_linearly_from_nothing():
    drop = DropPath(0.4).train()
    ones = torch.ones(20000, 1)
    torch.manual_seed(0)
    assert (drop(ones) == 0).float().mean() == pytest.approx(0.4, abs=0.02)
    drop.anneal_(0.0)
    assert torch.equal(drop(ones), ones)
    drop.anneal_(0.5)
    out = drop(ones)
    assert (out == 0).float().mean() == pytest.approx(0.2, abs=0.02)
    assert out.max().item() == pytest.approx(1 / 0.8)
    assert torch.equal(drop.eval()(ones), ones)


def test_nothing_to_anneal_is_an_error():
    with pytest.raises(ValueError, match="AnnealHook finds nothing to anneal"):
        AnnealHook().before_train(runner_of(nn.Linear(1, 1)))
