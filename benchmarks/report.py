"""What every benchmark prints: its numbers, the machine and the versions, as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "mmengine",
    "mmcv",
    "mmpretrain",
    "mmdet",
    "mmseg",
    "numpy",
)


def cpu_name() -> str:
    """Return the processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter here.

    A package installed under another distribution's name (a fork) is found by the name
    it is imported by.
    """
    owners = metadata.packages_distributions()
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        for owner in owners.get(name, [])[:1]:
            found[name] = metadata.version(owner)
    return found


def machine() -> dict[str, Any]:
    """Return what the numbers were taken on; no name of the host."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else (0.0,)
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_1min": round(load[0], 2),
        "versions": versions(),
    }


def write_json(result: dict[str, Any]) -> None:
    """Write a result, with the machine beside it, to the standard output."""
    text = json.dumps({**result, "machine": machine()}, indent=2)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
