"""Accuracy of quantized networks: after training by each method, and trained.

CIFAR-10, a small ResNet and a small MobileNetV2: in float, in 8 bits with several
observers, with weights of 4 bits and activations of 8 or 4 by every post-training
method, and trained quantized (QAT, LSQ) in 8 and 4 bits. All start from the same float
network of their seed; the float network trained for as many more steps (``control``) is
the comparison of what is trained. Models in 8 bits are exported and run in ONNX Runtime
on all test images, where every integer is compared with torch's.

The float networks are trained as those of ``prune_accuracy.py``, for fewer steps, and
kept in its folder. A finished run is kept and not repeated while its config is the
same; a stopped one goes on.

    python tools/prepare_data.py cifar10
    python benchmarks/quant_accuracy.py             # CPU: two runs side by side
    python benchmarks/quant_accuracy.py --seeds 0 1 2             # with spreads, longer
    python benchmarks/quant_accuracy.py --full      # GPU: wide networks, long schedules
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

from prune_accuracy import run_all
from prune_accuracy_configs import Run, networks, pack
from quant_accuracy_configs import FULL, QUICK, VARIANTS, Plan
from quant_accuracy_report import runtime_table_of, table_of, totals
from quant_accuracy_run import run_quantized
from report import write_json
from rich.console import Console


def runs_after(dense: Run, methods: list[str]) -> list[Run]:
    """Return the runs that start from a float network."""
    names = ["control", *methods]
    found = [
        name
        for name in names
        if name not in VARIANTS or dense.network in VARIANTS[name].networks
    ]
    return [replace(dense, method=name) for name in found]


def plan_of(args: argparse.Namespace) -> Plan:
    """Return the sizes, with what the command line changes."""
    plan = FULL if args.full else QUICK
    names = ("dense_steps", "steps", "test_images")
    given = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
    own = {n: getattr(args, n) for n in ("images", "iterations")}
    own = {name: value for name, value in own.items() if value is not None}
    return replace(plan, nets=replace(plan.nets, **given), **own)


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = [*networks(QUICK.nets)]
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument(
        "--methods", nargs="+", choices=[*VARIANTS], default=[*VARIANTS], metavar="NAME"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="default: 0")
    parser.add_argument("--dense-steps", type=int, help="of the float networks")
    parser.add_argument("--steps", type=int, help="of QAT, LSQ and the control")
    parser.add_argument("--iterations", type=int, help="to learn a layer's roundings")
    parser.add_argument("--images", type=int, help="to calibrate on")
    parser.add_argument("--test-images", type=int, help="of 10000")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs") / "quant_accuracy"
    )
    parser.add_argument(
        "--float-dir",
        type=Path,
        default=Path("work_dirs") / "prune_accuracy",
        help="work folder of prune_accuracy.py",
    )
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    parser.add_argument("--threads", type=int, default=1, help="of each; default: 1")
    parser.add_argument(
        "--full", action="store_true", help="wide networks, long schedules; for a GPU"
    )
    args = parser.parse_args()
    plan = plan_of(args)
    packed = pack(args.data_root, args.float_dir)
    floats = args.float_dir / "cifar10"
    train = run_quantized(plan, packed, floats, args.work_dir)
    denses = [Run(seed, name, "dense") for seed in args.seeds for name in args.models]
    results = run_all(denses, lambda run: runs_after(run, args.methods), train, args)
    rows = totals(results)
    console = Console(stderr=True)
    console.print(table_of(rows))
    console.print(runtime_table_of(rows))
    write_json(
        {
            "benchmark": "quant_accuracy",
            "plan": asdict(plan),
            "seeds": args.seeds,
            "results": rows,
            **{
                key: round(sum(result[key] for result in results.values()), 1)
                for key in ("seconds", "cpu_seconds")
            },
        }
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
