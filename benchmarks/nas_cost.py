"""What a supernet adds to the work that a search cannot avoid.

Three figures of each supernet: Subnets held against a budget in a second, and whether
what they are said to cost is what their plain networks really cost; the time to select
a Subnet; the training step of a sampled Subnet inside the supernet over the same step
of its plain network. The two networks of a Subnet take turns, beside a second plain one
that tells how far two equal networks are apart, and the ratio is the median of the
ratios within each turn. One thread. Ours are SPOS on its ShuffleNetV2 and MobileNetV2
spaces; the peer is Once-for-All's MobileNetV3, installed into a folder of its own
(``--peer``).

    python benchmarks/nas_cost.py
    python benchmarks/nas_cost.py --supernets shufflenetv2 --subnets 10 --turns 20
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from kd_step import ratio
from mmengine.logging import MMLogger
from nas_models import BACKBONES, OnceForAll, Ours, Side
from prune_peer_worker import Times, timed
from report import write_json
from rich.console import Console
from rich.table import Table

GOALS = {"checks_per_s": 5000, "select_ms": 0.15, "step_over_plain": 1.03}
PEER = "once_for_all"
_CLOCKS = ("wall", "cpu")
_ROUNDS = 5


def per_call(function: Any, subnets: list[Any]) -> dict[str, float]:
    """Return the median time of a call by clock, in seconds, over some rounds."""
    rounds = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter(), time.process_time()
        for subnet in subnets:
            function(subnet)
        end = time.perf_counter(), time.process_time()
        rounds.append([(b - a) / len(subnets) for a, b in zip(begin, end, strict=True)])
    return {
        clock: statistics.median(times[place] for times in rounds)
        for place, clock in enumerate(_CLOCKS)
    }


def step_times(side: Side, num_subnets: int, turns: int) -> Times:
    """Time training steps of some Subnets, in turns."""
    times: Times = {"supernet": [], "plain": [], "plain_again": []}
    for _ in range(num_subnets):
        subnet = side.drawn()
        steps = {
            "supernet": side.supernet_step(subnet),
            "plain": side.plain_step(subnet),
            "plain_again": side.plain_step(subnet),
        }
        prepared = {name: (lambda step=step: step) for name, step in steps.items()}
        for name, pairs in timed(prepared, turns).items():
            times[name] += pairs
    return times


def step_ratios(times: Times) -> dict[str, Any]:
    """Return medians and ratios of the steps by clock."""
    found = {}
    for place, clock in enumerate(_CLOCKS):
        one = {name: [pair[place] for pair in pairs] for name, pairs in times.items()}
        found[clock] = {
            "median_ms": {
                k: round(1e3 * statistics.median(t), 2) for k, t in one.items()
            },
            "step_over_plain": ratio(one, "supernet", "plain"),
            "plain_again_over_plain": ratio(one, "plain_again", "plain"),
        }
    return found


def measured(side: Side, args: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of one supernet."""
    subnets = [side.drawn() for _ in range(args.calls)]
    checked = subnets[: args.exact]
    equal = sum(side.macs(subnet) == side.real_macs(subnet) for subnet in checked)
    checks, selects = per_call(side.check, subnets), per_call(side.select, subnets)
    return {
        "equal_to_real_count": {"subnets": len(checked), "equal": equal},
        "checks_per_s": {clock: round(1 / s) for clock, s in checks.items()},
        "select_ms": {clock: round(1e3 * s, 4) for clock, s in selects.items()},
        "step": step_ratios(step_times(side, args.subnets, args.turns)),
    }


