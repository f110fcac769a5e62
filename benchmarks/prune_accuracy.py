"""Accuracy of pruned networks: dense, right after pruning, and after fine-tuning.

CIFAR-10, a small ResNet and a small MobileNetV2, from 50 % and 70 % fewer MACs, each
with and without the dense network as teacher. Every method starts from the same trained
dense network and has the same number of steps; the dense network trained for as many
more (``control``) is the comparison. With ``--part scenes``: box AP of two detectors at
half their MACs.

Every run is a Config trained by ``mmrazor.apis.train.train``. A finished run is kept in
``--work-dir`` and not repeated while its config is the same; a stopped one goes on from
its last checkpoint.

    python tools/prepare_data.py cifar10
    python benchmarks/prune_accuracy.py             # CPU: two runs side by side
    python benchmarks/prune_accuracy.py --full      # GPU: wide networks, long schedules
    python tools/prepare_data.py scenes
    python benchmarks/prune_accuracy.py --part scenes
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from prune_accuracy_configs import FULL, METHODS, QUICK, Plan, Run, networks, pack
from prune_accuracy_report import table_of, totals
from prune_accuracy_run import run_images, run_scenes
from prune_accuracy_scenes import DETECTORS
from report import write_json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

Results = dict[Run, dict[str, Any]]


def runs_after(dense: Run, args: argparse.Namespace) -> list[Run]:
    """Return the runs that start from a dense network."""
    teachers = (False,) if args.part == "scenes" else (False, True)
    found = [replace(dense, method="control", kd=kd) for kd in teachers]
    return found + [
        replace(dense, method=method, budget=budget, kd=kd)
        for budget in args.budgets
        for method in args.methods
        for kd in teachers
    ]


def run_all(
    denses: Sequence[Run],
    after: Callable[[Run], list[Run]],
    train: Callable[[Run, str | None], dict[str, Any]],
    args: argparse.Namespace,
) -> Results:
    """Train dense networks, and what starts from them as soon as they are there.

    Args:
        denses: Runs that need nothing.
        after: Runs that need a dense network.
        train: Does a run, in another process, given the dense checkpoint.
        args: With ``processes`` and ``threads``.
    """
    results: Results = {}
    console = Console(stderr=True)
    context = multiprocessing.get_context("spawn")
    columns = ("runs", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(
            args.processes, context, torch.set_num_threads, (args.threads,)
        ) as pool,
        Progress(*columns, console=console) as progress,
    ):
        total = len(denses) + sum(len(after(dense)) for dense in denses)
        task = progress.add_task("", total=total)
        waiting: dict[Future, Run] = {
            pool.submit(train, dense, None): dense for dense in sorted(denses)
        }
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    run = waiting.pop(future)
                    results[run] = future.result()
                    progress.advance(task)
                    shown = {k: v for k, v in results[run].items() if k != "checkpoint"}
                    console.print(f"{run.name} seed {run.seed}: {shown}")
                    if run.method == "dense":
                        dense = results[run]["checkpoint"]
                        for more in after(run):
                            waiting[pool.submit(train, more, dense)] = more
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def plan_of(args: argparse.Namespace) -> Plan:
    """Return the sizes, with what the command line changes."""
    names = ("dense_steps", "steps", "test_images", "min_keep")
    given = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    return replace(FULL if args.full else QUICK, **given)


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("images", "scenes"), default="images")
    parser.add_argument("--networks", nargs="+", choices=[*networks(QUICK), *DETECTORS])
    parser.add_argument("--methods", nargs="+", choices=[*METHODS])
    parser.add_argument(
        "--budgets", nargs="+", type=float, help="shares of the dense MACs that stay"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, help="default: 0 1 2; scenes: 0"
    )
    parser.add_argument("--dense-steps", type=int, help="of the dense networks")
    parser.add_argument("--steps", type=int, help="of everything that follows")
    parser.add_argument("--test-images", type=int, help="of 10000")
    parser.add_argument(
        "--min-keep", type=float, help="share of every group that stays at least"
    )
    parser.add_argument("--epochs", type=int, default=12, help="of detectors")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs") / "prune_accuracy"
    )
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    parser.add_argument("--threads", type=int, default=1, help="of each; default: 1")
    parser.add_argument(
        "--full", action="store_true", help="wide networks, long schedules; for a GPU"
    )
    args = parser.parse_args()
    scenes = args.part == "scenes"
    args.networks = args.networks or [*(DETECTORS if scenes else networks(QUICK))]
    args.methods = args.methods or (["l1"] if scenes else [*METHODS])
    args.budgets = args.budgets or ([0.5] if scenes else [0.5, 0.3])
    args.seeds = args.seeds or ([0] if scenes else [0, 1, 2])
    denses = [Run(seed, name, "dense") for seed in args.seeds for name in args.networks]
    settings: dict[str, Any]
    if scenes:
        settings = {"epochs": args.epochs}
        train: Any = run_scenes(args.epochs, args.data_root, args.work_dir / "scenes")
    else:
        plan = plan_of(args)
        settings = asdict(plan)
        packed = pack(args.data_root, args.work_dir)
        train = run_images(plan, packed, args.work_dir / "cifar10")
    results = run_all(denses, lambda dense: runs_after(dense, args), train, args)
    found = totals(results)
    Console(stderr=True).print(table_of(found))
    write_json(
        {
            "benchmark": "prune_accuracy",
            "part": args.part,
            "plan": settings,
            "seeds": args.seeds,
            "results": found,
            **{
                key: round(sum(result[key] for result in results.values()), 1)
                for key in ("seconds", "cpu_seconds")
            },
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
