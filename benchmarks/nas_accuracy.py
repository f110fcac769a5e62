"""Accuracy of a searched Subnet beside Subnets drawn by chance within one budget.

End to end on Fashion-MNIST by what the tools call: an SPOS supernet is trained and
searched by evolution under a budget of MACs, and the winner is trained from random
weights with the config that the search wrote, exported, and tested in ONNX Runtime too.
Subnets drawn within the budget are trained as the winner is, with fewer epochs all of
them, so the supernet's scores are held against stand-alone ones.

What is finished is kept in ``--work-dir`` and not repeated while its config is the
same; a stopped training goes on from its last epoch, a stopped search from its last
Subnet.

    python tools/prepare_data.py fashion_mnist
    python benchmarks/nas_accuracy.py            # CPU: the configs as they are
    python benchmarks/nas_accuracy.py --full     # GPU: all images, long schedules
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accuracy_runs import folder_of, once, run_once
from mmengine.config import Config
from mmengine.runner import Runner
from nas_accuracy_configs import (
    FULL,
    METRIC,
    QUICK,
    Plan,
    compared_config,
    drawn_config,
    search_config,
    subnet_of,
    supernet_config,
)
from nas_accuracy_onnx import exported
from nas_accuracy_report import compared, correlations, draw, tables
from report import write_json
from rich.console import Console

from mmrazor.apis.search import search
from mmrazor.apis.test import test
from mmrazor.core.space import Subnet

Result = dict[str, Any]


class Phases:
    """Run the parts of the benchmark and keep what each of them took.

    Args:
        plan: Sizes.
        data_root: Folder of the data sets.
        work_dir: Where all is kept.
    """

    def __init__(self, plan: Plan, data_root: Path, work_dir: Path) -> None:
        self.plan, self.data_root, self.work_dir = plan, data_root, work_dir
        self.times: dict[str, dict[str, float]] = {}
        self._console = Console(stderr=True)

    def train(self, phase: str, name: str, cfg: Config, seed: int = 0) -> Result:
        """Train and test a model."""
        folder = folder_of(self.work_dir, name, cfg)

        def tested(runner: Runner) -> Result:
            again = Config(cfg.to_dict(), filename=cfg.filename)
            again.experiment_name = f"{folder.name}_test"
            checkpoint = (folder / "last_checkpoint").read_text("utf-8").strip()
            score = test(again, checkpoint, work_dir=folder)[METRIC]
            return {"test": round(score, 4)}

        return self._noted(phase, name, run_once(cfg, folder, seed, measure=tested))

    def search(self, phase: str, cfg: Config, checkpoint: str, seed: int) -> Result:
        """Score Subnets of the supernet."""
        folder = folder_of(self.work_dir, phase, cfg)

        def searched() -> Result:
            info = search(cfg, checkpoint, work_dir=folder, resume=True, seed=seed)
            return {
                **{name: str(getattr(info, name)) for name in _FILES},
                **{name: getattr(info, name) for name in _COUNTS},
            }

        return self._noted(phase, phase, once(folder / "result.json", searched))

    def export(self, phase: str, cfg: Config, checkpoint: str) -> Result:
        """Export the winner, and test what was exported."""
        folder = Path(checkpoint).parent / "export"
        found = once(folder / "result.json", lambda: exported(cfg, checkpoint, folder))
        return self._noted(phase, phase, found)

    def _noted(self, phase: str, name: str, result: Result) -> Result:
        known = self.times.get(phase, {"seconds": 0.0, "cpu_seconds": 0.0})
        self.times[phase] = {key: round(known[key] + result[key], 1) for key in known}
        shown = {k: v for k, v in result.items() if not isinstance(v, str)}
        self._console.print(f"{name}: {shown}", soft_wrap=True)
        return result


_FILES = ("subnet", "table", "retrain")
_COUNTS = ("num_evaluations", "num_subnets", "num_failed", "evaluation_s")


def measured(plan: Plan, data_root: Path, work_dir: Path) -> Result:
    """Run everything and return all figures but the machine's."""
    phases = Phases(plan, data_root, work_dir)
    supernet = phases.train("supernet", "supernet", supernet_config(plan, data_root))
    weights = supernet["checkpoint"]
    found = phases.search("search", search_config(plan, data_root), weights, seed=0)
    # With the seed of the evolution these would be its first generation.
    chance = phases.search("drawn", drawn_config(plan, data_root), weights, seed=1)
    best = Subnet.load(found["subnet"])
    subnets = {"winner": (best, Path(found["subnet"]))}
    subnets |= drawn_subnets(Path(chance["table"]), best)
    cfg = Config.fromfile(found["retrain"])
    cfg.log_level = "WARNING"
    retrained = phases.train("retrain the winner", "retrained", cfg)
    export = phases.export("export", cfg, retrained["checkpoint"])

    def alone(name: str, path: Path, seed: int = 0) -> float:
        small = compared_config(found["retrain"], str(path), plan)
        phase = "compared trainings"
        return phases.train(phase, f"{name}_{seed}", small, seed)["test"]

    rows = [
        {
            "name": name,
            "macs": subnet.cost["macs"],
            "params": subnet.cost["params"],
            "supernet": subnet.score[METRIC],
            "standalone": alone(name, path),
        }
        for name, (subnet, path) in subnets.items()
    ]
    others = [alone("winner", subnets["winner"][1], s) for s in range(1, plan.seeds)]
    again = [rows[0]["standalone"], *others]
    return {
        "search": {name: found[name] for name in _COUNTS},
        "winner": {
            "cost": dict(best.cost),
            "supernet": best.score[METRIC],
            "retrained": retrained["test"],
        },
        "export": {k: v for k, v in export.items() if not k.endswith("seconds")},
        "comparison": compared(rows[0], again, rows[1:]),
        "correlation": {"all": correlations(rows), "drawn": correlations(rows[1:])},
        "subnets": rows,
        "phases": phases.times,
    }


