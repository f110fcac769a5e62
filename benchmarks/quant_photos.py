"""EfficientNet-Lite with its ImageNet weights, quantized after training.

Calibrated on a third of the views that have no class; judged on the others and on 20
labelled photos: how often the quantized network gives the float network's class, and
how far its logits are. int8 models are run in ONNX Runtime, and in OpenVINO if
``--peer`` names a folder that holds it.

    python benchmarks/quant_photos.py
    python benchmarks/quant_photos.py --numbers 0 --variants "int8" "int4, GPTQ"
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite import SCALES, lite
from photos import photos, views
from ptq_sides import onnxruntime_session, openvino_session
from ptq_vs_peers import latencies
from quant_photos_variants import VARIANTS, Variant
from report import write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from mmrazor.apis.onnx import export_onnx
from mmrazor.models.quantizers import Quantizer, calibrate_, quant_report, sqnr_db
from mmrazor.registry import MODELS

_BATCH = 8


class Images:
    """Photos, their classes, and views to calibrate on and to judge on."""

    def __init__(self, downloads: Path, pixels: int) -> None:
        self.photos, self.labels = photos(downloads, pixels)
        every = views(downloads, pixels)
        chosen = torch.arange(len(every)) % 3 == 0
        self.calibration, self.views = every[chosen], every[~chosen]


@torch.no_grad()
def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of images."""
    return torch.cat([model(batch) for batch in images.split(_BATCH)])


def quantized(model: nn.Module, variant: Variant, images: Images) -> Quantizer:
    """Quantize a model in place."""
    quantizer = Quantizer(**variant.quantizer)
    quantizer.prepare_(model, images.calibration[:1])
    batches = list(images.calibration.split(_BATCH))
    methods: list[Any] = [MODELS.build(dict(cfg)) for cfg in variant.methods]
    for method in methods:
        if method.before_calibration:
            method(model, quantizer, batches)
    calibrate_(model, quantizer, batches)
    for method in methods:
        if not method.before_calibration:
            method(model, quantizer, batches)
    return quantizer


def measured(number: int, variant: Variant, args: argparse.Namespace) -> dict[str, Any]:
    """Return what is measured of one network in one variant."""
    downloads = args.data_root / "downloads"
    images = Images(downloads, SCALES[number][2])
    model = lite(number, downloads)
    every = torch.cat([images.photos, images.views])
    plain = logits_of(model, every)
    torch.manual_seed(0)
    begin = time.perf_counter()
    quantizer = quantized(model, variant, images)
    seconds = time.perf_counter() - begin
    found = {"seconds": round(seconds, 1)}
    report = quant_report(model, quantizer)
    found |= {"bytes": report.quantized_bytes, "share": report.quantized_share}
    found |= scores(plain, logits_of(model, every), images.labels)
    if variant.runtimes:
        found |= in_runtimes(number, model, images, plain, args)
    return {"model": f"lite{number}", "variant": variant.name, **found}


def scores(plain: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Compare logits with those of the float network; the photos come first."""
    same = (plain.argmax(1) == logits.argmax(1)).double()
    number = len(labels)
    return {
        "top1": (logits[:number].argmax(1) == labels).double().mean().item(),
        "photos_agree": same[:number].mean().item(),
        "views_agree": round(same[number:].mean().item(), 3),
        "sqnr_db": round(sqnr_db(plain, logits), 2),
    }


def in_runtimes(
    number: int,
    model: nn.Module,
    images: Images,
    plain: Tensor,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Run float and int8 files in the runtimes that are there."""
    every = torch.cat([images.photos, images.views])
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        small, whole = Path(name) / "int8.onnx", Path(name) / "float.onnx"
        image = images.photos[:1]
        export_onnx(model, image, small, opset=21, tolerance=1.0)
        export_onnx(lite(number, args.data_root / "downloads"), image, whole, opset=21)
        found["onnx_bytes"] = [path.stat().st_size for path in (whole, small)]
        runtimes: dict[str, Any] = {"onnxruntime": onnxruntime_session}
        if args.peer is not None:
            sys.path.append(str(args.peer))
            runtimes["openvino"] = lambda path: openvino_session(str(path))
        for runtime, opened in runtimes.items():
            before, after = opened(whole), opened(small)
            logits = torch.cat([after(one[None]) for one in every])
            ms = latencies(before, after, image, args.turns)
            found[runtime] = {
                **scores(plain, logits, images.labels),
                "float_ms": round(ms[0], 2),
                "int8_ms": round(ms[1], 2),
                "speed_up": round(ms[2], 3),
                "agrees_with_torch": round(
                    (logits.argmax(1) == logits_of(model, every).argmax(1))
                    .double()
                    .mean()
                    .item(),
                    3,
                ),
            }
    return found


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table(title="quantized after training, no labels")
    table.add_column("model")
    table.add_column("variant", overflow="fold")
    names = ("bytes", "top1", "photos_agree", "views_agree", "sqnr_db", "seconds")
    for name in names:
        table.add_column(name, justify="right")
    for one in results:
        table.add_row(one["model"], one["variant"], *(f"{one[n]:g}" for n in names))
        for runtime in ("onnxruntime", "openvino"):
            if runtime in one:
                inside = one[runtime]
                shown = [f"{inside[n]:g}" for n in names[1:-1]]
                table.add_row("", f"  in {runtime}", f"x{inside['speed_up']:g}", *shown)
    return table


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--numbers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS)
    parser.add_argument("--turns", type=int, default=5, help="default: 5")
    parser.add_argument("--full", action="store_true", help="at least 15 turns")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--peer", type=Path, help="folder with OpenVINO, as ptq_vs_peers.py fills it"
    )
    args = parser.parse_args()
    args.turns = max(args.turns, 15) if args.full else args.turns
    torch.set_num_threads(1)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    runs = [
        (number, variant)
        for number in args.numbers
        for name, variant in VARIANTS.items()
        if (name in args.variants if args.variants else not number or variant.runtimes)
    ]
    results = []
    for number, variant in track(runs, "variants", console=console):
        results.append(measured(number, variant, args))
        console.print(json.dumps(results[-1]), soft_wrap=True, highlight=False)
    console.print(table_of(results))
    write_json({"benchmark": "quant_photos", "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
