"""Quantize: ranges, training, teachers, averages, and what it refuses."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel, ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.core.hooks.averaged_models import follow_quantizer_
from mmrazor.models.algorithms import Algorithm, Quantize
from mmrazor.registry import MODELS

DATA = dict(
    inputs=torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    data_samples=[0, 1, 2, 3],
)
GENERIC = dict(backend="generic", image_size=(8, 8))
LSQ = dict(
    GENERIC,
    weight=dict(type="LearnedStepSize", observer="LSQObserver", bits=4),
    activation=dict(
        type="LearnedStepSize", observer="LSQObserver", bits=4, symmetric=True
    ),
)


class Net(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        torch.manual_seed(width)
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 4)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        logits = self.head(self.norm(self.stem(inputs)).relu().mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.tensor(data_samples))}
        return logits


def quantize(**kwargs):
    return MODELS.build(dict(type="mmrazor.Quantize", architecture=Net(), **kwargs))


def train(model, steps=5):
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)
    wrapper = OptimWrapper(sgd)
    return [model.train_step(DATA, wrapper)["loss"].item() for _ in range(steps)]


def test_it_trains_on_the_rounded_numbers():
    model = quantize(quantizer=GENERIC)
    with pytest.raises(RuntimeError, match="Calibrate first"):
        train(model)
    model.calibrate_([DATA])
    assert model.quantizer.ready
    losses = train(model)
    assert losses[-1] < losses[0]
    model.eval()
    rounded = model(**DATA)
    with model.quantizer.in_float():
        assert not torch.equal(model(**DATA), rounded)
    step = next(iter(model.quantizer.weights.values()))
    assert set(model.state_dict()) > {
        "architecture.stem.weight",
        "architecture.stem.bias",
    }
    assert any(k.startswith("quantizer.weights.stem:conv") for k in model.state_dict())
    weight = step(model.architecture.stem.weight)
    assert torch.equal(
        weight,
        (weight / step.scale[:, None, None, None]).round()
        * step.scale[:, None, None, None],
    )


def test_calibration_takes_training_data_in_eval_mode():
    model = quantize(quantizer=dict(GENERIC, fold=False))
    model.train()
    mean = model.architecture.norm.running_mean.clone()
    model.calibrate_([DATA])
    assert torch.equal(model.architecture.norm.running_mean, mean)
    assert model.training
    images = model.quantizer.activations["stem:conv/in0"]
    assert float(images.high) == pytest.approx(float(DATA["inputs"].max()))


def test_learned_steps_are_trained():
    model = quantize(quantizer=LSQ)
    model.calibrate_([DATA])
    before = {n: p.detach().clone() for n, p in model.quantizer.named_parameters()}
    assert before
    losses = train(model, 10)
    assert losses[-1] < losses[0]
    after = dict(model.quantizer.named_parameters())
    assert all(not torch.equal(after[name], value) for name, value in before.items())


def test_live_norms_are_trained_and_folded_in_the_end():
    model = quantize(quantizer=dict(GENERIC, fold=False))
    model.calibrate_([DATA])
    mean = model.architecture.norm.running_mean.clone()
    train(model)
    assert not torch.equal(model.architecture.norm.running_mean, mean)
    model.eval()
    quantized = model(**DATA)
    model.quantizer.fold_(model.architecture)
    assert isinstance(model.architecture.norm, nn.Identity)
    torch.testing.assert_close(model(**DATA), quantized, rtol=1e-5, atol=1e-6)


def test_a_teacher_is_a_config():
    losses = dict(
        kd=dict(type="KLDivergence", student="output:head", teacher="output:head")
    )
    model = quantize(quantizer=GENERIC, teacher=Net(12), distiller=dict(losses=losses))
    model.calibrate_([DATA])
    found = model(**DATA, mode="loss")
    assert set(found) == {"loss", "distill.loss_kd"}
    student = model.architecture(**DATA)
    teacher = model.teacher.model(**DATA)
    expected = F.kl_div(
        student.log_softmax(1), teacher.softmax(1), reduction="batchmean"
    )
    model.eval()
    torch.testing.assert_close(found["distill.loss_kd"], expected)


def test_a_copy_has_a_quantizer_of_its_own():
    model = quantize(quantizer=GENERIC)
    model.calibrate_([DATA])
    model.eval()
    copied = copy.deepcopy(model)
    before = model(**DATA)
    assert torch.equal(copied(**DATA), before)
    for module in copied.quantizer.quantizers():
        module.set_range_(module.low / 8, module.high / 8)
    assert not torch.equal(copied(**DATA), before)
    assert torch.equal(model(**DATA), before)


@pytest.mark.parametrize("update_buffers", [False, True])
@pytest.mark.parametrize("quantizer", [GENERIC, LSQ])
def test_averages_follow(update_buffers, quantizer):
    model = quantize(quantizer=quantizer)
    average = ExponentialMovingAverage(
        model, momentum=0.5, update_buffers=update_buffers
    )
    model.calibrate_([DATA], forget=False)
    follow_quantizer_(average, model.quantizer)
    average.update_parameters(model)
    first = {n: p.clone() for n, p in model.named_parameters()}
    model.quantizer.mode_(observing=True, quantizing=True)
    train(model, 1)
    average.update_parameters(model)
    for name, value in average.module.named_parameters():
        expected = (first[name] + dict(model.named_parameters())[name]) / 2
        torch.testing.assert_close(value, expected, msg=name)
    model.quantizer.freeze_()
    follow_quantizer_(average, model.quantizer)
    average.update_parameters(model)
    model.load_state_dict(average.module.state_dict())
    model.eval()
    zero_points = [m.zero_point for m in model.quantizer.quantizers()]
    assert all(torch.equal(zero, zero.round()) for zero in zero_points)
    assert torch.isfinite(model(**DATA)).all()


def test_what_cannot_be():
    with pytest.raises(ValueError, match="nothing|Nothing"):
        quantize(quantizer=dict(GENERIC, ignore=["stem", "head"]))
    with pytest.raises(ValueError, match="Prune first, and quantize what comes out"):
        quantize(pruner=dict(budget=dict(macs=0.5), image_size=(8, 8)))
    with pytest.raises(ValueError, match="is no setting of quantization; 'bits' is"):
        quantize(quantizer=dict(GENERIC, weight=dict(bit=4)))
    with pytest.raises(ValueError, match="takes weights of 4, 8 bits, not 3"):
        quantize(quantizer=dict(weight=dict(bits=3)))
    model = quantize(quantizer=GENERIC)
    with pytest.raises(ValueError, match="the batches are empty"):
        model.calibrate_([])
    bad = dict(DATA, inputs=torch.full((1, 3, 8, 8), float("nan")), data_samples=[0])
    with pytest.raises(RuntimeError, match="At 'stem:conv'.*NaN"):
        model.calibrate_([bad])


def test_any_algorithm_takes_a_quantizer():
    model = Algorithm(Net(), quantizer=dict(GENERIC))
    model.calibrate_([DATA])
    assert model.quantizer.ready
    assert isinstance(Quantize(Net(), dict(GENERIC)), Algorithm)
