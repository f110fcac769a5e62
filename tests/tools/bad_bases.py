"""Configs that are right, as texts; the bad ones change them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from conftest import distilled, pruned, toy_dict
from toy_prune import ToyConvNet
from toy_supernet import SEARCH, SUPERNET

STEPS = {"type": "CubicSchedule", "begin": 2, "end": 10, "interval": 4}
QUANTIZED = {
    "type": "mmrazor.Quantize",
    "architecture": {"type": "ToyConvNet"},
    "quantizer": {"image_size": [8, 8]},
}
SPARSE = {
    "type": "mmrazor.Algorithm",
    "architecture": {"type": "ToyModel"},
    "pruner": {"type": "mmrazor.SemiStructuredPruner", "n": 1, "m": 2},
}


# Names that changes use for parts of the config.
_SHORT = {
    "distil": ("kd", "model['distiller']['losses']['kd']"),
    "prune": ("pruner", "model['pruner']"),
    "quantize": ("quantizer", "model['quantizer']"),
}


def config_text(name: str, change: str = "") -> str:
    """Return the text of a config that can be trained, or searched, and changed.

    Args:
        name: Of the base.
        change: Python text that changes it.
    """
    if name == "none":
        return change
    content = copy.deepcopy(_content(name))
    text = "".join(f"{key} = {value!r}\n" for key, value in content.items())
    if name in _SHORT:
        short, key = _SHORT[name]
        return f"{text}{short} = {key}\n{change}\ndel {short}\n"
    return f"{text}{change}\n"


def _content(name: str) -> dict[str, Any]:
    if name == "toy":
        return toy_dict()
    if name == "distil":
        return {**toy_dict(), "model": distilled({"type": "ToyModel"})}
    if name == "sparse":
        return {**toy_dict(), "model": SPARSE}
    models: dict[str, Any] = {
        "net": {"type": "ToyConvNet"},
        "prune": pruned(STEPS),
        "quantize": QUANTIZED,
        "search": None,
    }
    content = toy_dict()
    content["custom_imports"] = {"imports": ["toy_prune"]}
    for stage in ("train", "val", "test"):
        loader = content[f"{stage}_dataloader"]
        loader = {**loader, "dataset": {**loader["dataset"], "type": "ToyImages"}}
        content[f"{stage}_dataloader"] = loader
    if name == "search":
        models["search"] = SUPERNET
        content["custom_imports"] = {"imports": ["toy_supernet"]}
        content["val_evaluator"] = {"type": "SearchedAccuracy"}
        content["search"] = SEARCH
    content["model"] = models[name]
    return content


def write_files(folder: Path) -> None:
    """Write good and damaged files beside a config."""
    state = ToyConvNet().state_dict()
    whole = folder / "net.pth"
    torch.save({"state_dict": state}, whole)
    torch.save(state, folder / "weights.pth")
    torch.save({"state_dict": {"conv.weight": torch.zeros(1)}}, folder / "other.pth")
    torch.save(7, folder / "number.pth")
    (folder / "cut.pth").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for name in ("garbage.pth", "garbage.onnx"):
        (folder / name).write_bytes(b"this is no such file, \x80\xff")
    for name in ("empty.pth", "empty.onnx"):
        (folder / name).touch()
    (folder / "folder").mkdir()
    (folder / "bad.json").write_text("{'model': 1")
    (folder / "bad.yaml").write_text("model: [1, 2\n")
