"""Which models of the host libraries are quantized, exported and run in ONNX Runtime.

One config of each of some families, random weights, small images. Each model is
quantized to int8 on random images, exported, and its file run in ONNX Runtime and
compared with torch, in a process of its own.

    python benchmarks/quant_coverage.py
    python benchmarks/quant_coverage.py --only 'yolo*'
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from coverage_stage import Stage
from report import write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

import mmrazor
from mmrazor.apis.onnx import export_onnx
from mmrazor.core.graph import example_inputs

#: By name, the config and the sides of an image.
MODELS = {
    "resnet18": ("mmpretrain::resnet/resnet18_8xb32_in1k.py", 64),
    "mobilenet-v3": ("mmpretrain::mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py", 64),
    "convnext": ("mmpretrain::convnext/convnext-tiny_32xb128_in1k.py", 64),
    "mobilevit": ("mmpretrain::mobilevit/mobilevit-xxsmall_8xb128_in1k.py", 64),
    "vit": ("mmpretrain::deit/deit-tiny_4xb256_in1k.py", 224),
    "swin": ("mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py", 224),
    "retinanet": ("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", 128),
    "fcos": ("mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", 128),
    "ssd": ("mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py", 320),
    "yolov3": ("mmdet::yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py", 128),
    "yolox": ("mmdet::yolox/yolox_s_8xb8-300e_coco.py", 128),
    "rtmdet": ("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py", 128),
    "faster-rcnn": ("mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", 128),
    "detr": ("mmdet::detr/detr_r50_8xb2-150e_coco.py", 128),
    "mask2former": (
        "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
        128,
    ),
    "fcn-hrnet": ("mmseg::hrnet/fcn_hr18s_4xb2-40k_cityscapes-512x1024.py", 128),
    "pspnet": ("mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py", 128),
    "deeplabv3": (
        "mmseg::deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py",
        128,
    ),
    "segformer": (
        "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
        128,
    ),
    "upernet-swin": (
        "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py",
        128,
    ),
}


def measured(name: str) -> dict[str, Any]:
    """Quantize, export and compare one model; what goes wrong is a result too."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config, side = MODELS[name]
    found: dict[str, Any] = {}

    def hear(message: tuple[str, Any]) -> None:
        kind, value = message
        if kind == "end" and "error" in value[1]:
            found["error"] = value[1]["error"]

    with Stage("quantize", hear) as stage:
        model = mmrazor.build_architecture(config).eval()
        inputs = example_inputs(model, (side, side))
        quant = mmrazor.quantize(model, [inputs])
        layers = quant.report.layers
        found |= {
            "share": round(quant.report.quantized_share, 4),
            "float_layers": sum(layer.weight_bits is None for layer in layers),
            "layers": len(layers),
        }
    if stage.passed:
        with Stage("export", hear), tempfile.TemporaryDirectory() as folder:
            info = export_onnx(quant.model, inputs, Path(folder) / "net.onnx")
            found |= {
                "difference": info.max_difference,
                "exporter": info.exporter,
                "dynamic_batch": info.dynamic_batch,
            }
    return found


def in_process(name: str, limit: float) -> dict[str, Any]:
    """Measure one model in a process of its own."""
    start = time.perf_counter()
    found: dict[str, Any] = {"model": name, "config": MODELS[name][0]}
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--worker", name],
            check=False,
            capture_output=True,
            text=True,
            timeout=limit,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return {**found, "error": f"nothing within {limit:g} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return {**found, "error": lines[-1][:300]}
    found |= json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table(title="int8 on random weights, in ONNX Runtime")
    table.add_column("model")
    for name in ("MACs in int8", "float layers", "difference from torch"):
        table.add_column(name, justify="right")
    table.add_column("batch")
    table.add_column("what went wrong", overflow="fold")
    for one in results:
        share = f"{one['share']:.1%}" if "share" in one else ""
        layers = f"{one['float_layers']} of {one['layers']}" if share else ""
        if "error" in one:
            table.add_row(one["model"], share, layers, "", "", one["error"])
            continue
        batch = "any" if one["dynamic_batch"] else "fixed"
        table.add_row(
            one["model"], share, layers, f"{one['difference']:.1e}", batch, ""
        )
    return table


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="*", help="models, as in 'yolo*'")
    parser.add_argument(
        "--limit", type=float, default=600, help="for each model, s; default: 600"
    )
    parser.add_argument("--worker", choices=MODELS, metavar="MODEL")
    args = parser.parse_args()
    if args.worker:
        sys.stdout.write("\n" + json.dumps(measured(args.worker)) + "\n")
        return 0
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    names = [name for name in MODELS if fnmatch(name, args.only)]
    results = []
    for name in track(names, "models", console=console):
        results.append(in_process(name, args.limit))
        console.print(json.dumps(results[-1]), soft_wrap=True, highlight=False)
    console.print(table_of(results))
    write_json({"benchmark": "quant_coverage", "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
