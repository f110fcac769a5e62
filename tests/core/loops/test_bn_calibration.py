"""Batch norm statistics against those of all the data at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmrazor.core.loops.bn_calibration import PooledStatistics, calibrated_bn


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, 1e4]),
    shape=st.sampled_from([(3,), (3, 2), (3, 4, 2)]),
)
def test_pooled_over_batches_of_any_size(sizes, offset, shape):
    generator = torch.Generator().manual_seed(sum(sizes))
    batches = [offset + torch.randn(n, *shape, generator=generator) for n in sizes]
    pooled = PooledStatistics()
    for batch in batches:
        pooled.add_(batch)
    rows = torch.cat(batches).double().transpose(0, 1).flatten(1)
    assert pooled.count == rows.shape[1]
    torch.testing.assert_close(pooled.mean, rows.mean(1), rtol=1e-12, atol=1e-12)
    if pooled.count > 1:
        torch.testing.assert_close(pooled.variance(), rows.var(1), rtol=1e-9, atol=0)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 5, 3),
        nn.SyncBatchNorm(5),
        nn.Flatten(),
        nn.BatchNorm1d(5 * 16, track_running_stats=False),
    )


def batches(sizes=(4, 4, 3)):
    generator = torch.Generator().manual_seed(1)
    return [2 + 3 * torch.randn(n, 3, 8, 8, generator=generator) for n in sizes]


def test_layers_of_a_net():
    model, data, seen = net(), batches(), {1: [], 5: []}
    for i, inputs in seen.items():
        model[i].register_forward_pre_hook(lambda m, x, to=inputs: to.append(x[0]))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with calibrated_bn(model, lambda: [model(batch) for batch in data]):
        assert not any(module.training for module in model.modules())
        for i, inputs in seen.items():
            rows = torch.cat(inputs).transpose(0, 1).flatten(1)
            torch.testing.assert_close(model[i].running_mean, rows.mean(1))
            torch.testing.assert_close(model[i].running_var, rows.var(1))
            assert "forward" not in vars(model[i])
        # each batch was normalised with its own statistics, without dropout
        plain = nn.Sequential(*model[:3], model[4])
        plain[1].train()
        torch.testing.assert_close(seen[5][0], plain(data[0]))
    after = model.state_dict()
    plain[1].eval()
    assert all(torch.equal(after[k], v) for k, v in before.items() if "1.num" not in k)


def test_of_one_layer_it_does_not_depend_on_the_batch_size():
    model = net()[:2]
    means = []
    for sizes in ((11,), (4, 4, 3), (10, 1)):
        data = torch.cat(batches((11,))).split(sizes)
        with calibrated_bn(model, lambda data=data: [model(batch) for batch in data]):
            means.append((model[1].running_mean.clone(), model[1].running_var.clone()))
    for mean, variance in means[1:]:
        torch.testing.assert_close(mean, means[0][0])
        torch.testing.assert_close(variance, means[0][1])


def test_what_does_not_run_keeps_its_statistics_and_errors_restore():
    model = nn.ModuleList([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    with calibrated_bn(model, lambda: model[0](torch.rand(9, 2))):
        assert model[0].running_mean.min() > 0
        assert torch.equal(model[1].running_mean, torch.zeros(2))
    assert torch.equal(model[0].running_mean, torch.zeros(2))

    def fail():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"), calibrated_bn(model, fail):
        pass
    assert "forward" not in vars(model[0])
