"""Distillation on tiny models of the three host libraries and on a toy."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.core.capture import SourceError
from mmrazor.models.algorithms import Algorithm, SingleTeacherDistill, checks
from mmrazor.models.distillers import DistillError, TeacherCacheError
from mmrazor.registry import MODELS


class Sample:
    def __init__(self, number):
        self.sample_idx = number


class Net(BaseModel):
    """Two linear layers with dropout between them; counts its passes."""

    def __init__(self, width=4, classes=3, dropout=0.5):
        super().__init__()
        torch.manual_seed(width)
        self.body = nn.Linear(2, width)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(width)
        self.fc = nn.Linear(width, classes)
        self.tail = nn.Linear(classes, classes)
        self.modes = []

    def forward(self, inputs, data_samples=None, mode="tensor"):
        self.modes.append(mode)
        logits = self.fc(self.norm(self.drop(self.body(inputs))))
        tail = self.tail(logits)
        if mode == "loss":
            target = torch.zeros(len(inputs), dtype=torch.long)
            return {"loss": F.cross_entropy(logits, target)}
        return tail if mode == "tensor" else list(tail)


def kd(**changes):
    loss = dict(type="KLDivergence", student="output:fc", teacher="output:fc")
    return dict(losses=dict(kd={**loss, **changes}))


def build(student=None, teacher=None, distiller=None, **kwargs):
    torch.manual_seed(0)
    return SingleTeacherDistill(
        student or Net(), teacher or Net(width=8), distiller or kd(), **kwargs
    )


def batch(size=6, start=0):
    return dict(
        inputs=torch.randn(size, 2, generator=torch.Generator().manual_seed(1 + start)),
        data_samples=[Sample(start + i) for i in range(size)],
    )


def optimizer(model, **kwargs):
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)


def test_loss_is_task_plus_divergence_from_an_eval_teacher():
    model = build(student=Net(dropout=0.0)).train()
    data = batch()
    losses = model(**data, mode="loss")
    student, teacher = model.architecture, model.teacher.model
    feats = student.norm(student.body(data["inputs"]))
    logits = student.fc(feats)
    mean = teacher.norm.running_mean
    hidden = teacher.body(data["inputs"])
    scaled = (hidden - mean) / torch.sqrt(teacher.norm.running_var + teacher.norm.eps)
    target = teacher.fc(scaled)
    expected = F.kl_div(
        F.log_softmax(logits, 1), F.softmax(target, 1), reduction="batchmean"
    )
    assert set(losses) == {"loss", "distill.loss_kd"}
    torch.testing.assert_close(losses["distill.loss_kd"], expected)
    assert mean.abs().sum() == 0  # its running statistics did not move


def test_teacher_is_outside():
    model = build().train()
    assert not model.teacher.model.training
    assert all(name.startswith("architecture.") for name in model.state_dict())
    inside = {id(p) for p in model.parameters()}
    assert not inside & {id(p) for p in model.teacher.model.parameters()}
    assert not any(p.requires_grad for p in model.teacher.model.parameters())
    model.teacher.model.train()  # whoever did this, the next batch is seen in eval mode
    model(**batch(), mode="loss")
    assert not model.teacher.model.training


def test_teacher_leaves_early_and_computes_no_loss():
    model = build()
    calls = []
    model.teacher.model.tail.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        model(**batch(), mode="loss")
    assert len(calls) == 1  # the first pass shows how often each source is called
    assert set(model.teacher.model.modes) == {"tensor"}


def test_teacher_follows_the_device_and_dtype():
    model = build().double()
    assert next(model.teacher.model.parameters()).dtype == torch.float64
    assert next(model.to("meta").teacher.model.parameters()).device.type == "meta"


def test_average_of_the_model_shares_the_teacher():
    model = build()
    copied = copy.deepcopy(model)
    assert copied.teacher is model.teacher
    assert copied.student_recorder.model is copied.architecture


def test_stop():
    hint = dict(
        type="L2Loss",
        student="output:body",
        teacher="output:body",
        student_connector=dict(type="LinearConnector", in_features=4, out_features=8),
    )
    model = build(distiller=dict(losses=dict(hint=hint)))
    optim = optimizer(model)
    model.train_step(batch(), optim)
    model.teacher.model.modes.clear()
    model.stop_distillation()
    losses = model(**batch(), mode="loss")
    assert model.teacher.model.modes == []
    assert losses["distill.loss_idle"].detach() == 0
    sum(losses.values()).backward()  # DDP waits for a gradient of every parameter
    connector = model.distiller.connectors["hint_student"].linear.weight
    assert torch.equal(connector.grad, torch.zeros_like(connector))


def test_step_trains_student_and_connector():
    hint = dict(
        type="mmrazor.L2Loss",
        student="output:body",
        teacher="output:body",
        student_connector=dict(type="LinearConnector", in_features=4, out_features=8),
    )
    model = build(distiller=dict(losses=dict(hint=hint))).train()
    before = copy.deepcopy(model.state_dict())
    log = model.train_step(batch(), optimizer(model))
    assert set(log) == {"loss", "distill.loss_hint"} or "distill.loss_hint" in log
    changed = {
        k for k, v in model.state_dict().items() if not torch.equal(v, before[k])
    }
    assert "architecture.body.weight" in changed
    assert "distiller.connectors.hint_student.linear.weight" in changed


def test_gradient_accumulation_equals_one_large_batch():
    halves = batch()
    first = {k: v[:3] for k, v in halves.items()}
    second = {k: v[3:] for k, v in halves.items()}
    weights = []
    for batches, count in ([halves], 1), ([first, second], 2):
        model = build(student=Net(dropout=0.0)).eval()
        optim = optimizer(model, accumulative_counts=count)
        optim.initialize_count_status(model, 0, len(batches))
        for data in batches:
            model.train_step(data, optim)
        weights.append(model.architecture.body.weight)
    torch.testing.assert_close(*weights)


def test_mixed_precision():
    model = build().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(**batch(), mode="loss")
    sum(losses.values()).backward()
    assert torch.isfinite(model.architecture.body.weight.grad).all()


def test_cache_gives_the_same_losses_without_the_teacher():
    plain, cached = build(), build(teacher_cache=dict())
    for model in plain, cached:
        model.eval()
    for _ in range(2):
        torch.testing.assert_close(
            plain(**batch(), mode="loss"),
            cached(**batch(), mode="loss"),
            rtol=0,
            atol=0,
        )
    assert len(cached.teacher.model.modes) == 1
    mixed = {k: v[:3] for k, v in batch().items()}
    assert cached.teacher.cache.num_samples == 6
    cached(**mixed, mode="loss")
    assert len(cached.teacher.model.modes) == 1


def test_cache_refuses_changed_views_and_nameless_samples():
    model = build(teacher_cache=dict())
    data = batch()
    model(**data, mode="loss")
    data["inputs"] = data["inputs"] + 1
    with pytest.raises(TeacherCacheError, match="another view than before.*random"):
        model(**data, mode="loss")
    with pytest.raises(TeacherCacheError, match="carries none of.*sample_idx"):
        model(data["inputs"], [object()] * 6, mode="loss")


def test_cache_keeps_its_bound():
    model = build(teacher_cache=dict(max_gigabytes=2 * 3 * 4 / 2**30))
    model(**batch(), mode="loss")
    assert model.teacher.cache.num_samples == 2


def test_sources_are_checked_when_built():
    with pytest.raises(SourceError, match="Net has no module 'fcc'.*'fc'"):
        build(distiller=kd(student="output:fcc"))
    with pytest.raises(SourceError, match="Net has no module 'bdy'"):
        build(distiller=kd(teacher="output:bdy"))


def test_shapes_a_loss_cannot_take():
    model = build(teacher=Net(classes=5))
    with pytest.raises(
        DistillError, match=r"loss 'kd'.*'output:fc'.*\(6, 3\).*\(6, 5\)"
    ):
        model(**batch(), mode="loss")


def test_connector_that_does_not_fit():
    connector = dict(type="LinearConnector", in_features=7, out_features=3)
    model = build(distiller=kd(student_connector=connector))
    with pytest.raises(DistillError, match=r"student_connector cannot take .*\(6, 3\)"):
        model(**batch(), mode="loss")


def test_other_number_of_calls():
    model = build(
        distiller=kd(student="call:torch.nn.functional.linear", teacher="output:fc")
    )
    with pytest.raises(DistillError, match="came 3 times, the teacher's 1 times"):
        model(**batch(), mode="loss")


def test_value_that_is_no_tensor():
    class Tuple(Net):
        def __init__(self):
            super().__init__()
            self.fc = nn.Sequential(self.fc)
            self.fc.forward = lambda x: (x, x)

    model = build(teacher=Net())
    model.teacher.recorder.__init__(model.teacher.model, "output:fc")
    values = {"output:fc": [(torch.zeros(2, 3), torch.zeros(2, 3))]}
    with pytest.raises(DistillError, match=r"is a tuple of 2.*Pick an element"):
        model.distiller({"output:fc": [torch.zeros(2, 3)]}, values)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        (dict(distiller=kd()), "has no teacher"),
        (dict(teacher=Net()), "has no distiller"),
        (dict(distiller=kd(), teacher=dict(cfg_path="a.py")), "teacher has no weights"),
        (dict(distiller=kd(), teacher=nn.Linear(1, 1)), "teacher is Linear, a plain"),
        (dict(distiller=dict(losses={}), teacher=Net()), "got no losses"),
    ],
)
def test_incomplete(kwargs, match):
    with pytest.raises(ValueError, match=match):
        Algorithm(Net(), **kwargs)


def test_loss_without_a_source():
    with pytest.raises(ValueError, match="loss 'kd' lacks 'teacher'"):
        build(distiller=dict(losses=dict(kd=dict(type="L2Loss", student="output:fc"))))


def test_missing_teacher_checkpoint(tmp_path):
    from tests import tiny_models

    teacher = {**tiny_models.classifier(), "checkpoint": str(tmp_path / "absent.pth")}
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        build(teacher=teacher)


def test_warns_of_another_normalisation(monkeypatch):
    said = []
    monkeypatch.setattr(checks, "print_log", lambda text, **_: said.append(text))
    teacher, student = Net(), Net()
    for model, mean in (teacher, 1.0), (student, 2.0):
        model.data_preprocessor.mean = torch.tensor([mean])
    build(student, teacher)
    assert len(said) == 1
    assert "built with another mean ([1.0]) than the student ([2.0])" in said[0]


@MODELS.register_module()
class WidenTail:
    """A part that changes the architecture, as a pruner or quantizer does."""

    def __init__(self, order):
        self.order = order

    def __call__(self, architecture):
        architecture.order = [*getattr(architecture, "order", []), self.order]
        return architecture


def test_parts_are_applied_in_order():
    part = lambda name: dict(type="WidenTail", order=name)  # noqa: E731
    model = Algorithm(Net(), quantizer=part("q"), pruner=part("p"), mutator=part("m"))
    assert model.architecture.order == ["m", "p", "q"]
    assert set(model(**batch(), mode="loss")) == {"loss"}
