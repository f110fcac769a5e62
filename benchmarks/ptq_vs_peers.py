"""Post-training quantization to int8, beside what others make of the same model.

The same images, one thread, each side in a process of its own. Timed are making a
quantized model of a float one (for runtimes of their own: of its ONNX file), and one
image in the runtime, against the float model in the same runtime. Then all files for
one runtime take turns in one process.

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
from ptq_latency import latencies, ratio, times_in_turns
from ptq_models import MODELS, subject
from ptq_report import goals_met, table_of
from ptq_sessions import RUNTIMES
from ptq_sides import SIDES, FileSide
from report import write_json
from rich.console import Console
from rich.progress import track

from mmrazor.models.quantizers import sqnr_db

REQUIREMENTS = Path(__file__).with_name("peers_ptq.txt")


def measured(model: str, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in this process."""
    case = subject(model, args.data_root / "downloads")
    one = SIDES[side](case, args.folder)
    one.float_onnx()
    seconds = []
    for _ in range(args.turns):
        begin = time.perf_counter()
        quantized = one.quantize()
        seconds.append(time.perf_counter() - begin)
    plain, small = one.sessions(quantized)
    logits = torch.cat([small(image[None]) for image in case.images])
    same = (logits.argmax(1) == case.logits.argmax(1)).double().mean()
    return {
        "quantize_s": round(median(seconds), 3),
        **latencies(plain, small, case.images[:1], 10 * args.turns),
        "sqnr_db": round(sqnr_db(case.logits, logits), 2),
        "agreement": round(float(same), 3),
        "file": f"{one.written(quantized)}" if isinstance(one, FileSide) else None,
    }


def beside(model: str, runtime: str, args: argparse.Namespace) -> dict[str, Any]:
    """Let the files of all sides for one runtime take turns in this process."""
    case = subject(model, args.data_root / "downloads")
    opened = {side: RUNTIMES[runtime](Path(path)) for side, path in args.files}
    times = times_in_turns(opened, case.images[:1], 20 * args.turns)
    first = next(iter(opened))
    return {
        "int8_ms": {side: round(median(ms), 3) for side, ms in times.items()},
        "ours_over": {
            side: round(ratio(times, first, side), 3)
            for side in opened
            if side != first
        },
    }


def in_process(
    kind: str, model: str, name: str, args: argparse.Namespace, *extra: str
) -> dict[str, Any]:
    """Measure in a process of its own; what goes wrong is a result too.

    Args:
        kind: ``side`` or ``runtime``.
        model: Name of the model.
        name: Of the side or the runtime.
        args: Options.
        extra: More arguments of the process.
    """
    command = [sys.executable, __file__, "--worker", kind, model, name, *extra]
    command += ["--turns", str(args.turns), "--peer", str(args.peer)]
    command += ["--data-root", str(args.data_root), "--folder", str(args.folder)]
    found: dict[str, Any] = {"model": model, kind: name}
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


def compared(
    model: str, results: list[dict[str, Any]], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Compare the files of each runtime that has those of several sides."""
    found = []
    for runtime in RUNTIMES:
        files = [
            f"{one['side']}={one['file']}"
            for one in results
            if one["model"] == model and SIDES[one["side"]].runtime == runtime
            if one.get("file")
        ]
        if len(files) > 1:
            extra = ["--files", *files]
            found.append(in_process("runtime", model, runtime, args, *extra))
    return found


def install(folder: Path) -> None:
    """Install the peers into a folder of their own, if they are not there."""
    if (folder / "nncf").is_dir():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--target", str(folder), "-r", str(REQUIREMENTS)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def options() -> argparse.ArgumentParser:
    """Return what reads the options."""
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
    inner = parser.add_argument_group("of the processes that it starts")
    inner.add_argument("--worker", nargs=3, metavar=("KIND", "MODEL", "NAME"))
    inner.add_argument("--folder", type=Path)
    inner.add_argument("--files", nargs="+", type=lambda text: text.split("=", 1))
    return parser


def main() -> int:
    """Run the benchmark; return the exit code."""
    args = options().parse_args()
    args.turns = max(args.turns, 15) if args.full else args.turns
    args.peer = args.peer.resolve()
    if args.worker:
        torch.set_num_threads(1)
        sys.path.append(str(args.peer))
        kind, model, name = args.worker
        found = (measured if kind == "side" else beside)(model, name, args)
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    install(args.peer)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    results, pairs = [], []
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        cases = [(model, side) for model in args.models for side in args.sides]
        for model, side in track(cases, "sides", console=console):
            results.append(in_process("side", model, side, args))
            console.print(json.dumps(results[-1]), soft_wrap=True, highlight=False)
        for model in track(args.models, "in turns", console=console):
            pairs += compared(model, results, args)
    for one in results:
        one.pop("file", None)
    console.print(table_of(results))
    summary = {"results": results, "beside": pairs, "goals": goals_met(results, pairs)}
    write_json({"benchmark": "ptq_vs_peers", "turns": args.turns, **summary})
    return 0


if __name__ == "__main__":
    sys.exit(main())
