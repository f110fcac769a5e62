"""Zeros stay zeros in training, and nothing of it is in the state dict."""

import copy

import pytest
import torch
from torch import nn

from mmrazor.models.pruners.semi_structured import SemiStructuredPruner


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def pruned(**kwargs):
    return SemiStructuredPruner(**kwargs)(network())


def zeros(model):
    return {name: p == 0 for name, p in model.named_parameters() if p.dim() == 2}


def step(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    optimizer.zero_grad()
    model(torch.randn(16, 8, generator=generator)).square().sum().backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return norm


OPTIMIZERS = [
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
    lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.5),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_held_weights_train_as_a_network_without_the_others(optimizer):
    model, reference = pruned(), pruned()
    fixed = zeros(model)
    model.weight_masks.hold_()
    ours, theirs = (optimizer(net.parameters()) for net in (model, reference))
    # The reference multiplies its weights by the masks in every forward pass.
    kept = {name: ~mask for name, mask in fixed.items()}
    reference.weight_masks.held = True  # its guard is not wanted

    def masked(inputs):
        params = {
            name: p * kept[name] if name in kept else p
            for name, p in reference.named_parameters()
        }
        return torch.func.functional_call(reference, params, (inputs,))

    for seed in range(5):
        norm = step(model, ours, seed)
        generator = torch.Generator().manual_seed(seed)
        theirs.zero_grad()
        masked(torch.randn(16, 8, generator=generator)).square().sum().backward()
        torch.testing.assert_close(
            norm, nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        )
        theirs.step()
        model.weight_masks.apply_()
        now = zeros(model)
        assert all(now[name].equal(mask) for name, mask in fixed.items())
    for name, value in model.named_parameters():
        expected = dict(reference.named_parameters())[name]
        expected = expected * kept[name] if name in kept else expected
        torch.testing.assert_close(value, expected)


def test_apply_zeroes_what_an_optimizer_disturbs():
    model = pruned()
    fixed = zeros(model)
    masks = model.weight_masks
    masks.hold_()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    assert masks.broken() == ["0.weight", "2.weight"]
    masks.apply_()
    assert masks.broken() == []
    assert all(
        (value[fixed[name]] == 0).all()
        for name, value in model.named_parameters()
        if name in fixed
    )


def test_the_documented_loop():
    model = pruned()
    fixed = zeros(model)
    masks = model.weight_masks
    masks.hold_()
    optimizer = OPTIMIZERS[0](model.parameters())
    optimizer.register_step_post_hook(lambda *_: masks.apply_())
    for seed in range(3):
        step(model, optimizer, seed)
    masks.release_()
    assert all(zeros(model)[name].equal(mask) for name, mask in fixed.items())


def test_a_released_model_is_plain():
    model = pruned()
    model.weight_masks.hold_()
    model.weight_masks.release_()
    assert not model._forward_pre_hooks
    assert list(model.state_dict()) == list(network().state_dict())
    assert not list(model.buffers())
    model(torch.randn(2, 8)).sum().backward()
    removed = model.weight_masks.removed["0.weight"]
    assert model[0].weight.grad[removed].any()


def test_training_without_holding_is_refused():
    model = pruned()
    optimizer = OPTIMIZERS[0](model.parameters())
    step(model, optimizer, 0)  # weights are still right when it begins
    match = (
        "Removed weights are not zero in training: 2 of 2 layers, such as '0.weight'. "
        ".*custom_hooks=.*KeepSparsityHook"
    )
    with pytest.raises(RuntimeError, match=match):
        step(model, optimizer, 1)
    model.eval()
    model(torch.randn(2, 8))


def test_masks_follow_weights_that_are_loaded_later():
    model, other = pruned(), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    model.load_state_dict(other.state_dict())
    model.weight_masks.derive_()
    expected = SemiStructuredPruner()(other)
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        assert a.equal(b)


def test_a_pattern_of_another_method_is_kept():
    model = network()
    sparse = SemiStructuredPruner(method="sparsegpt")(model, [torch.randn(99, 8)])
    fresh = network()
    fresh.load_state_dict(sparse.state_dict())
    SemiStructuredPruner()(fresh)
    for a, b in zip(fresh.parameters(), sparse.parameters(), strict=True):
        assert a.equal(b)


def test_packed_masks_survive_weights_that_became_zero():
    model = pruned()
    masks = model.weight_masks
    fixed = {name: mask.clone() for name, mask in masks.removed.items()}
    packed = copy.deepcopy(masks.packed())
    assert sum(bits.numel() for bits in packed.values()) == (64 + 32) // 8
    with torch.no_grad():
        model[0].weight.zero_()  # now the weights do not tell the masks
    masks.derive_()
    assert not masks.removed["0.weight"].equal(fixed["0.weight"])
    masks.load_packed_(packed)
    assert all(masks.removed[name].equal(mask) for name, mask in fixed.items())


def test_packed_masks_of_another_pruner_are_refused():
    packed = pruned(skip=["2"]).weight_masks.packed()
    match = r"masks of 1 weights and the pruner of 2; they differ in \['2.weight'\]"
    with pytest.raises(ValueError, match=match):
        pruned().weight_masks.load_packed_(packed)


def test_a_copy_has_masks_of_its_own():
    model = pruned()
    twin = copy.deepcopy(model)
    assert twin.weight_masks is not model.weight_masks
    assert twin.weight_masks.layers[0].weight is twin[0].weight
    with torch.no_grad():
        twin[0].weight.add_(1.0)
    assert twin.weight_masks.broken() == ["0.weight"]
    assert model.weight_masks.broken() == []
    with pytest.raises(RuntimeError, match="Removed weights are not zero"):
        twin(torch.randn(1, 8))
    twin.weight_masks.derive_()
    assert twin.weight_masks.broken() == []


def test_a_copy_of_a_held_model_is_not_held():
    model = pruned()
    model.weight_masks.hold_()
    twin = copy.deepcopy(model)
    assert not twin.weight_masks.held
    twin.weight_masks.release_()
    model(torch.randn(2, 8)).sum().backward()
    removed = model.weight_masks.removed["0.weight"]
    assert not model[0].weight.grad[removed].any()


@pytest.mark.parametrize("change", ["replaced", "resized"])
def test_a_layer_that_another_part_changed_is_named(change):
    model = pruned()
    if change == "replaced":
        model[0] = nn.Linear(8, 8)
    else:
        model[0].weight = nn.Parameter(torch.randn(8, 6))
    with pytest.raises(ValueError, match="'0.weight', shape .* cannot keep its 2:4"):
        model.weight_masks.derive_()


def test_frozen_weights_are_pruned_too():
    model = network()
    model[0].weight.requires_grad_(False)
    SemiStructuredPruner()(model)
    model.weight_masks.hold_()
    step(model, OPTIMIZERS[0](model.parameters()), 0)
    assert (model[0].weight == 0).sum() == 32
