"""One network of ``quant_scenes.py``: trained, quantized, tested in two runtimes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from accuracy_runs import folder_of, once, run_once
from mmengine.config import Config
from quant_scenes_configs import NETWORKS, Network, Plan, run_config_of

from mmrazor.apis.export import export_model
from mmrazor.apis.onnx import OnnxInfo
from mmrazor.apis.quantize_config import quantize_config
from mmrazor.apis.test import test


def measured(name: str, plan: Plan, work_dir: Path) -> dict[str, Any]:
    """Return the scores of a network in percent, with its ONNX files.

    What was done before is not done again.

    Args:
        name: One of ``NETWORKS``.
        plan: Sizes.
        work_dir: Where the runs are kept.

    Returns:
        For ``float``, ``ptq`` and ``qat`` the host's metric in ``torch`` and in
        ``onnxruntime``, and what there is to say of the ONNX file; for ``control`` the
        metric alone.
    """
    network = NETWORKS[name]
    found: dict[str, Any] = {"network": name, "metric": network.metric}
    dense = None
    for method in ("float", "control", "ptq", "qat"):
        cfg = run_config_of(network, method, plan, dense)
        folder = folder_of(work_dir, f"{name}_{method}_{plan.seed}", cfg)
        done = folder / "tested.json"
        if method == "ptq":
            make = partial(_quantized, cfg, network, folder, plan.seed)
            found[method] = once(done, make)
            continue
        trained = run_once(cfg, folder, plan.seed, network.metric)
        checkpoint = trained["checkpoint"]
        dense = dense or checkpoint
        exports = method != "control"
        make = partial(_tested, cfg, checkpoint, network, folder, exports)
        found[method] = {**once(done, make), "train_seconds": trained["seconds"]}
    return found


def _quantized(
    cfg: Config, network: Network, folder: Path, seed: int
) -> dict[str, Any]:
    info = quantize_config(cfg, work_dir=folder, name="ptq", seed=seed)
    if info.onnx is None:
        raise RuntimeError(info.onnx_refusal)
    ready = Config.fromfile(str(info.config))
    return {
        "torch": _score(ready, info.checkpoint, network, folder / "torch"),
        **_in_runtime(ready, info.onnx, network, folder),
        "quantized_share": round(info.report.quantized_share, 4),
    }


def _tested(
    cfg: Config, checkpoint: str, network: Network, folder: Path, exports: bool
) -> dict[str, Any]:
    scores = {"torch": _score(cfg, checkpoint, network, folder / "torch")}
    if not exports:
        return scores
    info = export_model(cfg, checkpoint, folder / "export", name="net")
    assert info.onnx is not None
    return {**scores, **_in_runtime(cfg, info.onnx, network, folder)}


def _in_runtime(
    cfg: Config, info: OnnxInfo, network: Network, folder: Path
) -> dict[str, Any]:
    return {
        "onnxruntime": _score(cfg, info.path, network, folder / "onnxruntime"),
        "onnx": str(info.path),
        "onnx_bytes": info.path.stat().st_size,
        "largest_relative_difference": info.max_difference,
    }


def _score(cfg: Config, weights: str | Path, network: Network, work_dir: Path) -> float:
    """Return the host's metric on the test set, in percent."""
    metrics = test(cfg, weights, work_dir=work_dir)
    # CocoMetric returns no metric where nothing is detected.
    value = metrics[network.metric] if metrics else 0.0
    return round(network.percent * float(value), 2)
