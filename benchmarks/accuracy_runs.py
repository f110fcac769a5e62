"""What benchmarks of accuracy share: runs that are done once, and their summary."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmrazor.apis.train import train
from mmrazor.core.files import write_atomically

SOURCE = "output:head.fc"
KD = dict(
    kd=dict(
        type="KLDivergence", tau=4.0, loss_weight=1.0, student=SOURCE, teacher=SOURCE
    )
)


def optimisation(steps: int, lr: float) -> dict:
    """Return SGD, a warm-up over a tenth of the steps, and a cosine to zero."""
    warm = max(steps // 10, 1)
    sgd = dict(type="SGD", lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return dict(
        optim_wrapper=dict(optimizer=sgd),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, end=warm, by_epoch=False),
            dict(
                type="CosineAnnealingLR", begin=warm, T_max=steps - warm, by_epoch=False
            ),
        ],
    )


def folder_of(work_dir: Path, name: str, cfg: Config) -> Path:
    """Return the folder of a run: another config is another folder."""
    mark = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()[:8]
    return work_dir / f"{name}_{mark}"


def run_once(
    cfg: Config,
    folder: Path,
    seed: int,
    metric: str = "accuracy/top1",
    measure: Callable[[Runner], dict[str, Any]] = lambda runner: {},
) -> dict[str, Any]:
    """Train, unless it was done before; return the score and the time taken.

    Args:
        cfg: The run.
        folder: Its work folder; ``result.json`` in it says that it is done.
        seed: Of weights and order of data.
        metric: Of the last validation, kept by the last part of its name.
        measure: More to keep, of the Runner after training.
    """

    def trained() -> dict[str, Any]:
        cfg.experiment_name = f"{folder.parent.name}_{folder.name}"
        runner = train(cfg, work_dir=folder, seed=seed, resume="auto")
        score = last_score(runner, metric)
        checkpoint = (folder / "last_checkpoint").read_text(encoding="utf-8").strip()
        return {
            metric.rpartition("/")[2]: round(score, 4),
            **measure(runner),
            "checkpoint": checkpoint,
        }

    return once(folder / "result.json", trained)


def once(done: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do something, unless it was done before; return what came of it and the time.

    Args:
        done: Where the result is kept.
        make: Returns plain data; what it prints goes to the error stream.
    """
    if done.is_file():
        return json.loads(done.read_text(encoding="utf-8"))
    start, start_cpu = time.perf_counter(), time.process_time()
    with redirect_stdout(sys.stderr):
        made = make()
    result = {
        **made,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - start_cpu, 1),
    }
    write_atomically(done, lambda path: path.write_text(json.dumps(result)))
    return result


def last_score(runner: Runner, metric: str) -> float:
    """Return the last validation's metric; 0 if a detector has detected nothing.

    Raises:
        KeyError: If there are other metrics but not this one.
    """
    times = ("/time", "/data_time")
    scalars = runner.message_hub.log_scalars
    found = [n for n in scalars if n.startswith("val/") and not n.endswith(times)]
    # CocoMetric then returns no metric at all.
    return float(scalars[f"val/{metric}"].current()) if found else 0.0


def mean_and_spread(values: list[float]) -> dict[str, float | None]:
    """Return mean and sample standard deviation, which one value alone lacks."""
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": round(statistics.mean(values), 4),
        "std": None if spread is None else round(spread, 4),
    }
