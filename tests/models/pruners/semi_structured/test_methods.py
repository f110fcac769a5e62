"""Wanda by hand, SparseGPT against Optimal Brain Surgeon written out slowly."""

import pytest
import torch

from mmrazor.models.pruners.semi_structured import (
    HessianError,
    magnitude_mask,
    sparse_gpt,
    wanda_mask,
    wanda_scores,
)


def correlated(rows, inputs, seed=0, rank=4):
    """Inputs of few causes and unlike scales, as activations are."""
    generator = torch.Generator().manual_seed(seed)
    causes = torch.randn(rows, rank, generator=generator, dtype=torch.float64)
    mixing = torch.randn(rank, inputs, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, inputs, generator=generator, dtype=torch.float64)
    scale = torch.rand(inputs, generator=generator, dtype=torch.float64) * 3 + 0.1
    return (causes @ mixing + 0.3 * noise) * scale


def weights(outputs, inputs, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)


def slow_obs(weight, hessian, n, m, damping):
    """One row and one column at a time, with a fresh inverse for what remains."""
    size = len(hessian)
    mean = torch.stack([hessian[j, j] for j in range(size)]).mean()
    hessian = hessian + damping * mean * torch.eye(size, dtype=hessian.dtype)
    inverses = [torch.linalg.inv(hessian[j:, j:]) for j in range(size)]
    weight, mask = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    for row, kept in zip(weight, mask, strict=True):
        for j in range(size):
            if j % m == 0:
                group = range(j, j + m)
                cost = {k: float(row[k] ** 2 / inverses[k][0, 0]) for k in group}
                for k in sorted(group, key=cost.get)[: m - n]:
                    kept[k] = False
            if not kept[j]:
                inverse = inverses[j]
                row[j:] = row[j:] - row[j] / inverse[0, 0] * inverse[:, 0]
                row[j] = 0.0
    return weight, mask


def relative_error(new, old, inputs):
    return float(
        ((new - old) @ inputs.T).square().sum() / (old @ inputs.T).square().sum()
    )


def test_wanda_by_hand():
    weight = torch.tensor([[4.0, -1.0, 2.0, 3.0], [1.0, 1.0, -5.0, 1.0]])
    inputs = torch.tensor([[1.0, 3.0, 0.0, 1.0], [0.0, 4.0, 2.0, 0.0]])
    norms = inputs.square().sum(0).sqrt()
    assert norms.tolist() == [1.0, 5.0, 2.0, 1.0]
    expected = [[4.0, 5.0, 4.0, 3.0], [1.0, 5.0, 10.0, 1.0]]
    assert wanda_scores(weight, norms).tolist() == expected
    # Row 1: 5 and the first of two 4s, which magnitude settles: |4| > |2|.
    assert wanda_mask(weight, norms, 2, 4).int().tolist() == [
        [1, 1, 0, 0],
        [0, 1, 1, 0],
    ]
    assert magnitude_mask(weight, 2, 4).int().tolist() == [[1, 0, 0, 1], [1, 0, 1, 0]]


def test_wanda_drops_inputs_that_were_never_seen():
    weight = torch.tensor([[9.0, 0.1, 8.0, 7.0]])
    norms = torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert wanda_mask(weight, norms, 2, 4).int().tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (3, 6)])
@pytest.mark.parametrize("damping", [0.0, 0.01, 0.3])
def test_sparse_gpt_equals_slow_optimal_brain_surgeon(n, m, damping):
    inputs, weight = correlated(60, 12), weights(5, 12)
    hessian = inputs.T @ inputs
    new, mask = sparse_gpt(weight, hessian, n, m, damping)
    slow, slow_mask = slow_obs(weight, hessian, n, m, damping)
    assert mask.equal(slow_mask)
    torch.testing.assert_close(new, slow, rtol=1e-7, atol=1e-9)
    assert (mask.view(5, -1, m).sum(-1) == n).all()
    assert (new[~mask] == 0).all()


