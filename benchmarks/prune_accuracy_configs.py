"""Configs of ``prune_accuracy.py``: two small networks, six methods, one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy_runs import KD, optimisation
from mmengine.config import Config
from prune_accuracy_parts import pack_images

BASE = Path(__file__).resolve().parents[1] / "configs" / "_base_" / "datasets"
METRIC = "accuracy/top1"
SIZE = (32, 32)


@dataclass(frozen=True)
class Plan:
    """Sizes of one way to run the benchmark.

    Args:
        resnet: Depth and width of the ResNet, which has three stages.
        mobilenet: Width factor of the MobileNetV2.
        batch: Images of a step.
        dense_steps, steps: Length of the dense network's training, and of what follows
            for every method and for the dense control alike.
        test_images: Images to validate on.
        workers: Loader processes.
        min_keep: Share of every group that a pruner leaves at least; None: its default.
    """

    resnet: tuple[int, int]
    mobilenet: float
    batch: int
    dense_steps: int
    steps: int
    test_images: int
    workers: int
    min_keep: float | None = None


QUICK = Plan((18, 16), 0.5, 64, 1500, 200, test_images=10_000, workers=0)
FULL = Plan((18, 64), 1.0, 128, 40_000, 20_000, test_images=10_000, workers=8)


@dataclass(frozen=True, order=True)
class Run:
    """One training: what, how far, with a teacher or not."""

    seed: int
    network: str
    method: str
    budget: float = 1.0
    kd: bool = False

    @property
    def name(self) -> str:
        """Return a name for folders and progress."""
        share = "" if self.budget == 1 else f"_{self.budget:g}"
        return f"{self.network}_{self.method}{share}{'_kd' if self.kd else ''}"


def networks(plan: Plan) -> dict[str, dict]:
    """Return the configs of the dense networks, by name."""
    depth, width = plan.resnet
    resnet = dict(
        type="mmpretrain.ResNet_CIFAR",
        depth=depth,
        num_stages=3,
        base_channels=width,
        stem_channels=width,
        strides=(2, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    )
    mobilenet = dict(
        type="mmrazor.SmallMobileNetV2", widen_factor=plan.mobilenet, out_indices=(4,)
    )
    return {
        "resnet": _classifier(resnet, 4 * width),
        "mobilenetv2": _classifier(mobilenet, 1280),
    }


def _classifier(backbone: dict, channels: int) -> dict:
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=backbone,
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(
            type="mmpretrain.LinearClsHead", num_classes=10, in_channels=channels
        ),
    )


def _pruner(budget: float, importance: str, **more: Any) -> dict:
    return dict(
        type="Pruner",
        budget=dict(macs=budget),
        importance=dict(type=importance),
        image_size=SIZE,
        **more,
    )


def _one_shot(importance: str) -> Callable[[float, int], dict]:
    def model(budget: float, steps: int) -> dict:
        return dict(type="mmrazor.Compress", pruner=_pruner(budget, importance))

    return model


def _slimming(budget: float, steps: int) -> dict:
    half = steps // 2
    schedule = dict(type="LinearSchedule", begin=half, end=half)
    pruner = _pruner(budget, "BNScaleImportance", schedule=schedule)
    return dict(type="mmrazor.NetworkSlimming", sparsity_weight=1e-3, pruner=pruner)


def _dmcp(budget: float, steps: int) -> dict:
    begin, end = steps // 8, steps // 2
    schedule = dict(type="LinearSchedule", begin=begin, end=end)
    pruner = dict(type="DMCPPruner", budget=dict(macs=budget), schedule=schedule)
    # Adam moves a parameter by about its rate: enough for a short search.
    rate = max(0.01, 5 / (end - begin))
    return dict(
        type="mmrazor.DMCP", alpha_lr=rate, pruner=dict(**pruner, image_size=SIZE)
    )


def _dcff(budget: float, steps: int) -> dict:
    pruner = dict(
        type="DCFFPruner",
        budget=dict(macs=budget),
        interval=max(steps // 10, 1),
        by_epoch=False,
        image_size=SIZE,
    )
    return dict(type="mmrazor.DCFF", pruner=pruner)


#: From the share of MACs to keep and the steps to the Algorithm's config, which lacks
#: the architecture. All of them start from the trained dense network.
METHODS: dict[str, Callable[[float, int], dict]] = {
    "l1": _one_shot("L1Importance"),
    "taylor": _one_shot("TaylorImportance"),
    "fisher": _one_shot("FisherImportance"),
    "slimming": _slimming,
    "dmcp": _dmcp,
    "dcff": _dcff,
}


def run_config(run: Run, plan: Plan, packed: Path, dense: str | None = None) -> Config:
    """Return the Config of one run; its seed and folder come later.

    Args:
        run: ``dense`` trains the dense network, ``control`` trains it on, every other
            method starts from it.
        plan: Sizes.
        packed: Folder of the packed images.
        dense: Checkpoint of the dense network.
    """
    cfg = Config.fromfile(str(BASE / "cifar10.py"))
    steps = plan.dense_steps if run.method == "dense" else plan.steps
    architecture = networks(plan)[run.network]
    # Dense networks from the same seed: start and teacher of what follows.
    trained = dict(**architecture, checkpoint=dense)
    model = architecture
    if run.method != "dense":
        if run.method == "control":
            model = dict(type="mmrazor.Compress")
        else:
            model = METHODS[run.method](run.budget, steps)
            if plan.min_keep is not None:
                model["pruner"]["min_keep"] = plan.min_keep
        model["architecture"] = trained
    if run.kd:
        model.update(teacher=trained, distiller=dict(losses=KD))
    cfg.merge_from_dict(
        dict(
            default_scope="mmpretrain",
            model=model,
            data_preprocessor=dict(to_rgb=False),  # packed as RGB
            **optimisation(steps, lr=0.1 if run.method == "dense" else 0.03),
            train_cfg=dict(by_epoch=False, max_iters=steps, val_interval=steps),
            val_cfg=dict(),
            default_hooks=dict(
                checkpoint=dict(
                    type="CheckpointHook",
                    by_epoch=False,
                    interval=max(steps // 4, 1),
                    max_keep_ckpts=1,
                )
            ),
            custom_hooks=[dict(type="mmrazor.ScoreAfterPruning", metric=METRIC)],
            env_cfg=dict(mp_cfg=dict(opencv_num_threads=0)),
            log_processor=dict(by_epoch=False),
            log_level="WARNING",
        )
    )
    for split, number in (("train", 50_000), ("val", plan.test_images)):
        train = split == "train"
        cfg[f"{split}_dataloader"] = dict(
            batch_size=plan.batch if train else 500,
            num_workers=plan.workers,
            persistent_workers=plan.workers > 0,
            collate_fn=dict(type="default_collate"),
            sampler=dict(
                type="InfiniteSampler" if train else "DefaultSampler", shuffle=train
            ),
            dataset=dict(
                type="mmrazor.PackedImages",
                path=str(packed / ("train" if train else "test")),
                number=number,
                augment=train,
            ),
        )
    # No test run: the last validation, on the test images, is the result.
    for key in ("test_dataloader", "test_evaluator"):
        cfg.pop(key)
    return cfg


def pack(data_root: Path, work_dir: Path) -> Path:
    """Pack CIFAR-10 and return the folder."""
    folder = work_dir / "packed"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        pack_images(data_root / "cifar10" / split, folder / split)
    return folder
