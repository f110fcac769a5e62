"""Algorithms with a pruner: distillation, guards, copies."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.models.algorithms import Algorithm
from mmrazor.models.algorithms.pruned_features import PrunedFeatureError
from mmrazor.models.losses.base import DistillLoss
from mmrazor.registry import MODELS

PRUNER = dict(
    type="Pruner",
    budget=dict(macs=0.5),
    image_size=(8, 8),
    schedule=dict(type="LinearSchedule", begin=0, end=2, interval=1),
)
DATA = dict(inputs=torch.randn(4, 3, 8, 8), data_samples=[0, 1, 2, 3])


class Net(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        torch.manual_seed(width)
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.mid = nn.Conv2d(width, width, 3, padding=1)
        self.body = nn.Conv2d(width, 12, 3, padding=1)
        self.head = nn.Linear(12, 4)

    def features(self, inputs):
        return self.body(self.mid(self.stem(inputs).relu()).relu()).relu()

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = self.features(inputs)
        logits = self.head(x.mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.tensor(data_samples))}
        return logits


@MODELS.register_module(force=True)
class MeanMapLoss(DistillLoss):
    """Compares maps averaged over channels, however many there are."""

    def distance(self, student, teacher):
        return (student.mean(1) - teacher.mean(1)).square().mean()


def loss(kind="L2Loss", source="output:body", **settings):
    return dict(type=kind, student=source, teacher=source, **settings)


def compress(pruner=PRUNER, width=8, **losses):
    kwargs = dict(teacher=Net(10), distiller=dict(losses=losses)) if losses else {}
    return MODELS.build(
        dict(
            type="mmrazor.Compress",
            architecture=Net(width),
            pruner=dict(pruner),
            **kwargs,
        )
    )


def advance_(algorithm, time):
    step = algorithm.next_step(algorithm.pruner.schedule.share(time), time)
    algorithm.shrink_(step.cuts)
    algorithm.pruner.take_(step.state)


def test_compress_is_the_generic_algorithm():
    assert type(compress()) is Algorithm


def test_one_shot_pruning_when_it_is_built():
    algorithm = compress({**PRUNER, "schedule": None})
    assert algorithm.architecture.body.out_channels < 12
    assert algorithm.pruner.finished
    optim = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    assert algorithm.train_step(DATA, optim)["loss"] > 0


def test_outputs_are_distilled_while_it_is_pruned():
    algorithm = compress(kd=loss("KLDivergence", "output:head"))
    algorithm.prepare_pruning()
    algorithm.pruner.driven = True
    optim = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1, momentum=0.9))
    sizes = []
    for time in range(3):
        if time:
            advance_(algorithm, time)
            optim.optimizer.state.clear()
        log = algorithm.train_step(DATA, optim)
        assert log["distill.loss_kd"] > 0
        sizes.append(sum(p.numel() for p in algorithm.architecture.parameters()))
    assert sizes[0] > sizes[1] > sizes[2]
    assert algorithm.teacher.model.stem.out_channels == 10


@pytest.mark.parametrize(
    "settings",
    [
        {},
        dict(
            student_connector=dict(
                type="ConvModuleConnector", in_channels=12, out_channels=12
            )
        ),
    ],
)
def test_a_loss_on_features_that_shrink_is_an_error(settings):
    algorithm = compress(hint=loss(**settings), kd=loss("KLDivergence", "output:head"))
    text = (
        r"'output:body', which distillation loss 'hint' reads: from \(1, 12, 8, 8\) "
        r"to, say, \(1, 6, 8, 8\).*ignore=\['body'\]"
    )
    with pytest.raises(PrunedFeatureError, match=text):
        algorithm.prepare_pruning()


def test_the_error_comes_also_in_the_middle():
    algorithm = compress(hint=loss())
    algorithm.pruner.prepare(algorithm.architecture)
    with pytest.raises(PrunedFeatureError, match="'output:body'"):
        algorithm.next_step(1.0, 2)


def test_an_ignored_layer_can_be_distilled():
    settings = {"ignore": ["body"], "budget": dict(macs=0.9)}
    algorithm = compress({**PRUNER, **settings}, hint=loss())
    algorithm.prepare_pruning()
    advance_(algorithm, 2)
    assert algorithm.architecture.body.out_channels == 12
    assert algorithm.architecture.stem.out_channels < 8
    assert algorithm(**DATA, mode="loss")["distill.loss_hint"] > 0


def test_a_loss_that_takes_any_number_of_channels_goes_on():
    algorithm = compress(mean=loss("MeanMapLoss"))
    algorithm.prepare_pruning()
    advance_(algorithm, 2)
    assert algorithm.architecture.body.out_channels < 12
    assert algorithm(**DATA, mode="loss")["distill.loss_mean"] > 0


def test_checks_leave_no_trace_on_model_and_losses():
    algorithm = compress(mean=loss("MeanMapLoss"))
    algorithm.train()
    before = copy.deepcopy(algorithm.state_dict())
    random = torch.get_rng_state()
    algorithm.prepare_pruning()
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in algorithm.modules())
    assert str(algorithm.state_dict()) == str(before)
    assert all(p.grad is None for p in algorithm.parameters())


def test_nothing_is_checked_when_distillation_has_stopped():
    algorithm = compress(hint=loss())
    algorithm.stop_distillation()
    algorithm.prepare_pruning()


def test_a_schedule_that_nobody_follows_is_an_error():
    algorithm = compress()
    optim = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="PruningScheduleHook"):
        algorithm.train_step(DATA, optim)


class Auxiliary(Net):
    """In training a second head insists on twelve channels."""

    def __init__(self):
        super().__init__()
        self.aux = nn.Linear(12, 4)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode != "loss":
            return super().forward(inputs, data_samples, mode)
        x = self.features(inputs).mean((2, 3))
        table = dict.fromkeys([12], torch.tensor(1.0))
        return {"loss": self.aux(x).square().mean() * table[x.shape[1]]}


def test_what_training_alone_runs_is_tried_too():
    inputs = dict(inputs=torch.randn(1, 3, 8, 8), data_samples=[1], mode="tensor")
    algorithm = Algorithm(Auxiliary(), pruner={**PRUNER, "inputs": inputs})
    algorithm.prepare_pruning()
    assert "body.out" in algorithm.pruner.state.frozen
    algorithm.pruner.driven = True
    advance_(algorithm, 2)
    optim = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    assert algorithm.train_step(DATA, optim)["loss"] > 0


def test_replaced_attention_is_recorded_where_it_is_now():
    class Attending(Net):
        def __init__(self):
            super().__init__()
            self.attn = nn.MultiheadAttention(12, 3, batch_first=True)

        def forward(self, inputs, data_samples=None, mode="tensor"):
            x = self.features(inputs).flatten(2).transpose(1, 2)
            logits = self.head((x + self.attn(x, x, x)[0]).mean(1))
            if mode == "loss":
                return {"loss": F.cross_entropy(logits, torch.tensor(data_samples))}
            return logits

    source = loss("MeanMapLoss", "output:attn[0]")
    algorithm = Algorithm(
        Attending(),
        pruner={**PRUNER, "ignore": ["stem", "mid", "body"], "budget": dict(macs=0.9)},
        teacher=Attending(),
        distiller=dict(losses=dict(mean=source)),
    )
    algorithm.prepare_pruning()
    advance_(algorithm, 2)
    assert algorithm.architecture.attn.num_heads < 3
    losses = algorithm(**DATA, mode="loss")
    assert "distill.loss_mean" in losses