def test_sparse_gpt_over_several_blocks_of_columns():
    inputs, weight = correlated(600, 264, rank=30), weights(3, 264)
    new, mask = sparse_gpt(weight, inputs.T @ inputs, 2, 4)
    slow, slow_mask = slow_obs(weight, inputs.T @ inputs, 2, 4, 0.01)
    assert mask.equal(slow_mask)
    torch.testing.assert_close(new, slow, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
@pytest.mark.parametrize("seed", range(5))
def test_errors_are_in_order_on_correlated_inputs(n, m, seed):
    inputs, weight = correlated(400, 32, seed), weights(16, 32, seed + 100)
    hessian = inputs.T @ inputs
    by_magnitude = weight * magnitude_mask(weight, n, m)
    by_wanda = weight * wanda_mask(weight, hessian.diagonal().sqrt(), n, m)
    by_sparse_gpt, _ = sparse_gpt(weight, hessian, n, m)
    errors = [
        relative_error(new, weight, inputs)
        for new in (by_magnitude, by_wanda, by_sparse_gpt)
    ]
    assert errors[0] > errors[1] > errors[2] > 0


def test_full_pattern_changes_nothing():
    inputs = correlated(50, 8)
    inputs[:, 3] = 0
    weight = weights(4, 8).float()
    new, mask = sparse_gpt(weight, inputs.T @ inputs, 4, 4)
    assert mask.all()
    assert new.float().equal(weight)


def test_dead_inputs_go_first_and_are_not_compensated():
    inputs, weight = correlated(80, 8), weights(6, 8)
    inputs[:, [0, 5, 6, 7]] = 0
    weight[:, [0, 5, 6, 7]] *= 100
    new, mask = sparse_gpt(weight, inputs.T @ inputs, 2, 4)
    assert torch.isfinite(new).all()
    assert not mask[:, 0].any()
    assert mask[:, 4].all()
    # One of the three dead weights stays: the largest, as it was.
    left = weight[:, 5:].abs().argmax(1)
    rows = torch.arange(6)
    assert mask[rows, 5 + left].all()
    assert new[rows, 5 + left].equal(weight[rows, 5 + left])
    # Of the three live weights in the first group one more has gone; 1, 2, 3 and 4 are
    # pruned as if they stood alone with one input that is always zero.
    live = [1, 2, 3, 4]
    alone, _ = slow_obs(weight[:, live], (inputs.T @ inputs)[live][:, live], 4, 4, 0.01)
    assert alone.equal(weight[:, live])
    assert mask[:, live].sum(1).tolist() == [3] * 6
    assert relative_error(new, weight, inputs) < relative_error(
        weight * mask, weight, inputs
    )


def test_dead_inputs_do_not_change_what_the_others_get():
    inputs, weight = correlated(80, 16), weights(6, 16)
    inputs[:, 4:12] = 0
    new, mask = sparse_gpt(weight, inputs.T @ inputs, 2, 4, 0.3)
    live = [*range(4), *range(12, 16)]
    alone = inputs[:, live]
    slow, slow_mask = slow_obs(weight[:, live], alone.T @ alone, 2, 4, 0.3)
    assert mask[:, live].equal(slow_mask)
    torch.testing.assert_close(new[:, live], slow)


def test_inputs_that_are_all_dead_leave_magnitude():
    weight = weights(4, 8)
    new, mask = sparse_gpt(weight, torch.zeros(8, 8), 2, 4)
    assert mask.equal(magnitude_mask(weight, 2, 4))
    assert new.equal(weight * mask)


def test_a_singular_hessian_without_damping_is_named():
    inputs = torch.ones(5, 4, dtype=torch.float64)
    with pytest.raises(HessianError, match="damping=0.0 has no inverse. Raise damping"):
        sparse_gpt(weights(2, 4), inputs.T @ inputs - 1e-9, 2, 4, 0.0)
    new, _ = sparse_gpt(weights(2, 4), inputs.T @ inputs, 2, 4, 0.01)
    assert torch.isfinite(new).all()
