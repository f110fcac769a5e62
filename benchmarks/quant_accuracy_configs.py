"""Configs of ``quant_accuracy.py``: ways to quantize, and their training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import prune_accuracy_configs as dense_configs
from mmengine.config import Config
from prune_accuracy_configs import Run, run_config


@dataclass(frozen=True)
class Plan:
    """Sizes of one way to run the benchmark.

    Args:
        nets: Of the dense networks and of all trainings, as in ``prune_accuracy.py``;
            its ``steps`` are those of QAT and LSQ, and of the float control.
        images: Training images that ranges and methods read.
        iterations: Steps of Adam of a layer or block, where roundings are learned.
        lr: Its rate; fewer steps need a larger one to get anywhere.
    """

    nets: dense_configs.Plan
    images: int
    iterations: int
    lr: float


_SHORT = replace(dense_configs.QUICK, dense_steps=1000)
QUICK = Plan(_SHORT, images=256, iterations=400, lr=0.03)
FULL = Plan(dense_configs.FULL, images=1024, iterations=10_000, lr=0.01)

Methods = Callable[[Plan], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Variant:
    """A way to quantize.

    Args:
        bits: Of weights and activations.
        method: For people.
        quantizer: Arguments of the Quantizer.
        methods: From the sizes to the configs of post-training methods.
        hooks: From the steps of a training to its hooks; None: nothing is trained.
        rate: Of a training, as a share of that of the float control.
        networks: That it is for.
        runtime: Whether it is run in ONNX Runtime too.
    """

    bits: str
    method: str
    quantizer: Mapping[str, Any]
    methods: Methods = lambda plan: ()
    hooks: Callable[[int], list[dict]] | None = None
    rate: float = 1.0
    networks: Sequence[str] = ("resnet", "mobilenetv2")
    runtime: bool = False

    @property
    def name(self) -> str:
        """Return a name for folders and the command line."""
        return f"{self.bits}_{self.method}".lower().replace(" ", "_")


def _observed(**bits: Any) -> dict:
    """Return settings whose range leaves the least squared error."""
    return dict(**bits, observer=dict(type="MSEObserver"))


def _moving(**bits: Any) -> tuple[dict, dict]:
    """Return settings of weights and activations whose ranges follow a training."""
    weight, activation = (
        dict(**bits, observer=dict(type="MovingAverageObserver", momentum=momentum))
        for momentum in (1.0, 0.05)
    )
    return weight, activation


def _learned(**bits: Any) -> dict:
    return dict(type="LearnedStepSize", **_observed(**bits))


#: The first and the last layer have 8 bits where the others have 4, as in the papers.
_EDGES = dict(weight=dict(bits=8), activation=dict(bits=8))
_INT8 = dict(backend="onnxruntime")
_BY_TENSOR = dict(backend="onnxruntime", weight=dict(granularity="tensor"))
_W4A8 = dict(backend="onnxruntime", weight=_observed(bits=4))
_W4A4 = dict(
    backend="generic",
    weight=_observed(bits=4),
    activation=_observed(bits=4),
    edges=_EDGES,
)
_CLE = dict(type="CrossLayerEqualization")
_CORRECTION = dict(type="BiasCorrection")


def _learning(name: str, **more: Any) -> Methods:
    return lambda plan: [
        dict(type=name, iterations=plan.iterations, lr=plan.lr, **more)
    ]


#: What gets weights of 4 bits right.
_METHODS: dict[str, Methods] = {
    "nearest": lambda plan: (),
    "bias correction": lambda plan: [_CORRECTION],
    "GPTQ": lambda plan: [dict(type="GPTQ")],
    "AdaRound": _learning("AdaRound"),
    "BRECQ": _learning("BlockReconstruction"),
    "QDrop": _learning("BlockReconstruction", drop_prob=0.5),
}


def _following(steps: int) -> list[dict]:
    """Let ranges follow the first four fifths of a training."""
    end = steps * 4 // 5
    hook = dict(type="mmrazor.QuantScheduleHook", freeze_observers_at=end)
    return [dict(**hook, by_epoch=False)]


def _activations(observer: str) -> dict:
    return dict(**_INT8, activation=dict(observer=dict(type=observer)))


def _trained(bits: str, method: str, parts: tuple[dict, dict]) -> Variant:
    """Return what trains on, batch norms too: folded ones would need smaller rates.

    Steps of 4 bits do not bear the whole rate, learned ones of 8 bits a tenth of that.
    """
    backend = _INT8 if bits == "W8A8" else dict(backend="generic", edges=_EDGES)
    return Variant(
        bits,
        method,
        dict(**backend, weight=parts[0], activation=parts[1], fold=False),
        hooks=_following if method == "QAT" else lambda steps: [],
        rate=1 / 30 if (bits, method) == ("W8A8", "LSQ") else 1 / 3,
        runtime=bits == "W8A8",
    )


_MOBILE = ("mobilenetv2",)
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("W8A8", "min-max", _activations("MinMaxObserver"), runtime=True),
        Variant("W8A8", "percentile", _activations("PercentileObserver"), runtime=True),
        Variant("W8A8", "MSE", _activations("MSEObserver"), runtime=True),
        Variant("W8A8", "entropy", _activations("EntropyObserver"), runtime=True),
        Variant("W8A8", "by tensor", _BY_TENSOR, networks=_MOBILE),
        Variant(
            "W8A8",
            "by tensor CLE",
            _BY_TENSOR,
            lambda plan: [_CLE],
            networks=_MOBILE,
        ),
        Variant(
            "W8A8",
            "by tensor CLE bias correction",
            _BY_TENSOR,
            lambda plan: [_CLE, _CORRECTION],
            networks=_MOBILE,
        ),
        *(
            Variant("W4A8", name, _W4A8, made)
            for name, made in _METHODS.items()
            if name != "QDrop"  # which is about activations in few bits
        ),
        *(Variant("W4A4", name, _W4A4, made) for name, made in _METHODS.items()),
        _trained("W8A8", "QAT", _moving(bits=8)),
        _trained("W8A8", "LSQ", (_learned(bits=8), _learned(bits=8))),
        _trained("W4A4", "QAT", _moving(bits=4)),
        _trained("W4A4", "LSQ", (_learned(bits=4), _learned(bits=4))),
    )
}


def train_config(run: Run, plan: Plan, packed: Path, dense: str) -> Config:
    """Return the Config of a training with the roundings in place.

    All but the model, its hooks and its rate is that of the float control.

    Args:
        run: Its method is the name of a Variant.
        plan: Sizes.
        packed: Folder of the packed images.
        dense: Checkpoint of the dense network, that it starts from.
    """
    variant = VARIANTS[run.method]
    assert variant.hooks is not None
    cfg = run_config(replace(run, method="control"), plan.nets, packed, dense)
    quantizer = dict(type="Quantizer", **variant.quantizer)
    cfg.model = dict(
        type="mmrazor.Quantize",
        architecture=cfg.model.architecture,
        quantizer=quantizer,
    )
    cfg.optim_wrapper.optimizer.lr *= variant.rate
    batches = max(plan.images // plan.nets.batch, 1)
    cfg.custom_hooks = [
        dict(type="mmrazor.CalibrateHook", batches=batches),
        *variant.hooks(plan.nets.steps),
    ]
    return cfg
