"""The exported winner of ``nas_accuracy.py`` on the test set, in two runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmrazor.apis.export import export_model
from mmrazor.apis.infer import init_model
from mmrazor.models.architectures.onnx_session import onnx_session


def exported(cfg: Config, checkpoint: str, folder: Path) -> dict[str, Any]:
    """Export a model and return its accuracy in torch and in ONNX Runtime.

    Args:
        cfg: What it was trained with.
        checkpoint: Its weights.
        folder: Where the exported files go.

    Returns:
        ``torch`` and ``onnx`` in percent, ``images``, how many are ``differing`` in
        their class, and what else the export says of itself.
    """
    info = export_model(cfg, checkpoint, folder, name="winner")
    assert info.onnx is not None
    bare = Config.fromfile(info.config)
    model = init_model(bare, info.checkpoint, device="cpu")
    session = onnx_session(info.onnx.path)
    with DefaultScope.overwrite_default_scope(bare.default_scope):
        loader = Runner.build_dataloader(bare.test_dataloader)
    labels, ours, theirs = [], [], []
    with torch.no_grad():
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            fed = {info.onnx.input_names[0]: data["inputs"].numpy()}
            (scores,) = session.run(None, fed)
            theirs.append(torch.from_numpy(scores).argmax(1))
            ours.append(model(data["inputs"], mode="tensor").argmax(1))
            labels.append(torch.cat([s.gt_label for s in batch["data_samples"]]))
    truth, first, second = (torch.cat(found) for found in (labels, ours, theirs))
    return {
        "torch": round(100 * float((first == truth).float().mean()), 2),
        "onnx": round(100 * float((second == truth).float().mean()), 2),
        "images": len(truth),
        "differing": int((first != second).sum()),
        "largest_relative_difference": info.onnx.max_difference,
        "macs": info.cost.macs,
        "params": info.cost.params,
    }