def peer_measured(args: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of the peer, or why there are none."""
    try:
        peer = OnceForAll(args.peer, args.size, args.pixels, args.counted)
    except (ImportError, AttributeError, subprocess.CalledProcessError) as err:
        return {"error": f"{type(err).__name__}: {err}"}
    return measured(peer, args)


def goals_met(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return which of our supernets meets which goal, by clock."""
    found: dict[str, dict[str, Any]] = {}
    for name, one in results.items():
        if name == PEER:
            continue
        exact = one["equal_to_real_count"]
        found[name] = {"exact": exact["equal"] == exact["subnets"]}
        for clock in _CLOCKS:
            step = one["step"][clock]["step_over_plain"]["median"]
            found[name][clock] = {
                "checks_per_s": one["checks_per_s"][clock] >= GOALS["checks_per_s"],
                "select_ms": one["select_ms"][clock] <= GOALS["select_ms"],
                "step_over_plain": step <= GOALS["step_over_plain"],
            }
    return found


def table_of(results: dict[str, dict[str, Any]]) -> Table:
    """Return the results by the processor's clock, a row for each supernet."""
    table = Table(
        title="processor time, one thread; ratios within turns with quartiles"
    )
    table.add_column("supernet")
    for name in ("equal to a real count", "checks / s", "select, ms", "step, ms"):
        table.add_column(name, justify="right")
    table.add_column("step / plain", justify="right")
    table.add_column("plain / plain", justify="right")
    for name, found in results.items():
        if "error" in found:
            table.add_row(name, found["error"][:60])
            continue
        step, exact = found["step"]["cpu"], found["equal_to_real_count"]
        table.add_row(
            name,
            f"{exact['equal']} of {exact['subnets']}",
            f"{found['checks_per_s']['cpu']:,}",
            f"{found['select_ms']['cpu']:.3f}",
            f"{step['median_ms']['supernet']:.0f}",
            _ratio_text(step["step_over_plain"]),
            _ratio_text(step["plain_again_over_plain"]),
        )
    return table


def _ratio_text(found: dict[str, Any]) -> str:
    first, third = found["quartiles"]
    return f"{found['median']:.3f} [{first:.3f}, {third:.3f}]"


def parse_args() -> argparse.Namespace:
    """Return the parsed command line, with the sizes filled in."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = {
        "size": (8, "images in a batch"),
        "pixels": (64, "their height and width in training"),
        "counted": (224, "height and width for which costs are counted"),
        "exact": (50, "Subnets whose cost is counted for real"),
        "calls": (500, "Subnets checked and selected in a round"),
        "subnets": (8, "Subnets that are trained"),
        "turns": (10, "steps of each of them"),
    }
    for name, (default, text) in numbers.items():
        parser.add_argument(
            f"--{name}", type=int, default=default, help=f"{text}; default: {default}"
        )
    parser.add_argument("--full", action="store_true", help="at least 30 turns")
    parser.add_argument(
        "--supernets", nargs="*", choices=BACKBONES, default=list(BACKBONES)
    )
    parser.add_argument("--no-peer", action="store_true", help="ours alone")
    parser.add_argument(
        "--peer",
        type=Path,
        default=Path("work_dirs/nas_cost/packages"),
        help="where Once-for-All is, or will be installed",
    )
    args = parser.parse_args()
    args.turns = max(args.turns, 30) if args.full else args.turns
    args.peer = args.peer.resolve()
    return args


def main() -> int:
    """Run the benchmark; return the exit code."""
    args = parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    MMLogger.get_instance("nas_cost", log_level="ERROR")
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)
    results = {}
    for name in args.supernets:
        with console.status(name):
            side = Ours(name, args.size, args.pixels, args.counted)
            results[name] = measured(side, args)
    if not args.no_peer:
        with console.status(PEER):
            results[PEER] = peer_measured(args)
    console.print(table_of(results))
    met = goals_met(results)
    sizes = ("size", "pixels", "counted", "calls", "subnets", "turns")
    write_json(
        {
            "benchmark": "nas_cost",
            **{name: getattr(args, name) for name in sizes},
            "goals": GOALS,
            "met": met,
            "supernets": results,
        }
    )
    return int(not all(one["exact"] for one in met.values()))


if __name__ == "__main__":
    sys.exit(main())
