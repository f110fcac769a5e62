"""Times one model; a process of its own, since the other side may never end.

python benchmarks/prune_peer_worker.py resnet18 --peer work_dirs/peers
python benchmarks/prune_peer_worker.py resnet18 --peer work_dirs/peers --probe 60
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from prune_peer_kept import kept_compared
from prune_peer_models import PLAIN, Subject, subject
from prune_peer_side import Peer, run_without_gradients
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import mmrazor
from mmrazor.core.cost import count_cost
from mmrazor.core.graph import channel_graph, slim
from mmrazor.core.graph.trace import trace
from mmrazor.models.pruners import L2Importance, kept_units
from mmrazor.models.pruners.pruner import cost_table

Times = dict[str, list[tuple[float, float]]]
HALF = 0.5


class Empty(TorchDispatchMode):
    """Sees every operation and does nothing: no eager trace takes less."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


def seen_forward(case: Subject) -> None:
    """Run the forward pass with every operation passed to Python."""
    with Empty():
        run_without_gradients(case.model, case.inputs)


def prune(case: Subject) -> Any:
    """Prune as a user does, the check of the result and its costs included."""
    return mmrazor.prune(
        case.model,
        case.inputs,
        budget={"macs": HALF},
        importance="L2Importance",
        ranking="local",
    )


def prune_unchecked(case: Subject) -> nn.Module:
    """Prune without the check: what the other side does."""
    graph = channel_graph(case.model, case.inputs)
    importance = L2Importance()
    scores = {group.name: importance(group) for group in graph.groups}
    table = cost_table(graph)
    kept = kept_units(scores, table, {"macs": HALF}, ranking="local")
    return slim(case.model, graph.cuts(kept))


def seconds(step: Callable[[], object]) -> tuple[float, float]:
    """Return the time of one call by the wall's and the processor's clock."""
    gc.collect()
    wall, busy = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - busy


def timed(sides: dict[str, Callable[[], Callable[[], object]]], turns: int) -> Times:
    """Time the sides in turns.

    Args:
        sides: Each makes what it needs, untimed, and returns the step to time.
        turns: How often each.
    """
    for prepare in sides.values():
        prepare()()
    times: Times = {name: [] for name in sides}
    names = list(sides)
    for turn in range(turns):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(seconds(sides[name]()))
    return times


def medians_ms(times: Times) -> dict[str, dict[str, float]]:
    """Return the median time of each side by clock."""
    return {
        clock: {
            name: round(1e3 * statistics.median(t[place] for t in pairs), 2)
            for name, pairs in times.items()
        }
        for place, clock in enumerate(("wall", "cpu"))
    }


def ratio(times: Times, above: str, below: str) -> dict[str, float]:
    """Return the median of the ratios within each turn by clock."""
    pairs = list(zip(times[above], times[below], strict=True))
    return {
        clock: round(statistics.median(a[place] / b[place] for a, b in pairs), 3)
        for place, clock in enumerate(("wall", "cpu"))
    }


def measure(case: Subject, peer: Peer | None, turns: int) -> dict[str, Any]:
    """Return times, ratios and costs of both sides for one model."""
    found: dict[str, Any] = {"model": case.name, "pixels": case.pixels}
    pruned = prune(case)
    sides: dict[str, Callable[[], Callable[[], object]]] = {
        "forward": lambda: lambda: run_without_gradients(case.model, case.inputs),
        "seen_forward": lambda: lambda: seen_forward(case),
        "trace": lambda: lambda: trace(case.model, case.inputs),
        "ours": lambda: lambda: prune(case),
        "ours_unchecked": lambda: lambda: prune_unchecked(case),
    }
    macs = {"dense": pruned.dense_cost.macs, "ours": pruned.cost.macs}
    smaller = {"dense": case.model, "ours": pruned.model}
    if peer is not None:
        share = peer.share_for(HALF * pruned.dense_cost.macs)

        def peer_step() -> Callable[[], object]:
            copy = peer.copy()
            return lambda: peer.prune(copy, share)

        sides["peer"] = peer_step
        smaller["peer"] = peer.prune(peer.copy(), share)
        macs["peer"] = count_cost(smaller["peer"], case.inputs).macs
        found["peer_share"] = round(share, 4)
        if case.name in PLAIN:
            found["kept"] = kept_compared(case, peer)
    times = timed(sides, turns)
    found["macs"] = macs
    found["max_difference"] = pruned.max_difference
    found["median_ms"] = medians_ms(times)
    found["ratios"] = {
        "seen_forward_over_forward": ratio(times, "seen_forward", "forward"),
        "trace_over_forward": ratio(times, "trace", "forward"),
        "ours_over_forward": ratio(times, "ours", "forward"),
    }
    if peer is not None:
        for name in ("ours", "ours_unchecked"):
            found["ratios"][f"{name}_over_peer"] = ratio(times, name, "peer")
    found["latency"] = latency(smaller, case, 4 * turns)
    return found


def latency(
    models: dict[str, nn.Module], case: Subject, turns: int
) -> dict[str, dict[str, Any]]:
    """Return how long the pruned models take, and over the dense one."""

    def prepared(model: nn.Module) -> Callable[[], Callable[[], object]]:
        return lambda: lambda: run_without_gradients(model, case.inputs)

    times = timed({name: prepared(model) for name, model in models.items()}, turns)
    over = {name: ratio(times, name, "dense") for name in models if name != "dense"}
    return {"median_ms": medians_ms(times), "over_dense": over}


def main() -> int:
    """Measure one model and write JSON; return the exit code."""
    parser = argparse.ArgumentParser(description="Times one model.")
    parser.add_argument("model")
    parser.add_argument("--peer", type=Path, help="its folder; none: ours alone")
    parser.add_argument(
        "--probe", type=int, help="run the peer, once, for at most so many seconds"
    )
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    MMLogger.get_instance("prune_vs_peer", log_level="ERROR")
    case = subject(args.model, args.pixels)
    peer = Peer(args.peer, case) if args.peer else None
    if args.probe:
        assert peer is not None, "--probe needs --peer"
        limit = math.ceil(time.process_time()) + args.probe
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        peer.probe()
        return 0
    found = measure(case, peer, args.turns)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
