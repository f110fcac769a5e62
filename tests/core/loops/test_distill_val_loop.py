"""Student and teacher metrics of one validation."""

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmrazor.models.algorithms import SingleTeacherDistill


class Constant(BaseModel):
    """Predicts one number for every sample."""

    def __init__(self, value):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.value = value
        self.predictions = 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        out = self.layer(torch.ones(1, 1))
        if mode == "predict":
            self.predictions += 1
            return [self.value] * len(data_samples)
        return {"loss": out.sum()} if mode == "loss" else out


class Mean(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return {"mean": sum(results) / len(results)}


class Numbers(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"inputs": torch.zeros(1), "data_samples": index}


def run(model, tmp_path, epochs=2, hooks=()):
    loader = dict(
        dataset=Numbers(),
        batch_size=2,
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        val_dataloader=loader,
        val_cfg=dict(type="mmrazor.DistillValLoop"),
        val_evaluator=[Mean()],
        custom_hooks=list(hooks),
        experiment_name=tmp_path.name,
        default_scope="mmengine",
    )
    runner.train()
    return runner


def distil():
    loss = dict(type="L2Loss", student="output:layer", teacher="output:layer")
    return SingleTeacherDistill(Constant(1.0), Constant(3.0), dict(losses=dict(l=loss)))


def test_reports_both_and_runs_the_teacher_once(tmp_path):
    model = distil()
    runner = run(model, tmp_path)
    log = runner.message_hub.log_scalars
    assert log["val/mean"].current() == 1.0
    assert log["val/teacher.mean"].current() == 3.0
    assert len(log["val/teacher.mean"]._log_history) == 2
    assert model.architecture.predictions == 2 * 2
    assert model.teacher.model.predictions == 2


def test_stop_hook_stops_at_its_epoch(tmp_path):
    model = distil()
    seen = []
    model.teacher.model.layer.register_forward_hook(lambda *_: seen.append(1))
    hook = dict(type="mmrazor.StopDistillHook", stop_epoch=1)
    run(model, tmp_path, epochs=3, hooks=[hook])
    assert not model.distilling
    assert len(seen) == 2 + 2  # two steps of one epoch, two batches of validation


def test_stop_hook_stops_at_its_iteration(tmp_path):
    model = distil()
    model.teacher.model.forward_calls = []
    values = model.teacher.values
    model.teacher.values = lambda *a, **k: (
        model.teacher.model.forward_calls.append(1),
        values(*a, **k),
    )[1]
    hook = dict(type="mmrazor.StopDistillHook", stop_iter=3)
    run(model, tmp_path, epochs=3, hooks=[hook])
    assert len(model.teacher.model.forward_calls) == 3


def test_plain_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match="needs a model with a teacher, got Constant"):
        run(Constant(1.0), tmp_path)


def test_stop_hook_needs_one_bound():
    from mmrazor.core.hooks import StopDistillHook

    with pytest.raises(ValueError, match="takes one of stop_epoch and stop_iter"):
        StopDistillHook()
