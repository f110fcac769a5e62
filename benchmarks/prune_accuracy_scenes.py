"""Configs of ``prune_accuracy.py --part scenes``: detectors at half their MACs."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from prune_accuracy_configs import METHODS, Run

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "pruning" / "mmdet" / "l1"
#: From a detector's name to the config of the dense one.
DETECTORS = {
    "retinanet": "l1_retinanet-r18_dense_1xb8-12e_scenes.py",
    "rtmdet-tiny": "l1_rtmdet-tiny_dense_1xb8-12e_scenes.py",
}
AP = "coco/bbox_mAP"


def scenes_config(run: Run, epochs: int, data_root: Path, dense: str | None) -> Config:
    """Return the Config of one run; its seed and folder come later.

    Args:
        run: ``dense`` trains the detector, ``control`` trains it on, ``l1`` and others
            prune the trained one at once and train it on.
        epochs: Of each.
        data_root: With the folder ``scenes``.
        dense: Checkpoint of the dense detector.
    """
    cfg = Config.fromfile(str(CONFIGS / DETECTORS[run.network]))
    if run.method != "dense":
        trained = dict(**cfg.model, checkpoint=dense)
        if run.method == "control":
            model = dict(type="mmrazor.Compress")
        else:
            model = METHODS[run.method](run.budget, 0)
            model["pruner"].update(min_keep=0.125, image_size=(160, 160))
        cfg.model = dict(**model, architecture=trained)
        cfg.optim_wrapper.optimizer.lr /= 2
    root = data_root / "scenes"
    for split in ("train", "val"):
        cfg[f"{split}_dataloader"].dataset.data_root = f"{root}/"
    cfg.val_evaluator.ann_file = str(root / "annotations" / "test.json")
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.custom_hooks = [dict(type="mmrazor.ScoreAfterPruning", metric=AP)]
    cfg.log_level = "WARNING"
    for key in ("test_dataloader", "test_evaluator", "test_cfg"):
        cfg.pop(key)
    return cfg
