"""Configs that are right, as texts; the bad ones change them."""

from __future__ import annotations

import copy
from typing import Any

from conftest import distilled, pruned, toy_dict

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
        from toy_supernet import SEARCH, SUPERNET

        models["search"] = SUPERNET
        content["custom_imports"] = {"imports": ["toy_supernet"]}
        content["val_evaluator"] = {"type": "SearchedAccuracy"}
        content["search"] = SEARCH
    content["model"] = models[name]
    return content
