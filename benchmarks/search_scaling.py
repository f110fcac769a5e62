"""How a search scales: two processes, what the framework takes, and workers that die.

A real supernet is searched by evolution, by what ``tools/search.py`` calls:

- by one and by two processes (torchrun, gloo), one thread each, in turns: the same
  candidates and the same result, and how much faster; and twice by one process at the
  same time, which tells what two cores of this machine give at most;
- what a search takes beside the evaluations, in one process;
- by two workers that share an Optuna storage, one of them killed (SIGKILL) within an
  evaluation: nothing is lost, and nothing evaluated twice but what it held.

It needs two cores with nothing else on them; ``load_1min`` and the processor's clock
tell how far that was so. Unless ``--checkpoint`` is given, the supernet is trained for
one epoch.

    python tools/prepare_data.py fashion_mnist
    python benchmarks/search_scaling.py
    python benchmarks/search_scaling.py --full      # 200 candidates, 5 turns
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from report import write_json
from rich.console import Console
from search_scaling_report import GOALS, framework_share, scaling, table_of
from search_scaling_shared import shared_search

from mmrazor.apis.finetune_config import write_config
from mmrazor.apis.train import train

ROOT = Path(__file__).resolve().parents[1]
SPOS = ROOT / "configs" / "nas" / "mmcls" / "spos"
CONFIG = SPOS / "spos_r18_search_1xb128-20e_fashion_mnist.py"
WORKER = Path(__file__).with_name("search_scaling_worker.py")


def start(
    cfg: Config, folder: Path, *, checkpoint: Path, ranks: int = 1
) -> subprocess.Popen[bytes]:
    """Start a search in an empty folder; one process for each rank."""
    shutil.rmtree(folder, ignore_errors=True)
    config = write_config(folder / "config.py", cfg, "A search that is measured.")
    spec = {
        "config": str(config),
        "checkpoint": str(checkpoint),
        "work_dir": str(folder),
        "launcher": "none" if ranks == 1 else "pytorch",
    }
    file = folder / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    several = [] if ranks == 1 else [*torchrun, f"--nproc_per_node={ranks}"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *several, str(WORKER), str(file)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def one_search(cfg: Config, folder: Path, checkpoint: Path, ranks: int) -> dict:
    """Run a search to its end; return its outcome."""
    begin = time.perf_counter()
    finish(start(cfg, folder, checkpoint=checkpoint, ranks=ranks), folder)
    return outcome(folder, ranks, time.perf_counter() - begin)


def side_by_side(cfg: Config, folder: Path, checkpoint: Path) -> list[dict]:
    """Run two searches by one process each at the same time; return both."""
    folders = [folder / name for name in ("first", "second")]
    running = [start(cfg, one, checkpoint=checkpoint) for one in folders]
    for process, one in zip(running, folders, strict=True):
        finish(process, one)
    return [outcome(one, 1) for one in folders]


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a search to end.

    Raises:
        RuntimeError: If it fails.
    """
    try:
        code = process.wait()
    finally:
        process.kill()
    if code:
        end = (folder / "output.txt").read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"The search in {folder.name} ended with {code}: {end}")


def outcome(folder: Path, ranks: int, seconds: float = 0.0) -> dict:
    """Return what every rank of a search says of it, and what it evaluated."""
    files = [folder / f"times.{rank}.json" for rank in range(ranks)]
    by_rank = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {"ranks": by_rank, "rows": rows(folder / "search.csv"), "whole_s": seconds}


def rows(table: Path) -> list[dict[str, str]]:
    """Return the lines of ``search.csv`` without what is timed."""
    with table.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


def searched_config(args: argparse.Namespace) -> Config:
    """Return the search, with its data where they are."""
    cfg = Config.fromfile(str(args.config))
    for split in ("train", "val", "test"):
        dataset = cfg.get(f"{split}_dataloader", {}).get("dataset", {})
        if args.data_root is not None:
            folder = args.data_root / Path(dataset.data_root).name
            dataset.data_root = str(folder.resolve())
    half = args.population // 2
    cfg.search.searcher = dict(
        type="EvolutionSearcher",
        population=args.population,
        generations=args.generations,
        top_k=min(10, args.population),
        mutation=half,
        crossover=half,
    )
    cfg.log_level = "WARNING"
    return cfg


def trained(cfg: Config, folder: Path) -> Path:
    """Return the supernet after one epoch; it is kept and not trained again."""
    short = Config(cfg.to_dict(), filename=cfg.filename)
    short.pop("search")
    short.train_cfg.max_epochs = 1
    if not (folder / "epoch_1.pth").is_file():
        with redirect_stdout(sys.stderr):
            train(short, work_dir=folder)
    return folder / "epoch_1.pth"


def parse_args() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help="of a search")
    parser.add_argument("--checkpoint", type=Path, help="of its supernet")
    parser.add_argument(
        "--data-root", type=Path, help="of all data sets; default: as the config says"
    )
    numbers = {
        "population": (12, "candidates of a generation, an even number"),
        "generations": (5, "of the evolution"),
        "turns": (3, "searches by one and by two processes"),
        "shared": (16, "candidates of the two workers"),
        "kill-after": (4, "evaluations that the first of them begins"),
    }
    for name, (default, text) in numbers.items():
        parser.add_argument(
            f"--{name}", type=int, default=default, help=f"{text}; default: {default}"
        )
    parser.add_argument("--full", action="store_true", help="20 x 10 candidates")
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs") / "search_scaling"
    )
    args = parser.parse_args()
    if args.full:
        args.population, args.generations, args.turns = 20, 10, 5
    args.work_dir = args.work_dir.resolve()
    return args


def main() -> int:
    """Run the benchmark; return the exit code."""
    args = parse_args()
    torch.set_num_threads(1)
    cfg = searched_config(args)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 110)
    checkpoint = args.checkpoint or trained(cfg, args.work_dir / "supernet")
    checkpoint = checkpoint.resolve()
    turns = []
    for turn in range(args.turns):
        console.print(f"turn {turn + 1} of {args.turns}, load {os.getloadavg()[0]:.1f}")
        sides = [
            one_search(cfg, args.work_dir / f"by{ranks}", checkpoint, ranks)
            for ranks in (1, 2)
        ]
        pair = side_by_side(cfg, args.work_dir / "pair", checkpoint)
        turns.append((sides[0], sides[1], pair))
    worker = partial(start, checkpoint=checkpoint)
    shared = shared_search(
        cfg, worker, args.work_dir / "shared", args.shared, args.kill_after
    )
    result = {
        "processes": scaling(turns),
        "framework": framework_share([one for one, _, _ in turns]),
        "shared": shared,
    }
    console.print(table_of(result))
    write_json({"benchmark": "search_scaling", "goals": GOALS, **result})
    pair = result["processes"]
    same = pair["same_candidates_and_scores"] and pair["same_result"]
    return int(not same or shared["lost"] + shared["twice"] > 0)


if __name__ == "__main__":
    sys.exit(main())
