"""Search the supernet of a config, and write what is needed to train the best."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from rich.console import Console

from ..core.forward import unwrapped
from ..core.loops import SearchLoop
from ..core.loops.ranks import from_leader, rank
from ..core.loops.search_state import Evaluation, SearchState
from ..core.space import Subnet
from ..models.algorithms.nas.searchable import SearchableAlgorithm
from ..models.architectures import load_weights
from .commands import tool_command
from .finetune_config import check_plain, write_config
from .retrain_config import retrain_config
from .run_config import RunConfigError, existing_checkpoint, load_config, run_config
from .run_folder import is_first_rank, run_folder
from .runner import build_runner, check_datasets, explained_types
from .search_costs import SearchCosts
from .search_files import write_subnets, write_table
from .search_report import write_search_report
from .search_settings import SearchSettings
from .search_summary import SearchInfo
from .steps import Steps
from .unstarted import unstarted

_SUBNET = "{{ fileDirname }}/subnet.yaml"


def search(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    launcher: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    console: Console | None = None,
) -> SearchInfo:
    """Look for the best Subnets of a trained supernet.

    What was evaluated is on disk before the next Subnet is; in the end rank 0 writes
    into the work dir ``subnet.yaml`` (the best), ``subnets/`` (the best ten, or all
    that no other dominates), ``search.csv``, a config that trains the best, and a
    report.

    Args:
        config: That of the supernet with the key ``search``: arguments of
            :class:`~mmrazor.core.loops.SearchLoop`, besides ``prefix``, the module
            whose MACs and parameters count, and ``image_size`` to count for.
        checkpoint: Weights of the supernet.
        work_dir: As for ``run_config``.
        resume: Go on with the search in the work dir, if there is one.
        launcher: As for ``run_config``.
        cfg_options: Changes to the config, with dotted keys.
        seed: Of the searcher and all other random numbers; default: as the config says.
        console: Where steps are shown.

    Returns:
        What was found and where the files are; the same on every rank.

    Raises:
        ConnectionError: If the storage of the searcher cannot be reached.
        FileExistsError: If there is a search in the work dir that is not to be resumed.
        FileNotFoundError: If config or checkpoint does not exist.
        FileWriteError: If the work dir cannot be written.
        FolderInUseError: If another run writes into the work dir.
        RunConfigError: If the config is faulty, a dataset is empty, or the checkpoint
            is of another supernet.
        RuntimeError: If Subnets cannot be evaluated at all.
        ValueError: If no Subnet meets the budget, or an argument is wrong.
    """
    start = time.perf_counter()
    weights = existing_checkpoint(checkpoint)
    cfg = load_config(config, cfg_options)
    settings = SearchSettings.of(cfg, seed)
    if not cfg.get("val_dataloader"):
        raise RunConfigError(
            f"Config '{cfg.filename}' has no val_dataloader, and Subnets are scored on "
            "it. Add val_dataloader, val_cfg and val_evaluator, with images that the "
            "supernet was not trained on."
        )
    run = run_config(cfg, work_dir=work_dir, launcher=launcher, seed=seed)
    # Hooks of the training have nothing to do; the weights are loaded here.
    run.custom_hooks, run.load_from, run.resume = [], None, False
    with run_folder(run.work_dir, held=is_first_rank(run.launcher)):
        with unstarted(run):
            runner = build_runner(run)
            model = _supernet(runner, cfg)
            tuned = retrain_config(cfg, _SUBNET)
            check_plain(tuned)
            folder = Path(run.work_dir)
            from_leader(lambda: _check_state(SearchState(folder, model.space), resume))
            _load(model, weights, cfg)
            check_datasets(runner, "val")
            steps = Steps(console if rank() == 0 else None)
            costs = SearchCosts.of(cfg, model, settings, folder, resume, steps)
            with explained_types():
                loop = SearchLoop(
                    runner,
                    runner.val_loop.dataloader,
                    runner.val_loop.evaluator,
                    settings.searcher,
                    settings.metric,
                    budget=settings.budget,
                    space_cost=costs.space_cost,
                    latency=costs.latency,
                    resume=resume,
                    **{
                        "calibrate_dataloader": run.get("train_dataloader"),
                        **settings.loop,
                    },
                )
        best = loop.run()
        return from_leader(
            lambda: _written(folder, tuned, loop, best, costs, start, steps)
        )


def _supernet(runner: Runner, cfg: Config) -> SearchableAlgorithm:
    model = unwrapped(runner.model)
    if not isinstance(model, SearchableAlgorithm):
        raise RunConfigError(
            f"Config '{cfg.filename}' has no search space: its model is a "
            f"{type(model).__name__}. Search a supernet, such as "
            "dict(type='mmrazor.SPOS', architecture=..., mutator=...)."
        )
    return model


def _check_state(state: SearchState, resume: bool) -> None:
    if state.exists() and not resume:
        raise FileExistsError(
            f"'{state.searcher_file}' is the state of a search. Go on with it: "
            "--resume, or resume=True; or search in another folder: --work-dir FOLDER."
        )


def _load(model: SearchableAlgorithm, weights: str, cfg: Config) -> None:
    """Load the weights of the supernet; each has to be there, and no other."""
    try:
        load_weights(model.architecture, weights)
    except ValueError as err:
        raise RunConfigError(
            f"The supernet in '{cfg.filename}' needs weights of its own search space. "
            f"{err}"
        ) from err


def _written(
    folder: Path,
    tuned: Config,
    loop: SearchLoop,
    best: Sequence[Subnet],
    costs: SearchCosts,
    start: float,
    steps: Steps,
) -> SearchInfo:
    """Write all files, and say where they are."""
    found, space = loop.search.evaluations, loop.model.space
    table = write_table(folder / "search.csv", space, found)
    if not best:
        raise RuntimeError(_nothing_found(found, table))
    subnet, *subnets = write_subnets(folder, best)
    path = folder / f"{Path(loop.runner.cfg.filename or 'search').stem}_retrain.py"
    retrain = write_config(path, tuned, _header(best[0], path))
    objectives, score = loop.search.searcher.objectives, best[0].score
    with steps.step("Drawing the report"):
        report = write_search_report(
            folder,
            found,
            best,
            space=space,
            metric=next((n for n, _ in objectives if n in score), next(iter(score))),
            objectives=objectives,
            title=f"Search in {folder.name}",
        )
    return SearchInfo(
        best=tuple(best),
        objectives=objectives,
        num_evaluations=len(found),
        num_subnets=len({space.key(one.subnet.choices) for one in found}),
        num_failed=sum(one.error is not None for one in found),
        evaluation_s=sum(one.seconds for one in found),
        seconds=time.perf_counter() - start,
        latency_error=None if costs.latency is None else costs.latency.error,
        subnet=subnet,
        subnets=tuple(subnets),
        table=table,
        retrain=retrain,
        report=report,
    )


def _nothing_found(found: Sequence[Evaluation], table: Path) -> str:
    failed = [one for one in found if one.error is not None]
    if not failed:
        return f"The search ended without a Subnet within the budget; see '{table}'."
    return (
        f"None of {len(found)} evaluations gave a Subnet: {len(failed)} failed, the "
        f"last one with {failed[-1].error}. '{table}' has all of them."
    )


def _header(best: Subnet, path: Path) -> str:
    known = {**best.score, **best.cost}
    numbers = ", ".join(f"{name} {value:.6g}" for name, value in known.items())
    return (
        "The best Subnet of a search, to be trained as the plain network that it is; "
        f"with the\nsupernet's weights: {numbers}.\n"
        f"Train it: {tool_command('train', path)}"
    )
