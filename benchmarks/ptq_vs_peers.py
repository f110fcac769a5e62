"""Post-training quantization to int8, beside what others make of the same model.

The same images, one thread, each side in a process of its own. Timed are making a
quantized model of a float one (for runtimes of their own: of its ONNX file), and one
image in the runtime, against the float model in the same runtime.

    python benchmarks/ptq_vs_peers.py
    python benchmarks/ptq_vs_peers.py --models lite0 --turns 5

NNCF, OpenVINO and torchao are installed into a folder of their own (``--peer``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ptq_models import MODELS, subject
from ptq_sides import SIDES, Logits
from report import write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from mmrazor.models.quantizers import sqnr_db

REQUIREMENTS = Path(__file__).with_name("peers_ptq.txt")


def measured(model: str, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in this process."""
    torch.set_num_threads(1)
    sys.path.append(str(args.peer))
    case = subject(model, args.data_root / "downloads")
    with tempfile.TemporaryDirectory() as folder:
        one = SIDES[side](case, Path(folder))
        one.float_onnx()
        seconds = []
        for _ in range(args.turns):
            begin = time.perf_counter()
            quantized = one.quantize()
            seconds.append(time.perf_counter() - begin)
        plain, small = one.sessions(quantized)
        logits = torch.cat([small(image[None]) for image in case.images])
        float_ms, int8_ms, ratio = latencies(plain, small, case.images[:1], args.turns)
    same = (logits.argmax(1) == case.logits.argmax(1)).double().mean()
    return {
        "quantize_s": round(median(seconds), 3),
        "float_ms": round(float_ms, 2),
        "int8_ms": round(int8_ms, 2),
        "speed_up": round(ratio, 3),
        "sqnr_db": round(sqnr_db(case.logits, logits), 2),
        "agreement": round(float(same), 3),
    }


def latencies(
    plain: Logits, small: Logits, image: Tensor, turns: int
) -> tuple[float, float, float]:
    """Return both medians in milliseconds, and the median ratio of the turns."""
    for _ in range(5):
        plain(image), small(image)
    times: list[tuple[float, float]] = []
    for _ in range(10 * turns):
        pair = []
        for side in (plain, small):
            begin = time.perf_counter()
            side(image)
            pair.append(1e3 * (time.perf_counter() - begin))
        times.append((pair[0], pair[1]))
    ratio = median(first / second for first, second in times)
    return median(t[0] for t in times), median(t[1] for t in times), ratio


def in_process(model: str, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in a process of its own; what goes wrong is a result too."""
    command = [sys.executable, __file__, "--worker", model, side]
    command += ["--turns", str(args.turns), "--peer", str(args.peer)]
    command += ["--data-root", str(args.data_root)]
    found: dict[str, Any] = {"model": model, "side": side}
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=args.limit,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return {**found, "failed": f"nothing within {args.limit:g} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return {**found, "failed": lines[-1][:200]}
    return {**found, **json.loads(done.stdout.strip().splitlines()[-1])}


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table(title="int8 after training, one thread, one image")
    table.add_column("model")
    table.add_column("side", overflow="fold")
    names = ("quantize_s", "float_ms", "int8_ms", "speed_up", "sqnr_db", "agreement")
    for name in names:
        table.add_column(name, justify="right")
    for one in results:
        if "failed" in one:
            table.add_row(one["model"], one["side"], one["failed"])
        else:
            table.add_row(one["model"], one["side"], *(f"{one[n]:g}" for n in names))
    return table


def install(folder: Path) -> None:
    """Install the peers into a folder of their own, if they are not there."""
    if (folder / "nncf").is_dir():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--target", str(folder), "-r", str(REQUIREMENTS)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--turns", type=int, default=3, help="default: 3")
    parser.add_argument("--full", action="store_true", help="at least 15 turns")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--peer",
        type=Path,
        default=Path("work_dirs/ptq_vs_peers/packages"),
        help="where the peers are, or will be installed",
    )
    parser.add_argument(
        "--limit", type=float, default=900, help="for each process, s; default: 900"
    )
    parser.add_argument("--worker", nargs=2, metavar=("MODEL", "SIDE"))
    args = parser.parse_args()
    args.turns = max(args.turns, 15) if args.full else args.turns
    args.peer = args.peer.resolve()
    if args.worker:
        sys.stdout.write(json.dumps(measured(*args.worker, args)) + "\n")
        return 0
    install(args.peer)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    pairs = [(model, side) for model in args.models for side in args.sides]
    results = []
    for model, side in track(pairs, "sides", console=console):
        results.append(in_process(model, side, args))
        console.print(json.dumps(results[-1]), soft_wrap=True, highlight=False)
    console.print(table_of(results))
    write_json({"benchmark": "ptq_vs_peers", "turns": args.turns, "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
