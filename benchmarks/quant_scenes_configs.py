"""Configs of ``quant_scenes.py``: those of ``configs``, with data anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_QUANTIZATION = CONFIGS / "quantization"


@dataclass(frozen=True)
class Network:
    """A network that is trained, quantized and tested.

    Args:
        arch: As the names of the configs have it.
        dense: Config of the float network, below ``configs``.
        metric: Name of what it is judged by.
        percent: What makes percent of it.
    """

    arch: str
    dense: str
    metric: str
    percent: float


NETWORKS = {
    "retinanet": Network(
        "retinanet-r18",
        "pruning/mmdet/l1/l1_retinanet-r18_dense_1xb8-12e_scenes.py",
        "coco/bbox_mAP",
        100.0,
    ),
    "yolox-tiny": Network(
        "yolox-tiny",
        "quantization/ptq/float_yolox-tiny_1xb8-12e_scenes.py",
        "coco/bbox_mAP",
        100.0,
    ),
    "pspnet": Network(
        "pspnet-r18",
        "pruning/mmseg/l1/l1_pspnet-r18_dense_1xb8-12e_scenes.py",
        "mIoU",
        1.0,
    ),
}


@dataclass(frozen=True)
class Plan:
    """Sizes of a run of the benchmark.

    Args:
        data_root: With the folder ``scenes``.
        seed: Of weights, order of data and choice of calibration images.
        epochs: Of the float networks; None: as their configs say.
        more_epochs: Of what starts from them, quantized or in float; None: as the
            configs say.
    """

    data_root: Path
    seed: int = 0
    epochs: int | None = None
    more_epochs: int | None = None


def run_config_of(
    network: Network, method: str, plan: Plan, dense: str | None = None
) -> Config:
    """Return the Config of one run; its folder comes later.

    Args:
        network: Which one.
        method: ``float`` trains it, ``ptq`` quantizes what was trained, ``qat`` trains
            that quantized, and ``control`` trains it in float as long and as ``qat``.
        plan: Sizes.
        dense: Checkpoint of the float network.
    """
    cfg = Config.fromfile(str(_file_of(network, method)))
    if method != "float":
        cfg.model.architecture.checkpoint = dense
    if method == "control":
        cfg.model = dict(type="mmrazor.Compress", architecture=cfg.model.architecture)
        cfg.pop("custom_hooks")
    epochs = plan.epochs if method == "float" else plan.more_epochs
    if epochs is not None and method != "ptq":
        cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
        if method != "float":
            cfg.param_scheduler[0].update(T_max=epochs, end=epochs)
    root = plan.data_root / "scenes"
    for split in ("train", "val", "test"):
        cfg[f"{split}_dataloader"].dataset.data_root = f"{root}/"
    for split in ("val", "test"):
        evaluator = cfg[f"{split}_evaluator"]
        if "ann_file" in evaluator:
            evaluator.ann_file = str(root / "annotations" / "test.json")
    cfg.log_level = "WARNING"
    return cfg


def _file_of(network: Network, method: str) -> Path:
    if method == "float":
        return CONFIGS / network.dense
    if method == "ptq":
        return _QUANTIZATION / "ptq" / f"ptq_{network.arch}_scenes.py"
    return _QUANTIZATION / "qat" / f"qat_{network.arch}_1xb8-2e_scenes.py"
