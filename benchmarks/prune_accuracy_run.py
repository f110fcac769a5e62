"""One run of ``prune_accuracy.py``, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from accuracy_runs import folder_of, run_once
from mmengine.config import Config
from mmengine.runner import Runner
from prune_accuracy_configs import METRIC, SIZE, Plan, Run, run_config
from prune_accuracy_parts import PRUNED
from prune_accuracy_scenes import AP, scenes_config

from mmrazor import count_cost, example_inputs
from mmrazor.core.space import Subnet

Train = Callable[[Run, str | None], dict[str, Any]]


def run_images(plan: Plan, packed: Path, work_dir: Path) -> Train:
    """Return what trains and measures a run on CIFAR-10."""
    return partial(_on_images, plan, packed, work_dir)


def run_scenes(epochs: int, data_root: Path, work_dir: Path) -> Train:
    """Return what trains and measures a run on scenes."""
    return partial(_on_scenes, epochs, data_root, work_dir)


def _on_images(
    plan: Plan, packed: Path, work_dir: Path, run: Run, dense: str | None
) -> dict[str, Any]:
    cfg = run_config(run, plan, packed, dense)
    return _measured(cfg, work_dir, run, METRIC, SIZE)


def _on_scenes(
    epochs: int, data_root: Path, work_dir: Path, run: Run, dense: str | None
) -> dict[str, Any]:
    cfg = scenes_config(run, epochs, data_root, dense)
    return _measured(cfg, work_dir, run, AP, (160, 160))


def _measured(
    cfg: Config, work_dir: Path, run: Run, metric: str, size: tuple[int, int]
) -> dict[str, Any]:
    def measure(runner: Runner) -> dict[str, Any]:
        after = runner.message_hub.runtime_info.get(PRUNED)
        pruned = {} if after is None else {"pruned": round(after, 4)}
        return {**pruned, **_cost(runner, size)}

    folder = folder_of(work_dir, f"{run.name}_{run.seed}", cfg)
    result = run_once(cfg, folder, run.seed, metric, measure)
    return {"score": result.pop(metric.rpartition("/")[2]), **result}


def _cost(runner: Runner, size: tuple[int, int]) -> dict[str, float]:
    """Return the cost of what was trained, of its Subnet if it has one."""
    subnet = Path(runner.work_dir) / "subnet.yaml"
    if subnet.is_file():
        cost = Subnet.load(subnet).cost
        return {"macs": cost["macs"], "params": cost["params"]}
    model = getattr(runner.model, "architecture", runner.model).cpu()
    counted = count_cost(model, example_inputs(model, size))
    return {"macs": counted.macs, "params": counted.params}
