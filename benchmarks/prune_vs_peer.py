"""Time to prune a model to half its MACs, beside Torch-Pruning on the same models.

Each model in a process of its own, one thread, both sides in turns; medians of the
ratios within each turn. Ours checks the pruned model and counts its costs; the other
side does neither, and is given the share of channels that meets the budget. Whether it
gets through a model at all is tried first, with a limit on the time.

    python benchmarks/prune_vs_peer.py
    python benchmarks/prune_vs_peer.py --models resnet18 mobilenet_v2 --turns 9

Torch-Pruning is installed into a folder of its own (``--peer``), apart from what the
library needs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from prune_peer_models import MODELS
from prune_peer_side import peer_module
from report import write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

GOALS = {"trace_over_forward": 1.5, "ours_over_peer": 0.5}
_WORKER = Path(__file__).with_name("prune_peer_worker.py")
_FINISHES = "finishes"


def peer_outcome(model: str, args: argparse.Namespace) -> str:
    """Return whether the peer gets through a model, or how it fails.

    Other load slows it by the wall's clock, so the limit is on the processor's time.
    """
    options = ["--peer", str(args.peer), "--probe", str(args.peer_limit)]
    try:
        done = _worker(model, options, args)
    except subprocess.TimeoutExpired:
        return f"unknown: nothing within {args.limit:g} s on a busy machine"
    if done.returncode == 0:
        return _FINISHES
    if done.returncode == -signal.SIGXCPU:
        return f"does not finish within {args.peer_limit} s of processor time"
    lines = done.stderr.strip().splitlines()
    return f"fails: {lines[-1][:160] if lines else f'code {done.returncode}'}"


def _worker(
    model: str, options: list[str], args: argparse.Namespace
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(_WORKER), model, "--pixels", str(args.pixels)]
    return subprocess.run(
        [*command, *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=args.limit,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def measured(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured of one model, or how ours fails."""
    outcome = peer_outcome(model, args)
    options = ["--turns", str(args.turns)]
    if outcome == _FINISHES:
        options += ["--peer", str(args.peer)]
    try:
        done = _worker(model, options, args)
    except subprocess.TimeoutExpired:
        return {
            "model": model,
            "peer": outcome,
            "error": f"not done within {args.limit} s",
        }
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"model": model, "peer": outcome, "error": "\n".join(lines[-3:])}
    return {**json.loads(done.stdout.splitlines()[-1]), "peer": outcome}


def goals_met(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each goal which models meet it by the processor's clock, and not."""
    found = {}
    for name, goal in GOALS.items():
        values = {
            r["model"]: r["ratios"][name]["cpu"]
            for r in results
            if name in r.get("ratios", {})
        }
        met = [model for model, value in values.items() if value <= goal]
        missed = {model: v for model, v in values.items() if v > goal}
        found[name] = {"goal": goal, "met": met, "missed": missed}
    return found


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the results by the processor's clock, a row for each model."""
    table = Table(title="processor time; ratios within turns")
    names = ["model", "forward ms", "empty trace", "trace", "ours ms", "peer ms"]
    names += ["ours / peer", "unchecked", "MACs", "latency", "peer's MACs, latency"]
    for name in names:
        table.add_column(name, justify="left" if name == "model" else "right")
    for result in results:
        table.add_row(result["model"], *_cells(result))
    return table


def _cells(result: dict[str, Any]) -> list[str]:
    if "error" in result:
        return [result["error"].splitlines()[-1][:60]]
    times, ratios, macs = result["median_ms"]["cpu"], result["ratios"], result["macs"]
    over = result["latency"]["over_dense"]

    def ratio(name: str) -> str:
        return f"{ratios[name]['cpu']:.2f}" if name in ratios else ""

    def side(name: str) -> list[str]:
        if name not in macs:
            return ["", ""]
        return [f"{macs[name] / macs['dense']:.3f}", f"{over[name]['cpu']:.2f}"]

    return [
        f"{times['forward']:.0f}",
        ratio("seen_forward_over_forward"),
        ratio("trace_over_forward"),
        f"{times['ours']:.0f}",
        f"{times['peer']:.0f}" if "peer" in times else result["peer"][:34],
        ratio("ours_over_peer"),
        ratio("ours_unchecked_over_peer"),
        *side("ours"),
        " ".join(side("peer")),
    ]


def parse_args() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--turns", type=int, default=5, help="default: 5")
    parser.add_argument("--full", action="store_true", help="at least 15 turns")
    parser.add_argument("--pixels", type=int, default=224, help="default: 224")
    parser.add_argument(
        "--peer",
        type=Path,
        default=Path("work_dirs/prune_vs_peer/packages"),
        help="where Torch-Pruning is, or will be installed",
    )
    parser.add_argument(
        "--peer-limit",
        type=int,
        default=60,
        help="processor time of the peer for one try, s; default: 60",
    )
    parser.add_argument(
        "--limit", type=float, default=900, help="for each process, s; default: 900"
    )
    args = parser.parse_args()
    args.turns = max(args.turns, 15) if args.full else args.turns
    args.peer = args.peer.resolve()
    return args


def main() -> int:
    """Run the benchmark; return the exit code."""
    args = parse_args()
    peer_module(args.peer)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    results = []
    for model in track(args.models, "models", console=console):
        results.append(measured(model, args))
        console.print(json.dumps(results[-1]), soft_wrap=True, highlight=False)
    console.print(table_of(results))
    write_json(
        {
            "benchmark": "prune_vs_peer",
            "turns": args.turns,
            "goals": goals_met(results),
            "models": results,
        }
    )
    return int(any("error" in result for result in results))


if __name__ == "__main__":
    sys.exit(main())
