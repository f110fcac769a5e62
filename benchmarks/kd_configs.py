"""Configs of ``kd_accuracy.py``: small ResNets on Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from accuracy_runs import KD, optimisation
from mmengine.config import Config

DATASETS = {"fashion_mnist": (1, 60_000), "cifar10": (3, 50_000)}  # channels, images
METHODS = ("student", "kd", "fitnets")
BASES = Path(__file__).resolve().parents[1] / "configs" / "_base_" / "datasets"


@dataclass(frozen=True)
class Plan:
    """Sizes of one way to run the benchmark.

    Args:
        train_images: Images to train on, spread evenly over the training set.
        student, teacher: Depth and width of a ResNet (18, 8 is ResNet-18 at 1/8 width).
        stem_stride: Stride of the first stage; 2 quarters the cost.
        epochs, teacher_epochs: Length of the schedules.
        workers: Loader processes.
    """

    train_images: int
    student: tuple[int, int]
    teacher: tuple[int, int]
    stem_stride: int
    epochs: int
    teacher_epochs: int
    workers: int


QUICK = Plan(8_000, (18, 8), (18, 16), 2, epochs=4, teacher_epochs=12, workers=0)
FULL = Plan(10**9, (18, 16), (34, 64), 1, epochs=60, teacher_epochs=60, workers=8)


def network(size: tuple[int, int], plan: Plan, channels: int) -> dict:
    """Return the config of a ResNet for small images."""
    depth, width = size
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(
            type="mmpretrain.ResNet_CIFAR",
            depth=depth,
            base_channels=width,
            stem_channels=width,
            in_channels=channels,
            strides=(plan.stem_stride, 2, 2, 2),
        ),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(
            type="mmpretrain.LinearClsHead", num_classes=10, in_channels=8 * width
        ),
    )


def distillation(method: str, plan: Plan) -> dict:
    """Return the distiller's losses of a method."""
    if method == "kd":
        return KD
    source = "output:backbone.layer3"
    connector = dict(
        type="ConvModuleConnector",
        in_channels=4 * plan.student[1],
        out_channels=4 * plan.teacher[1],
    )
    hint = dict(type="L2Loss", loss_weight=5.0, student_connector=connector)
    return dict(hint=dict(hint, student=source, teacher=source))


def run_config(
    dataset: str, method: str, plan: Plan, data_root: Path, teacher: str | None
) -> Config:
    """Return the Config of one run; its seed and folder come later."""
    channels, num_images = DATASETS[dataset]
    cfg = Config.fromfile(str(BASES / f"{dataset}.py"))
    epochs = plan.teacher_epochs if method == "teacher" else plan.epochs
    step = max(num_images // plan.train_images, 1)
    indices = list(range(0, num_images, step))[: plan.train_images]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data_root / dataset)
        loader.num_workers = plan.workers
        loader.persistent_workers = plan.workers > 0
    steps = epochs * -(-len(indices) // cfg.train_dataloader.batch_size)
    if step > 1:
        # Evenly spaced: the images of CIFAR-10 are sorted by class.
        cfg.train_dataloader.dataset.indices = indices
    if method == "teacher":
        model = network(plan.teacher, plan, channels)
    else:
        model = network(plan.student, plan, channels)
    if method in ("kd", "fitnets"):
        model = dict(
            type="mmrazor.SingleTeacherDistill",
            architecture=model,
            teacher=dict(**network(plan.teacher, plan, channels), checkpoint=teacher),
            distiller=dict(losses=distillation(method, plan)),
        )
    cfg.merge_from_dict(
        dict(
            default_scope="mmpretrain",
            model=model,
            **optimisation(steps, lr=0.1),
            train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=epochs),
            val_cfg=dict(),
            default_hooks=dict(
                checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=1)
            ),
            custom_hooks=[dict(type="mmrazor.ShowSteps")],
            env_cfg=dict(mp_cfg=dict(opencv_num_threads=0)),
            log_level="WARNING",
        )
    )
    # No test run: the last epoch's validation on the test images is the result.
    for key in ("test_dataloader", "test_evaluator"):
        cfg.pop(key)
    return cfg