def drawn_subnets(table: Path, winner: Subnet) -> dict[str, tuple[Subnet, Path]]:
    """Write a file for each Subnet of a search but the winner, and return them."""
    with table.open(encoding="utf-8", newline="") as file:
        found = [subnet_of(row, winner) for row in csv.DictReader(file)]
    kept = [subnet for subnet in found if subnet.choices != winner.choices]
    names = [f"drawn{number:02}" for number in range(len(kept))]
    folder = table.parent / "all"
    return {
        name: (subnet, subnet.dump(folder / f"{name}.yaml"))
        for name, subnet in zip(names, kept, strict=True)
    }


def plan_of(options: Mapping[str, Any], full: bool) -> Plan:
    """Return the sizes, with what the command line changes."""
    given = {name: value for name, value in options.items() if value is not None}
    return replace(FULL if full else QUICK, **given)


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in asdict(QUICK):
        text = f"default: {getattr(QUICK, name)}, {getattr(FULL, name)} with --full"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=text)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs") / "nas_accuracy"
    )
    parser.add_argument("--threads", type=int, default=1, help="on the CPU; default: 1")
    parser.add_argument(
        "--full", action="store_true", help="all images, long schedules; for a GPU"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plan = plan_of({name: getattr(args, name) for name in asdict(QUICK)}, args.full)
    result = measured(plan, args.data_root.resolve(), args.work_dir.resolve())
    picture = draw(args.work_dir / "nas_accuracy.png", result)
    console = Console(stderr=True)
    for table in tables(result):
        console.print(table)
    console.print(f"picture: {picture or 'none, matplotlib is not installed'}")
    write_json({"benchmark": "nas_accuracy", "plan": asdict(plan), **result})
    return int(result["export"]["differing"] != 0)


if __name__ == "__main__":
    sys.exit(main())
