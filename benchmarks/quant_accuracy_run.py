"""One run of ``quant_accuracy.py``, in a process of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accuracy_runs import folder_of, once, run_once
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from prune_accuracy_configs import METRIC, Run, run_config
from prune_accuracy_run import run_images
from quant_accuracy_configs import VARIANTS, Plan, train_config
from quant_equality import compared
from torch import Tensor, nn

import mmrazor

#: Runs of the float network, which ``prune_accuracy.py`` has too.
FLOAT = ("dense", "control")


def run_quantized(
    plan: Plan, packed: Path, floats: Path, work_dir: Path
) -> Callable[[Run, str | None], dict[str, Any]]:
    """Return what trains or quantizes, and measures, a run.

    Args:
        plan: Sizes.
        packed: Folder of the packed images.
        floats: Folder of the runs of float networks.
        work_dir: Folder of all others.
    """
    return partial(_run, plan, packed, floats, work_dir)


def _run(
    plan: Plan, packed: Path, floats: Path, work_dir: Path, run: Run, dense: str | None
) -> dict[str, Any]:
    if run.method in FLOAT:
        return run_images(plan.nets, packed, floats)(run, dense)
    assert dense is not None
    if VARIANTS[run.method].hooks is not None:
        return _trained(plan, packed, work_dir, run, dense)
    return _after_training(plan, packed, work_dir, run, dense)


def _trained(
    plan: Plan, packed: Path, work_dir: Path, run: Run, dense: str
) -> dict[str, Any]:
    cfg = train_config(run, plan, packed, dense)
    folder = folder_of(work_dir, f"{run.name}_{run.seed}", cfg)

    def measure(runner: Runner) -> dict[str, Any]:
        if not VARIANTS[run.method].runtime:
            return {}
        model = runner.model.cpu().eval()
        model.quantizer.fold_(model.architecture)  # as an export does
        return {"runtime": compared(model, loader_of(cfg, "val"))}

    result = run_once(cfg, folder, run.seed, METRIC, measure)
    return {"score": result.pop(METRIC.rpartition("/")[2]), **result}


def _after_training(
    plan: Plan, packed: Path, work_dir: Path, run: Run, dense: str
) -> dict[str, Any]:
    variant = VARIANTS[run.method]
    cfg = run_config(Run(run.seed, run.network, "dense"), plan.nets, packed)
    methods = [dict(one) for one in variant.methods(plan)]
    said = dict(
        quantizer=dict(variant.quantizer),
        methods=methods,
        images=plan.images,
        dense=dense,
        test_images=plan.nets.test_images,
    )
    folder = folder_of(work_dir, f"{run.name}_{run.seed}", Config(said))
    folder.mkdir(parents=True, exist_ok=True)

    def made() -> dict[str, Any]:
        model = mmrazor.build_architecture(cfg, checkpoint=dense).eval()
        batches = calibration(cfg, plan.images, run.seed)
        quant = mmrazor.quantize(model, batches, methods=methods, **variant.quantizer)
        test = loader_of(cfg, "val")
        if not variant.runtime:
            return {"score": top1(quant.model, test)}
        found = compared(quant.model, test)
        return {"score": found["torch"], "runtime": found}

    return once(folder / "result.json", made)


def calibration(cfg: Config, images: int, seed: int, batch_size: int = 64) -> list[Any]:
    """Return batches of training images drawn by a seed, as they are in a test.

    Args:
        cfg: Of the float network.
        images: How many.
        seed: Draws them.
        batch_size: Images of a batch.
    """
    spec = cfg.train_dataloader.to_dict()
    spec["dataset"]["augment"] = False
    spec["sampler"] = dict(type="DefaultSampler", shuffle=True)
    spec["batch_size"] = min(batch_size, images)
    loader = _loader(cfg, spec, seed)
    return list(itertools.islice(loader, images // spec["batch_size"]))


def loader_of(cfg: Config, split: str) -> Any:
    """Return a loader of a config."""
    return _loader(cfg, cfg[f"{split}_dataloader"].to_dict())


@torch.no_grad()
def top1(model: nn.Module, loader: Any) -> float:
    """Return the accuracy of a classifier of mmengine, in percent."""
    right: list[Tensor] = []
    for batch in loader:
        samples = model.test_step(batch)
        right += [sample.pred_label == sample.gt_label for sample in samples]
    return round(100 * float(torch.cat(right).float().mean()), 4)


def _loader(cfg: Config, spec: dict[str, Any], seed: int | None = None) -> Any:
    spec = dict(spec, num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return Runner.build_dataloader(spec, seed=seed)
