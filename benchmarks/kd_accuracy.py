"""Accuracy of a student alone, with KD and with FitNets, over several seeds.

Fashion-MNIST and CIFAR-10, one teacher for each, small ResNets; every run is a Config
trained by ``mmrazor.apis.train.train``. A finished run is kept in ``--work-dir`` and
not repeated while its config is the same; a stopped one goes on from its last epoch.

    python tools/prepare_data.py fashion_mnist
    python tools/prepare_data.py cifar10
    python benchmarks/kd_accuracy.py            # CPU: subsets, narrow networks
    python benchmarks/kd_accuracy.py --full     # GPU: all data, longer schedules
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from report import write_json
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mmrazor.apis.train import train
from mmrazor.core.files import write_atomically
from mmrazor.registry import HOOKS

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


@HOOKS.register_module()
class ShowSteps(Hook):
    """Tell ``report`` of every training step."""

    report: Callable[[int, int], None] | None = None

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Report the steps done and the steps of the whole run."""
        if ShowSteps.report is not None:
            ShowSteps.report(runner.iter + 1, runner.max_iters)


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
        kd = dict(type="KLDivergence", tau=4.0, loss_weight=1.0)
        source = "output:head.fc"
        return dict(kd=dict(kd, student=source, teacher=source))
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
    warm = max(steps // 10, 1)
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
    sgd = dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    cfg.merge_from_dict(
        dict(
            default_scope="mmpretrain",
            model=model,
            optim_wrapper=dict(optimizer=sgd),
            param_scheduler=[
                dict(type="LinearLR", start_factor=0.1, end=warm, by_epoch=False),
                dict(
                    type="CosineAnnealingLR",
                    begin=warm,
                    T_max=steps - warm,
                    by_epoch=False,
                ),
            ],
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


def run_once(cfg: Config, folder: Path, seed: int) -> dict[str, Any]:
    """Train, unless it was done before; return the accuracy and the seconds."""
    done = folder / "result.json"
    if done.is_file():
        return json.loads(done.read_text(encoding="utf-8"))
    cfg.experiment_name = f"{folder.parent.name}_{folder.name}"
    start = time.perf_counter()
    with redirect_stdout(sys.stderr):
        runner = train(cfg, work_dir=folder, seed=seed, resume="auto")
    top1 = runner.message_hub.get_scalar("val/accuracy/top1").current()
    checkpoint = (folder / "last_checkpoint").read_text(encoding="utf-8").strip()
    result = {
        "top1": round(float(top1), 2),
        "seconds": round(time.perf_counter() - start, 1),
        "checkpoint": checkpoint,
    }
    write_atomically(done, lambda path: path.write_text(json.dumps(result)))
    return result


def summary(values: list[float]) -> dict[str, Any]:
    """Return mean and spread (sample standard deviation) of some accuracies."""
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {
        "top1": values,
        "mean": round(statistics.mean(values), 2),
        "std": None if spread is None else round(spread, 2),
    }


def compare(
    dataset: str, plan: Plan, args: argparse.Namespace, progress: Progress
) -> dict[str, Any]:
    """Run everything on one dataset and return its accuracies."""
    build = partial(run_config, dataset, plan=plan, data_root=args.data_root)

    def shown(method: str, seed: int, teacher: str | None = None) -> dict[str, Any]:
        task = progress.add_task(f"{dataset} {method} seed {seed}", total=None)
        ShowSteps.report = lambda step, steps: progress.update(
            task, completed=step, total=steps
        )
        cfg = build(method=method, teacher=teacher)
        # Another config is another folder, and so another run.
        mark = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()[:8]
        folder = args.work_dir / dataset / f"{method}_{seed}_{mark}"
        result = run_once(cfg, folder, seed)
        progress.update(
            task,
            total=1,
            completed=1,
            description=f"{dataset} {method} seed {seed}: {result['top1']:.2f}",
        )
        return result

    teacher = shown("teacher", 0)
    # Seed by seed, so that a run that is stopped has compared all methods.
    runs = {
        (method, seed): shown(method, seed, teacher["checkpoint"])
        for seed in range(args.seeds)
        for method in METHODS
    }
    return {
        "teacher": teacher["top1"],
        **{
            m: summary([runs[m, s]["top1"] for s in range(args.seeds)]) for m in METHODS
        },
        "seconds": round(sum(r["seconds"] for r in (teacher, *runs.values())), 1),
    }


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=[*DATASETS])
    parser.add_argument("--seeds", type=int, default=3, help="default: 3")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs") / "kd_accuracy"
    )
    parser.add_argument("--threads", type=int, default=1, help="on the CPU; default: 1")
    parser.add_argument(
        "--full", action="store_true", help="all images, longer schedules; for a GPU"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plan = FULL if args.full else QUICK
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        found = {name: compare(name, plan, args, progress) for name in args.datasets}
    write_json({"benchmark": "kd_accuracy", "plan": asdict(plan), "datasets": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
