"""How many models are pruned to half their MACs without a hint.

Fifteen models of torchvision, one of each of many families of timm (where it is
installed) and one config of every model family that mmpretrain, mmdet and mmseg ship
(see ``coverage_models.py`` for which), weights random. Each is
built, run in its host, traced, pruned, verified, saved, reloaded and differentiated in
a process of its own, with limits on size, memory and time. Every finished model is
written down at once; a second call goes on where the first one ended. (A script named
``coverage.py`` would hide the package of that name from numba, which mmdet imports.)

    python benchmarks/model_coverage.py               # all of it, then the page
    python benchmarks/model_coverage.py --host mmdet --only 'yolo*'
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from coverage_models import HOSTS, CoverageModel, coverage_models
from coverage_report import page, summary
from coverage_worker import Limits, work
from report import machine, write_json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

_ROOT = Path(__file__).resolve().parents[1]
_PAGE = _ROOT / "docs" / "en" / "coverage.md"
_TICK_S = 0.5
_START = "start"


@dataclass
class Job:
    """One model that is being worked on.

    Args:
        model: Which one.
        process: Does the work.
        pipe: Brings its messages.
        record: What is known so far.
    """

    model: CoverageModel
    process: BaseProcess
    pipe: Connection
    record: dict[str, Any]
    start: float = field(default_factory=time.perf_counter)
    stage: str = _START

    def read(self) -> bool:
        """Take what the process has sent; tell whether it goes on."""
        try:
            while self.pipe.poll():
                kind, value = self.pipe.recv()
                if kind == "begin":
                    self.stage = value
                elif kind == "fields":
                    self.record.update(value)
                else:
                    self.record["stages"][value[0]] = value[1]
        except EOFError:
            return False
        return True

    def end(self, cause: str | None) -> dict[str, Any]:
        """Return the record of a process that ended, or is ended for a cause."""
        if cause:
            self.process.kill()
        self.process.join()
        self.read()
        code = self.process.exitcode
        if cause is None and code:
            cause = f"the process ended with code {code}"
        seconds = time.perf_counter() - self.start
        if cause and self.stage == _START:
            raise RuntimeError(
                f"The process for '{self.model.name}' did not begin: {cause}. What "
                "it wrote above, or its file under logs, says more."
            )
        if cause:
            self.record["stages"].setdefault(self.stage, {})["error"] = cause
        return {**self.record, "seconds": round(seconds, 1)}


def run_all(
    models: Sequence[CoverageModel], limits: Limits, args: argparse.Namespace
) -> None:
    """Work on the models, some at a time; append each record to the results."""
    # One process imports the hosts once; the others are its forks.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    context = get_context("forkserver")
    context.set_forkserver_preload(["coverage_preload"])
    waiting, running = list(models), list[Job]()
    logs = args.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    columns = ("[progress.description]{task.description}", BarColumn())
    with Progress(
        *columns,
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        bar = progress.add_task("", total=len(waiting))
        while waiting or running:
            while waiting and len(running) < args.jobs:
                running.append(_start(waiting.pop(0), limits, logs, args, context))
            progress.update(bar, description=_description(running))
            wait([job.pipe for job in running], timeout=_TICK_S)
            for job in list(running):
                late = time.perf_counter() - job.start > limits.seconds
                if job.read() and not late:
                    continue
                cause = f"took longer than {limits.seconds:.0f} s" if late else None
                _append(args.out / "results.jsonl", job.end(cause))
                running.remove(job)
                progress.advance(bar)


def _start(
    model: CoverageModel,
    limits: Limits,
    logs: Path,
    args: argparse.Namespace,
    context: Any,
) -> Job:
    ours, theirs = context.Pipe(duplex=False)
    log = str(logs / f"{model.name.replace('/', '-')}.txt")
    process = context.Process(
        target=work, args=(model, limits, log, not args.no_prune, theirs)
    )
    process.start()
    theirs.close()
    record = {"name": model.name, "host": model.host, "family": model.family}
    return Job(model, process, ours, {**record, "stages": {}})


def _description(running: Sequence[Job]) -> str:
    return ", ".join(f"{job.model.name}: {job.stage}" for job in running)


def _append(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last record of every model by its name."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def parse_args() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", choices=HOSTS, action="append", help="default: all")
    parser.add_argument("--only", metavar="PATTERN", help="families, as in 'yolo*'")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time")
    parser.add_argument("--out", type=Path, default=_ROOT / "work_dirs" / "coverage")
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="leave out what the results hold already",
    )
    parser.add_argument("--no-prune", action="store_true", help="end at the forward")
    parser.add_argument("--list", action="store_true", help="name the configs, no more")
    limits = Limits()
    for name, unit in (
        ("params", "millions"),
        ("macs", "billions"),
        ("memory", "GiB"),
        ("seconds", "for one model"),
    ):
        parser.add_argument(
            f"--max-{name}", type=float, default=getattr(limits, name), help=unit
        )
    return parser.parse_args()


def main() -> int:
    """Run the benchmark; return the exit code."""
    args = parse_args()
    models = coverage_models(args.host or HOSTS)
    if args.only:
        models = [model for model in models if fnmatch(model.family, args.only)]
    if args.list:
        lines = (f"{m.name}: {m.configs[0] if m.configs else m.family}" for m in models)
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    done = read_results(args.out / "results.jsonl") if args.resume else {}
    limits = Limits(args.max_params, args.max_macs, args.max_memory, args.max_seconds)
    run_all([model for model in models if model.name not in done], limits, args)
    found = read_results(args.out / "results.jsonl")
    records = [found[model.name] for model in models]
    text = page(records, str(limits), machine())
    (args.out / "coverage.md").write_text(text, encoding="utf-8")
    if len(models) == len(coverage_models()) and not args.no_prune:
        _PAGE.write_text(text, encoding="utf-8")
    write_json({"benchmark": "model_coverage", **summary(records)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
