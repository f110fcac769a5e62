"""The networks, data and memory of ``kd_step.py``: ResNet-34 teaches ResNet-18."""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from mmrazor import build_architecture
from mmrazor.models.algorithms import SingleTeacherDistill

HINTS = ("backbone.layer2", "backbone.layer3")


def network(depth: int) -> dict:
    """Return the config of an ImageNet ResNet."""
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="mmpretrain.ResNet", depth=depth),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(type="mmpretrain.LinearClsHead", num_classes=1000, in_channels=512),
        data_preprocessor=dict(type="mmpretrain.ClsDataPreprocessor", num_classes=1000),
    )


def distill(
    cache: bool = False, hints: tuple[str, ...] = HINTS
) -> SingleTeacherDistill:
    """Return ResNet-34 -> 18 with an L2 loss at every hint."""
    losses = {
        f"hint{number}": dict(
            type="L2Loss", student=f"output:{path}", teacher=f"output:{path}"
        )
        for number, path in enumerate(hints)
    }
    return SingleTeacherDistill(
        architecture=network(18),
        teacher=dict(**network(34), pretrained=False),
        distiller=dict(losses=losses),
        teacher_cache=dict() if cache else None,
    )


def optimizer(model: torch.nn.Module) -> OptimWrapper:
    """Return the optimizer of both sides."""
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))


def batch(size: int, pixels: int) -> dict[str, Any]:
    """Return random images as a loader gives them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (size, 3, pixels, pixels), dtype=torch.uint8, generator=generator
    )
    samples = [
        DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i % 1000)
        for i in range(size)
    ]
    return {"inputs": list(images), "data_samples": samples}


def peak_megabytes(side: str, args: argparse.Namespace) -> float:
    """Return the peak memory of some steps of one side, in a fresh process."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("kd_step.py")),
        "--memory-of",
        side,
        "--device",
        args.device,
    ]
    command += ["--size", str(args.size), "--pixels", str(args.pixels)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def run_for_memory(side: str, args: argparse.Namespace) -> float:
    """Run three steps of one side, building nothing else; return the peak in MB."""
    data = batch(args.size, args.pixels)
    if side == "kd":
        model = distill().to(args.device).train()
    else:
        model = build_architecture(network(18)).to(args.device).train()
    teacher = None
    if side == "floor":
        teacher = build_architecture(network(34)).to(args.device).eval()
        teacher.requires_grad_(False)
    wrapper = optimizer(model)
    for _ in range(3):
        if teacher is not None:
            with torch.no_grad():
                teacher(**model.data_preprocessor(data, True), mode="tensor")
        model.train_step(data, wrapper)
    if args.device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e6
    # Not ru_maxrss: a child inherits its parent's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("The system tells no peak memory; run this on Linux.")
    return int(found.group(1)) * 1024 / 1e6


def checkpoint_megabytes() -> dict[str, float]:
    """Return the sizes of the weights as they are saved."""
    models = {
        "student": build_architecture(network(18)),
        "algorithm": distill(),
        "teacher_left_out": build_architecture(network(34)),
    }
    sizes = {}
    for name, model in models.items():
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        sizes[name] = round(buffer.tell() / 1e6, 3)
    return sizes
