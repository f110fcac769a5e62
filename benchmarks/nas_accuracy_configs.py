"""Configs of ``nas_accuracy.py``: those of SPOS on Fashion-MNIST, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmrazor.core.space import Subnet

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "nas" / "mmcls" / "spos"
METRIC = "accuracy/top1"
_REST = "1xb128-20e_fashion_mnist.py"


@dataclass(frozen=True)
class Plan:
    """Sizes of one way to run the benchmark.

    Args:
        images: Training images; 2000 others are kept aside for the search's scores.
        epochs: Of the supernet, and of the winner in the config that the search writes.
        population, generations: Of the evolution.
        drawn: Subnets drawn by chance within the budget.
        compared_epochs: Of the trainings that are compared: the winner's and those of
            the drawn Subnets, all alike.
        seeds: Trainings of the winner among them, which tell how far chance goes.
        workers: Loader processes.
    """

    images: int
    epochs: int
    population: int
    generations: int
    drawn: int
    compared_epochs: int
    seeds: int
    workers: int


#: The configs as they are; what is compared has half of their epochs.
QUICK = Plan(10_000, 20, 50, 20, drawn=20, compared_epochs=10, seeds=3, workers=0)
FULL = Plan(58_000, 120, 50, 20, drawn=50, compared_epochs=60, seeds=3, workers=8)


def supernet_config(plan: Plan, data_root: Path) -> Config:
    """Return what trains the supernet."""
    cfg = Config.fromfile(str(CONFIGS / f"spos_r18_supernet_{_REST}"))
    return _sized(cfg, plan, data_root)


def search_config(plan: Plan, data_root: Path) -> Config:
    """Return what searches the supernet, by evolution."""
    cfg = Config.fromfile(str(CONFIGS / f"spos_r18_search_{_REST}"))
    part = plan.population // 2
    numbers = dict(
        population=plan.population,
        generations=plan.generations,
        top_k=min(cfg.search.searcher.top_k, plan.population),
        mutation=part,
        crossover=part,
    )
    cfg.merge_from_dict({"search.searcher": numbers})
    return _sized(cfg, plan, data_root)


def drawn_config(plan: Plan, data_root: Path) -> Config:
    """Return what scores Subnets drawn by chance, all else as in the search."""
    cfg = search_config(plan, data_root)
    drawing = dict(_delete_=True, type="RandomSearcher", num_subnets=plan.drawn)
    cfg.merge_from_dict({"search.searcher": drawing})
    return cfg


def compared_config(retrain: str, subnet: str, plan: Plan) -> Config:
    """Return the config that the search wrote, with fewer epochs and another Subnet."""
    cfg = Config.fromfile(retrain)
    cfg.model.subnet = subnet
    _set_epochs_(cfg, plan.compared_epochs)
    return cfg


def subnet_of(row: dict[str, str], like: Subnet) -> Subnet:
    """Return the Subnet of a row of ``search.csv``, whose values are all texts."""
    cost = {name: int(row[name]) for name in like.cost}
    choices = {name: row[name] for name in like.choices}
    score = {METRIC: float(row[METRIC])}
    return Subnet(like.space, choices, cost=cost, score=score)


def _sized(cfg: Config, plan: Plan, data_root: Path) -> Config:
    changes: dict[str, Any] = {"train_dataloader.dataset.indices": plan.images}
    root = str(data_root / "fashion_mnist")
    for split in ("train", "val", "test"):
        changes[f"{split}_dataloader.dataset.data_root"] = root
        changes[f"{split}_dataloader.num_workers"] = plan.workers
        changes[f"{split}_dataloader.persistent_workers"] = plan.workers > 0
    cfg.merge_from_dict(changes)
    _set_epochs_(cfg, plan.epochs)
    cfg.log_level = "WARNING"
    return cfg


def _set_epochs_(cfg: Config, epochs: int) -> None:
    cfg.train_cfg.max_epochs = epochs
    cfg.train_cfg.val_interval = epochs  # the score at the end is all that is read
    cfg.param_scheduler.T_max = epochs
