"""The first run: a teacher, a student alone, a student distilled and exported."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console
from rich.text import Text

from ..core.cost import measure_latency
from ..core.files import file_set, write_json
from ..core.graph import example_inputs
from ..core.values import check_number
from .export import ExportInfo, export_model
from .infer import init_model
from .prepare_data import PrepareError, prepare
from .report import ReportRow, comparison_table, plot_curves
from .run_config import load_config
from .run_folder import run_folder
from .stage import Stage, fingerprint, remove_stage, train_stage

TITLES = {
    "teacher": "teacher",
    "student": "student alone",
    "distilled": "student distilled",
}
_NEEDS = {"teacher": (), "student": (), "distilled": ("teacher", "student")}
_CURVES, _RESULTS, _TABLE = "curves.png", "results.json", "table.txt"
_SHORT = {
    "train_cfg.max_epochs": 2,
    "train_dataloader.dataset.indices": 256,
    "train_dataloader.batch_size": 32,
    "val_dataloader.dataset.indices": 100,
}


def quickstart(
    work_dir: str | Path = "work_dirs/quickstart",
    data_root: str | Path = "data",
    *,
    seed: int = 0,
    short: bool = False,
    restart: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Train, distil, export and compare; what an earlier call finished is kept.

    Writes to ``work_dir``: a folder for each training, ``export/``, ``curves.png``,
    ``table.txt`` and ``results.json``.

    Args:
        work_dir: Folder for everything.
        data_root: Folder of all data sets.
        seed: For all random numbers; the same seed gives the same results.
        short: Train on a few images only, to test the machinery.
        restart: Begin anew.
        console: Where progress and results are shown; made with ``file=``.

    Returns:
        What ``results.json`` holds.

    Raises:
        PrepareError: If no data can be had.
        FileWriteError: If a file cannot be written.
        FolderInUseError: If another run writes into the work dir.
        RunConfigError: If the data is not what it should be, or the work dir holds
            folders of these names that were not written here.
        OnnxExportError: If ONNX Runtime does not give what torch gives.
    """
    check_number("seed", seed, least=0, whole=True)
    work_dir, data_root = Path(work_dir), Path(data_root)
    with run_folder(work_dir):
        if restart:
            for name in TITLES:
                remove_stage(work_dir / name)
        dataset = _prepared_dataset(data_root, console)
        with _reproducible():
            places = (work_dir, data_root)
            stages, configs = _trained(*places, dataset, seed, short, console)
            with console.status("exporting and measuring"):
                exports = _exported(configs, stages, work_dir / "export")
                rows = [
                    _row(TITLES[name], stages[name], exports[name], latency_ms)
                    for name, latency_ms in _latencies(exports).items()
                ]
        onnx = exports["distilled"].onnx
        assert onnx is not None
        results = {
            "dataset": dataset,
            "seed": seed,
            "short": short,
            "rows": [asdict(row) for row in rows],
            "curves": {TITLES[name]: stages[name].curve for name in TITLES},
            "onnx_max_difference": onnx.max_difference,
            "train_seconds": {name: stages[name].seconds for name in stages},
        }
        _write_report(results, rows, work_dir)
    _show(rows, results, exports["distilled"], stages["teacher"], work_dir, console)
    return results


def _trained(
    work_dir: Path,
    data_root: Path,
    dataset: str,
    seed: int,
    short: bool,
    console: Console,
) -> tuple[dict[str, Stage], dict[str, Config]]:
    """Train all networks, each in its folder; return their stages and configs."""
    stages: dict[str, Stage] = {}
    configs: dict[str, Config] = {}
    for number, (name, title) in enumerate(TITLES.items(), start=1):
        cfg = stage_config(name, dataset, data_root, seed, short)
        identity = fingerprint(cfg, [stages[need] for need in _NEEDS[name]])
        if name == "distilled":
            cfg.model.teacher.checkpoint = stages["teacher"].checkpoint
        label = f"[{number}/{len(TITLES)}] {title}"
        stages[name] = train_stage(cfg, work_dir / name, identity, label, console)
        configs[name] = cfg
    return stages, configs


