"""Detectors and a segmentor on scenes in 8 bits, in torch and in ONNX Runtime.

A narrow RetinaNet, YOLOX-tiny and PSPNet are trained, quantized after training, and
trained on quantized. Each is tested in torch and, as an ONNX file, in ONNX Runtime, on
the same images, with the preprocessing, decoding and metric of its host library. The
float network trained on as long (``control``) tells what the training alone brings.

A finished run is kept in ``--work-dir`` and not repeated while its config is the same;
a stopped one goes on from its last checkpoint.

    python tools/prepare_data.py scenes
    python benchmarks/quant_scenes.py
    python benchmarks/quant_scenes.py --networks yolox-tiny --epochs 2 --more-epochs 1
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from ptq_latency import Logits, latencies
from quant_scenes_configs import NETWORKS, Plan
from quant_scenes_run import measured
from report import write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmrazor.models.architectures.onnx_session import onnx_session

_IMAGE = (1, 3, 160, 160)


def run_all(
    plan: Plan, args: argparse.Namespace, console: Console
) -> list[dict[str, Any]]:
    """Measure the networks, some side by side; return them in the given order."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(
        args.processes, context, torch.set_num_threads, (1,)
    ) as pool:
        jobs = [pool.submit(measured, n, plan, args.work_dir) for n in args.networks]
        done = as_completed(jobs)
        for job in track(done, "networks", total=len(jobs), console=console):
            result = job.result()
            found[result["network"]] = result
            console.print(json.dumps(result), soft_wrap=True, highlight=False)
    return [found[name] for name in args.networks]


def latency(result: dict[str, Any], turns: int) -> dict[str, float]:
    """Return milliseconds of one image in ONNX Runtime, float and int8 in turns."""
    torch.manual_seed(0)
    plain, small = (_opened(result[name]["onnx"]) for name in ("float", "ptq"))
    return latencies(plain, small, torch.randn(_IMAGE), turns)


def _opened(path: str) -> Logits:
    session = onnx_session(path, threads=1)
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image.numpy()})[0]


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table(title="box AP or mIoU on scenes, percent")
    table.add_column("network")
    table.add_column("what")
    for name in ("torch", "ONNX Runtime", "KB", "ms an image"):
        table.add_column(name, justify="right")
    for one in results:
        times = {"float": "float_ms", "ptq": "int8_ms"}
        for method in ("float", "control", "ptq", "qat"):
            row = one[method]
            key = times.get(method)
            table.add_row(
                one["network"] if method == "float" else "",
                method,
                f"{row['torch']:.1f}",
                f"{row['onnxruntime']:.1f}" if "onnxruntime" in row else "",
                f"{row['onnx_bytes'] / 1000:.0f}" if "onnx_bytes" in row else "",
                f"{one['latency'][key]:.2f}" if key else "",
            )
    return table


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--epochs", type=int, help="of the float networks")
    parser.add_argument("--more-epochs", type=int, help="of what starts from them")
    parser.add_argument(
        "--turns", type=int, default=100, help="of latency; default: 100"
    )
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs") / "quant_scenes"
    )
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    plan = Plan(args.data_root, args.seed, args.epochs, args.more_epochs)
    results = run_all(plan, args, console)
    for result in results:  # when nothing else of this runs
        result["latency"] = latency(result, args.turns)
    console.print(table_of(results))
    write_json({"benchmark": "quant_scenes", "seed": args.seed, "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
