# "Did it work?" A compressed model is worth its accuracy, its size and its speed at
# once, and each only beside the model that it was made from. So all of them are
# measured by one command, in the same way: the metric by the host's own evaluator, the
# rest on what is deployed, the ONNX file.
"""Compare models: their metric, their costs, their ONNX files, their latency."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from ..core.cost import device_name
from ..core.files import file_set, scratch_folder
from .compare_data import check_same_test_set
from .compare_picture import draw_comparison
from .compare_report import ComparedModel, Comparison
from .compare_source import CompareSource
from .onnx_latency import OnnxLatencyError, in_turns, one_image_call
from .run_config import existing_checkpoint, load_config
from .run_folder import run_folder
from .stage import quiet
from .steps import Steps
from .test import test

REPORT, PICTURE = "compare.json", "compare.png"
Source = tuple["str | os.PathLike[str] | Config", "str | os.PathLike[str]"]


def compare(
    models: Sequence[Source],
    names: Sequence[str] | None = None,
    *,
    metric: str | None = None,
    tested: bool = True,
    rounds: int = 20,
    image_size: Sequence[int] | None = None,
    out: str | os.PathLike[str] = "work_dirs/compare",
    cfg_options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Comparison:
    """Test, count and time models, and write what was found beside the first.

    A checkpoint is exported for its file size and its latency; the ONNX file is not
    kept.

    Args:
        models: Pairs of a config, of an Algorithm or of a plain host model, and a
            checkpoint or an ONNX file of its model.
        names: What the models are called; default is the names of the files, with as
            many folders as tell them apart.
        metric: What to show of the evaluator's metrics; default is the ``save_best`` of
            the first config, or else the first that all give.
        tested: Measure the metrics on the test set, which must be the same for all.
        rounds: Turns that each model gets when they are timed.
        image_size: Height and width for costs and latency; default is what each test
            pipeline makes.
        out: Folder for ``compare.json`` and ``compare.png``.
        cfg_options: Changes to all configs, with dotted keys.
        console: Where progress is shown; made with ``file=``, as ``sys.stdout`` is
            silenced meanwhile.

    Returns:
        The numbers of every model.

    Raises:
        FileNotFoundError: If a config or a file does not exist.
        FileWriteError: If a file cannot be written.
        FolderInUseError: If another comparison writes into the folder.
        ModuleNotFoundError: If ONNX Runtime or matplotlib is not installed.
        RunConfigError: If a config is faulty, a file is not of its model, or the models
            are not tested alike.
        ValueError: If names are missing or not unique, or the metric is unknown.
    """
    steps = Steps(console)
    called = _names(models, names)
    files = [existing_checkpoint(os.fspath(file)) for _, file in models]
    cfgs = [load_config(config, cfg_options) for config, _ in models]
    if tested:
        check_same_test_set(dict(zip(called, cfgs, strict=True)))
    with steps.step("Counting"):
        sources = [
            CompareSource.of(name, cfg, Path(file), image_size)
            for name, cfg, file in zip(called, cfgs, files, strict=True)
        ]
    metrics: dict[str, dict[str, float]] = {name: {} for name in called}
    place = Path(out)
    with run_folder(place, "--out"), scratch_folder(place) as folder:
        with steps.step("Writing ONNX and checking it", len(sources)) as advance:
            found = {}
            for number, one in enumerate(sources):
                found[one.name] = one.onnx_file(Path(folder, f"onnx{number}"))
                advance()
        sizes = {name: path.stat().st_size for name, (path, _) in found.items() if path}
        with steps.step("Timing in turns"):
            calls, refusals = _calls(sources, found)
            latencies = in_turns(calls, rounds)
        if tested:
            with steps.step("Testing", len(sources)) as advance:
                for number, one in enumerate(sources):
                    metrics[one.name] = _tested(one, Path(folder, f"test{number}"))
                    advance()
        rows = tuple(
            ComparedModel(
                name=one.name,
                config=str(one.cfg.filename or ""),
                file=str(one.file),
                metrics=metrics[one.name],
                macs=one.cost.macs,
                params=one.cost.params,
                image_size=one.image_size,
                onnx_bytes=sizes.get(one.name),
                latency=latencies.get(one.name),
                refusal=refusals.get(one.name, ""),
            )
            for one in sources
        )
        shown = _metric(metrics, metric, sources[0].cfg) if tested else None
        processor = device_name("cpu").rpartition(",")[0]
        comparison = Comparison(rows, shown, processor)
        with file_set(place, (REPORT, PICTURE)) as written:
            comparison.write(written / REPORT)
            draw_comparison(comparison, written / PICTURE)
    return comparison


def _calls(
    sources: Sequence[CompareSource], found: Mapping[str, tuple[Path | None, str]]
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Return what runs each ONNX file, and why there is no such thing, by name."""
    calls = {}
    refusals = {name: why for name, (_, why) in found.items() if why}
    for one in sources:
        path, _ = found[one.name]
        if path is not None:
            try:
                calls[one.name] = one_image_call(path, one.image_size)
            except OnnxLatencyError as err:
                refusals[one.name] = str(err)
    return calls, refusals


def _tested(source: CompareSource, folder: Path) -> dict[str, float]:
    """Return the metrics of a model that are numbers."""
    # Otherwise it is named by the time of day, which two of one second share.
    name = f"{folder.parent.name.lstrip('.')}-{folder.name}"
    cfg = load_config(source.cfg, {"experiment_name": name})
    with quiet():
        found: Mapping[str, Any] = test(cfg, source.file, work_dir=folder)
    return {key: float(one) for key, one in found.items() if isinstance(one, Real)}


def _metric(
    metrics: Mapping[str, Mapping[str, float]], wanted: str | None, cfg: Config
) -> str:
    """Return the metric to show: as asked for, as the config saves by, or the first."""
    first, *others = metrics.values()
    common = [key for key in first if all(key in other for other in others)]
    if not common:
        raise ValueError(
            f"There is no metric that all models have: {dict(metrics)}. Set one "
            "test_evaluator for all."
        )
    if wanted is None:
        hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
        best = hook.get("save_best")
        return best if best in common else common[0]
    if wanted not in common:
        raise ValueError(f"There is no metric '{wanted}' of all models, but {common}.")
    return wanted


def _names(models: Sequence[Source], names: Sequence[str] | None) -> list[str]:
    """Return what models are called."""
    if not models:
        raise ValueError("A comparison needs at least one model: CONFIG FILE ...")
    if names is None:
        return _short_paths([Path(file) for _, file in models])
    if len(names) != len(models) or len(set(names)) != len(names):
        raise ValueError(
            f"names={list(names)} must be {len(models)} different names, one for each "
            "model."
        )
    return list(names)


def _short_paths(paths: Sequence[Path]) -> list[str]:
    """Return the ends of paths that tell them apart.

    Example:
        >>> _short_paths([Path('runs/a/epoch_1.pth'), Path('runs/b/epoch_1.pth')])
        ['a/epoch_1.pth', 'b/epoch_1.pth']

    Raises:
        ValueError: If a path stands there twice.
    """
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        ends = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(ends)) == len(ends):
            return ends
    raise ValueError(
        f"A file stands there twice: {[str(path) for path in paths]}. Give each model "
        "a name: names, or --names."
    )
