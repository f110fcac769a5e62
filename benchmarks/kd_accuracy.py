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
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accuracy_runs import folder_of, mean_and_spread, run_once
from kd_configs import DATASETS, FULL, METHODS, QUICK, Plan, run_config
from mmengine.hooks import Hook
from report import write_json
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mmrazor.registry import HOOKS


@HOOKS.register_module()
class ShowSteps(Hook):
    """Tell ``report`` of every training step."""

    report: Callable[[int, int], None] | None = None

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Report the steps done and the steps of the whole run."""
        if ShowSteps.report is not None:
            ShowSteps.report(runner.iter + 1, runner.max_iters)


def summary(values: list[float]) -> dict[str, Any]:
    """Return mean and spread (sample standard deviation) of some accuracies."""
    found = mean_and_spread(values)
    return {
        "top1": values,
        **{k: None if v is None else round(v, 2) for k, v in found.items()},
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
        folder = folder_of(args.work_dir / dataset, f"{method}_{seed}", cfg)
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
