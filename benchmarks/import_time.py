"""What ``import mmrazor`` costs beyond ``import torch, mmengine``.

Fresh processes, the two sides in turn, medians of the time that the imports themselves
take. Run it when the machine is idle; ``load_1min`` of the result tells.

    python benchmarks/import_time.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from itertools import cycle, islice

from report import write_json

GOAL_S = 0.15
_BASE = "import torch, mmengine"
_CODE = (
    "import sys, time; wall, cpu = time.perf_counter(), time.process_time(); "
    "{imports}; "
    "wall, cpu = time.perf_counter() - wall, time.process_time() - cpu; "
    "sys.stdout.write(f'{{wall}} {{cpu}}')"
)


def import_seconds(imports: str) -> tuple[float, float]:
    """Return what imports take in a fresh process, by wall and processor clock."""
    command = [sys.executable, "-c", _CODE.format(imports=imports)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, cpu = done.stdout.split()[-2:]
    return float(wall), float(cpu)


def measure(repeats: int) -> dict[str, object]:
    """Return medians of both sides and of the difference within each pair."""
    sides = {"base": _BASE, "with_mmrazor": f"{_BASE}, mmrazor"}
    for imports in sides.values():  # reads the files, writes the byte code
        import_seconds(imports)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    # A B B A ...: neither side always comes first.
    order = cycle((tuple(sides), tuple(reversed(sides))))
    for names in islice(order, repeats):
        for name in names:
            times[name].append(import_seconds(sides[name]))
    found: dict[str, object] = {"benchmark": "import_time", "repeats": repeats}
    for number, clock in enumerate(("wall", "cpu")):
        one = {name: [pair[number] for pair in pairs] for name, pairs in times.items()}
        found[clock] = compared(one["base"], one["with_mmrazor"])
    return {**found, "goal_s": GOAL_S}


def compared(base: list[float], ours: list[float]) -> dict[str, object]:
    """Return the medians of two sides and of what the second takes beyond."""
    extra = [b - a for a, b in zip(base, ours, strict=True)]
    beyond = statistics.median(extra)
    return {
        "base_s": round(statistics.median(base), 4),
        "with_mmrazor_s": round(statistics.median(ours), 4),
        "beyond_s": round(beyond, 4),
        "beyond_quartiles_s": _quartiles(extra),
        "beyond_of_fastest_s": round(min(ours) - min(base), 4),
        "met": beyond <= GOAL_S,
    }


def _quartiles(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [round(value, 4) for value in values]
    first, _, third = statistics.quantiles(values, n=4)
    return [round(first, 4), round(third, 4)]


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="default: 15")
    parser.add_argument(
        "--full", action="store_true", help="at least 51 repeats, for a quiet machine"
    )
    args = parser.parse_args()
    write_json(measure(max(args.repeats, 51) if args.full else args.repeats))
    return 0


if __name__ == "__main__":
    sys.exit(main())