def stage_config(
    name: str, dataset: str, data_root: Path, seed: int = 0, short: bool = False
) -> Config:
    """Return the config of one training.

    Args:
        name: ``teacher``, ``student`` or ``distilled``.
        dataset: ``fashion_mnist``, or ``mnist5k`` in its place.
        data_root: Folder of all data sets.
        seed: For all random numbers.
        short: Train on a few images only.
    """
    cfg = load_config(f"mmrazor::quickstart/{name}.py")
    if dataset == "mnist5k":
        digits = load_config("mmrazor::_base_/datasets/mnist5k.py")
        cfg.data_preprocessor = digits.data_preprocessor
        for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
            cfg[key].dataset = digits[key].dataset
    options: dict[str, Any] = {"randomness.seed": seed, **(_SHORT if short else {})}
    for stage in ("train", "val", "test"):
        folder = str(data_root / dataset)
        options[f"{stage}_dataloader.dataset.data_root"] = folder
    cfg.merge_from_dict(options)
    return cfg


def _prepared_dataset(data_root: Path, console: Console) -> str:
    try:
        prepare("fashion_mnist", data_root)
    except PrepareError as err:
        console.rule("[bold red]Fashion-MNIST cannot be had")
        console.print(Text(str(err)))
        console.print(
            "[bold red]The quickstart goes on with MNIST-5k: 5000 digits, an easy "
            "task on which the networks differ little. Do not compare its numbers "
            "with those of the documentation."
        )
        console.rule(style="bold red")
        prepare("mnist5k", data_root)
        return "mnist5k"
    return "fashion_mnist"


@contextmanager
def _reproducible() -> Iterator[None]:
    """Undo afterwards what a deterministic run sets for the whole process."""
    # Without it cuBLAS refuses to be deterministic; it is read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    # Sums are split over the threads: with one, any number of cores gives the same.
    # Networks this small gain little from more.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)


def _exported(
    configs: Mapping[str, Config], stages: Mapping[str, Stage], folder: Path
) -> dict[str, ExportInfo]:
    return {
        name: export_model(
            cfg,
            stages[name].checkpoint,
            folder,
            name=name,
            onnx=name == "distilled",
        )
        for name, cfg in configs.items()
    }


def _latencies(exports: Mapping[str, ExportInfo]) -> dict[str, float]:
    """Return the median time of one image in milliseconds, on the CPU."""
    latencies = {}
    for name, info in exports.items():
        model = init_model(str(info.config), info.checkpoint, device="cpu")
        inputs = example_inputs(model, info.image_size)
        stats = measure_latency(model, inputs, warmup=20, repeats=100)
        latencies[name] = stats.median_ms
    return latencies


def _row(title: str, stage: Stage, info: ExportInfo, latency_ms: float) -> ReportRow:
    return ReportRow(
        name=title,
        top1=stage.curve[max(stage.curve)],
        params=info.cost.params,
        macs=info.cost.macs,
        latency_ms=latency_ms,
        file_bytes=info.checkpoint.stat().st_size,
    )


def _write_report(results: dict[str, Any], rows: list[ReportRow], folder: Path) -> None:
    teacher = rows[0]
    with file_set(folder, (_CURVES, _RESULTS, _TABLE)) as place:
        plot_curves(
            results["curves"],
            place / _CURVES,
            level=(f"teacher, last epoch: {teacher.top1:.2f} %", teacher.top1),
            title=f"Quickstart on {results['dataset']}, seed {results['seed']}",
        )
        write_json(place / _RESULTS, results)
        with (place / _TABLE).open("w", encoding="utf-8") as file:
            Console(file=file, width=100).print(comparison_table(rows))


def _show(
    rows: list[ReportRow],
    results: dict[str, Any],
    student: ExportInfo,
    teacher: Stage,
    folder: Path,
    console: Console,
) -> None:
    console.print(comparison_table(rows, f"{results['dataset']}, 10 classes, 28 x 28"))
    gain = rows[2].top1 - rows[1].top1
    onnx = student.onnx
    assert onnx is not None
    lines = [
        f"Distillation changed the student's top-1 by {gain:+.2f} points.",
        f"ONNX Runtime differs from torch by {onnx.max_difference:.1e} at most.",
        "",
        f"student     {student.checkpoint}  {student.config.name}  {onnx.path.name}",
        f"picture     {folder / _CURVES}",
        f"numbers     {folder / _RESULTS}",
        f"logs        {folder}/<stage>/<time>/",
        "",
        "Next: another temperature, or your own model in that config:",
        "  .venv/bin/python tools/train.py configs/quickstart/distilled.py \\",
        "    --work-dir work_dirs/tau2 \\",
        "    --cfg-options model.distiller.losses.kd.tau=2 \\",
        f"    {shlex.quote(f'model.teacher.checkpoint={teacher.checkpoint}')}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
