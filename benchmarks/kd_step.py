"""What one distillation step costs over the work that it cannot avoid.

ResNet-34 teaches ResNet-18 (mmpretrain, random weights), with two feature hints. The
floor is the student's forward, backward and optimizer step plus the teacher's whole
forward pass without gradients, both run by hand. All sides take turns, one step each,
and medians of the ratios within each turn are given: other load on the machine meets
all sides alike. On a busy machine look at the processor's time, which other load
disturbs less. Memory is the peak of a fresh process for each side.

    python benchmarks/kd_step.py            # CPU, one thread
    python benchmarks/kd_step.py --full     # GPU if there is one: 224 pixels, batch 64
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from kd_models import (
    HINTS,
    batch,
    checkpoint_megabytes,
    distill,
    network,
    optimizer,
    peak_megabytes,
    run_for_memory,
)
from mmengine.logging import MMLogger
from report import write_json
from rich.console import Console
from rich.progress import track

from mmrazor import build_architecture
from mmrazor.models.algorithms import SingleTeacherDistill

GOALS = {"kd_over_floor": 1.03, "cached_over_floor": 0.70}


class Sides:
    """The steps that are compared, each on a student of its own.

    Args:
        size: Images in the batch.
        pixels: Their height and width.
        device: Where all of it runs.
    """

    def __init__(self, size: int, pixels: int, device: str) -> None:
        self.data = batch(size, pixels)
        self.device = device
        self.student = build_architecture(network(18)).to(device).train()
        self.teacher = build_architecture(network(34)).to(device).eval()
        self.teacher.requires_grad_(False)
        self.early = distill(hints=HINTS[:1]).to(device)
        self.kd = distill().to(device).train()
        self.cached = distill(cache=True).to(device).train()
        self.optimizers = {
            id(m): optimizer(m) for m in (self.student, self.kd, self.cached)
        }

    def steps(self) -> dict[str, Callable[[], object]]:
        """Return the sides by name."""
        return {
            "floor": self.floor,
            "kd": lambda: self.step(self.kd),
            "cached": lambda: self.step(self.cached),
            "student": lambda: self.step(self.student),
            "teacher_whole": self.teacher_whole,
            "teacher_to_layer3": lambda: self.teacher_part(self.kd),
            "teacher_to_layer2": lambda: self.teacher_part(self.early),
        }

    def step(self, model: Any) -> object:
        """Train one step, as a runner does."""
        return model.train_step(self.data, self.optimizers[id(model)])

    def floor(self) -> object:
        """Run the whole teacher and train the student, on images prepared once."""
        wrapper = self.optimizers[id(self.student)]
        data = self.student.data_preprocessor(self.data, True)
        with torch.no_grad():
            self.teacher(**data, mode="tensor")
        with wrapper.optim_context(self.student):
            losses = self.student(**data, mode="loss")
        loss, logged = self.student.parse_losses(losses)
        wrapper.update_params(loss)
        return logged

    def teacher_whole(self) -> object:
        """Run the teacher to its end."""
        data = self.student.data_preprocessor(self.data, False)
        with torch.no_grad():
            return self.teacher(**data, mode="tensor")

    def teacher_part(self, model: SingleTeacherDistill) -> object:
        """Run a teacher as far as its last recorded value."""
        data = self.student.data_preprocessor(self.data, False)
        assert model.teacher is not None
        return model.teacher.values(**data)

    def seconds(self, step: Callable[[], object]) -> tuple[float, float]:
        """Return the time of one call, by the wall's clock and by the processor's."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        wall, busy = time.perf_counter(), time.process_time()
        step()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - wall, time.process_time() - busy


def time_sides(sides: Sides, turns: int) -> dict[str, Any]:
    """Return medians of times and of the ratios within each turn."""
    steps = sides.steps()
    for _ in range(2):  # the first pass learns, the second fills the caches
        for step in steps.values():
            step()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    names = list(steps)
    for turn in track(range(turns), "timing", console=Console(stderr=True)):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(sides.seconds(steps[name]))
    found: dict[str, Any] = {}
    for number, clock in enumerate(("wall", "cpu")):
        one = {name: [pair[number] for pair in pairs] for name, pairs in times.items()}
        found[clock] = {
            "median_ms": {k: _ms(statistics.median(t)) for k, t in one.items()},
            "fastest_ms": {k: _ms(min(t)) for k, t in one.items()},
            "kd_over_floor": ratio(one, "kd", "floor"),
            "cached_over_floor": ratio(one, "cached", "floor"),
            "teacher_to_layer3_over_whole": ratio(
                one, "teacher_to_layer3", "teacher_whole"
            ),
            "teacher_to_layer2_over_whole": ratio(
                one, "teacher_to_layer2", "teacher_whole"
            ),
        }
    return found


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 2)


def ratio(times: dict[str, list[float]], above: str, below: str) -> dict[str, Any]:
    """Return the median ratio with its quartiles, and the ratio of the fastest."""
    each = [a / b for a, b in zip(times[above], times[below], strict=True)]
    first, middle, third = statistics.quantiles(each, n=4)
    return {
        "median": round(middle, 4),
        "quartiles": [round(first, 4), round(third, 4)],
        "of_fastest": round(min(times[above]) / min(times[below]), 4),
    }


def parse_args() -> argparse.Namespace:
    """Return the parsed command line, with the sizes filled in."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=15, help="default: 15")
    parser.add_argument("--size", type=int, help="images in a batch; default: 16")
    parser.add_argument("--pixels", type=int, help="their height; default: 64")
    parser.add_argument("--device", help="default: cpu")
    parser.add_argument("--full", action="store_true", help="224 pixels, batch 64, GPU")
    parser.add_argument(
        "--memory-of",
        choices=("student", "floor", "kd"),
        help="run one side alone and write its peak memory in MB",
    )
    args = parser.parse_args()
    args.size = args.size or (64 if args.full else 16)
    args.pixels = args.pixels or (224 if args.full else 64)
    gpu = args.full and torch.cuda.is_available()
    args.device = args.device or ("cuda" if gpu else "cpu")
    return args


def main() -> int:
    """Run the benchmark; return the exit code."""
    args = parse_args()
    torch.set_num_threads(1)
    MMLogger.get_instance("kd_step", log_level="ERROR")
    if args.memory_of:
        sys.stdout.write(f"{run_for_memory(args.memory_of, args):.1f}\n")
        return 0
    memory = {side: peak_megabytes(side, args) for side in ("student", "floor", "kd")}
    sides = Sides(args.size, args.pixels, args.device)
    found = {
        "benchmark": "kd_step",
        "batch": [args.size, 3, args.pixels, args.pixels],
        "device": args.device,
        "turns": args.turns,
        "hints": HINTS,
        **time_sides(sides, args.turns),
        "peak_memory_mb": memory,
        "checkpoint_mb": checkpoint_megabytes(),
        "goals": GOALS,
    }
    found["met"] = {
        clock: {k: found[clock][k]["median"] <= goal for k, goal in GOALS.items()}
        for clock in ("wall", "cpu")
    }
    write_json(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
