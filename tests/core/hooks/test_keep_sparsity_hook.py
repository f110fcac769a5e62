"""Zeros survive training, averaging, checkpoints and resuming, bit for bit."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmrazor.models.algorithms import Algorithm


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, inputs, mode="tensor"):
        outputs = self.last(self.first(torch.stack(list(inputs))).relu())
        return {"loss": (outputs - 1).square().mean()} if mode == "loss" else outputs


class Numbers(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 12

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return {"inputs": torch.randn(8, generator=generator)}


class Disturb(Hook):
    """Move every weight after each step, as an optimizer with noise would."""

    priority = "VERY_HIGH"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with torch.no_grad():
            for parameter in runner.model.parameters():
                parameter.add_(0.01)


def algorithm(seed=0, **pruner):
    torch.manual_seed(seed)
    return Algorithm(Net(), pruner=dict(type="SemiStructuredPruner", **pruner))


def run(model, folder, epochs=2, hooks=(), ema=True, sparse=True, **settings):
    loader = dict(
        dataset=Numbers(),
        batch_size=4,
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    custom = [dict(type="EMAHook", momentum=0.1)] if ema else []
    custom += [dict(type="mmrazor.KeepSparsityHook")] if sparse else []
    optimizer = dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=0.01)
    runner = Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=optimizer, clip_grad=dict(max_norm=0.5)),
        custom_hooks=[*custom, *hooks],
        experiment_name=f"{folder.name}_{id(model)}",
        default_scope="mmengine",
        **settings,
    )
    runner.train()
    return torch.load(folder / f"epoch_{epochs}.pth", weights_only=False)


def zeros(state, prefix="architecture."):
    names = [f"{prefix}first.weight", f"{prefix}last.weight"]
    return [state[name] == 0 for name in names]


def is_exact(masks, n=2, m=4):
    return all((~mask.view(-1, m)).sum(1).eq(n).all() for mask in masks)


def test_weights_and_averages_keep_the_pattern(tmp_path):
    model = algorithm()
    fixed = zeros(model.state_dict())
    assert is_exact(fixed)
    stored = run(model, tmp_path)
    averaged, own = stored["state_dict"], stored["ema_state_dict"]
    assert not averaged["architecture.first.weight"].equal(
        own["module.architecture.first.weight"]
    )
    for found in (zeros(averaged), zeros(own, "module.architecture.")):
        assert all(a.equal(b) for a, b in zip(found, fixed, strict=True))
    assert set(averaged) == set(Algorithm(Net()).state_dict())
    assert not model.architecture._forward_pre_hooks


def test_momentum_of_removed_weights_is_zero(tmp_path):
    model = algorithm()
    stored = run(model, tmp_path)
    names = [name for name, _ in model.named_parameters()]
    buffers = [s["momentum_buffer"] for s in stored["optimizer"]["state"].values()]
    momenta = dict(zip(names, buffers, strict=True))
    for removed, name in zip(zeros(model.state_dict()), ("first", "last"), strict=True):
        momentum = momenta[f"architecture.{name}.weight"]
        assert not momentum[removed].any()
        assert momentum[~removed].any()


def test_other_hooks_and_averages_see_zeros_after_a_disturbance(tmp_path):
    model = algorithm()
    fixed = zeros(model.state_dict())
    stored = run(model, tmp_path, hooks=[Disturb()])
    for found in (
        zeros(stored["state_dict"]),
        zeros(stored["ema_state_dict"], "module.architecture."),
    ):
        assert all(a.equal(b) for a, b in zip(found, fixed, strict=True))


def test_the_pattern_is_that_of_weights_loaded_at_the_start(tmp_path):
    torch.manual_seed(5)
    dense = Algorithm(Net()).state_dict()
    torch.save({"state_dict": dense}, tmp_path / "dense.pth")
    model = algorithm(n=1, m=4)
    before = zeros(model.state_dict())
    stored = run(model, tmp_path / "run", load_from=str(tmp_path / "dense.pth"))
    found = zeros(stored["state_dict"])
    assert is_exact(found, 1, 4)
    assert not all(a.equal(b) for a, b in zip(found, before, strict=True))
    largest = dense["architecture.first.weight"].abs().view(-1, 4).argmax(1)
    kept = stored["state_dict"]["architecture.first.weight"].view(-1, 4).ne(0)
    assert kept.int().argmax(1).equal(largest)
    averaged = zeros(stored["ema_state_dict"], "module.architecture.")
    assert all(a.equal(b) for a, b in zip(found, averaged, strict=True))


def test_resumed_equals_uninterrupted(tmp_path):
    whole = run(algorithm(), tmp_path / "whole", epochs=4)
    run(algorithm(), tmp_path / "cut", epochs=2)
    path = str(tmp_path / "cut" / "epoch_2.pth")
    resumed = run(algorithm(9), tmp_path / "cut", epochs=4, load_from=path, resume=True)
    for key in ("state_dict", "ema_state_dict", "weight_masks"):
        assert whole[key].keys() == resumed[key].keys()
        for name, value in whole[key].items():
            assert resumed[key][name].equal(value), name


def test_resume_takes_the_masks_of_the_checkpoint_not_of_the_weights(tmp_path):
    model = algorithm()
    fixed = zeros(model.state_dict())
    run(model, tmp_path, epochs=1)
    path = tmp_path / "epoch_1.pth"
    stored = torch.load(path, weights_only=False)
    # Kept weights may become zero; what the mask was cannot be seen from them then.
    for state, prefix in (
        (stored["state_dict"], ""),
        (stored["ema_state_dict"], "module."),
    ):
        state[f"{prefix}architecture.first.weight"].zero_()
    torch.save(stored, path)
    model = algorithm(9)
    run(model, tmp_path, epochs=2, load_from=str(path), resume=True)
    found = zeros(model.state_dict())
    assert all(a.equal(b) for a, b in zip(found, fixed, strict=True))


def test_resume_with_other_settings_is_refused(tmp_path):
    run(algorithm(), tmp_path, epochs=1)
    path = str(tmp_path / "epoch_1.pth")
    with pytest.raises(ValueError, match="Resume with the pruner's settings"):
        run(algorithm(skip=["last"]), tmp_path, epochs=2, load_from=path, resume=True)


def test_a_forgotten_hook_is_an_error(tmp_path):
    dense = Algorithm(Net()).state_dict()
    torch.save({"state_dict": dense}, tmp_path / "dense.pth")
    with pytest.raises(RuntimeError, match="custom_hooks=.*KeepSparsityHook"):
        run(algorithm(), tmp_path, sparse=False, load_from=str(tmp_path / "dense.pth"))


def test_a_model_without_masks_is_refused(tmp_path):
    with pytest.raises(TypeError, match="finds no masks in Net. Put pruner="):
        run(Net(), tmp_path, ema=False)
