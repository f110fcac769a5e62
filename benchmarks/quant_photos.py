"""EfficientNet-Lite with its ImageNet weights, quantized after training.

Calibrated on a third of the views that have no class; judged on the others and on 20
labelled photos: how often the quantized network gives the float network's class, and
how far its logits are. int8 models are run in ONNX Runtime, and in OpenVINO if
``--peer`` names a folder that holds it.

    python benchmarks/quant_photos.py
    python benchmarks/quant_photos.py --numbers 0 --variants "int8" "int4 weights, GPTQ"
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite import SCALES, lite
from photos import photos, views
from ptq_latency import latencies
from ptq_sessions import RUNTIMES
from quant_photos_report import picture, table_of
from quant_photos_variants import VARIANTS, Variant
from report import write_json
from rich.console import Console
from rich.progress import track
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

    def judged(self) -> Tensor:
        """Return what is judged on, the photos first."""
        return torch.cat([self.photos, self.views])


@cache
def images_of(downloads: Path, pixels: int) -> Images:
    """Return the images of a size, which are read once."""
    return Images(downloads, pixels)


@torch.no_grad()
def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of images."""
    return torch.cat([model(batch) for batch in images.split(_BATCH)])


def quantized(model: nn.Module, variant: Variant, calibration: Tensor) -> Quantizer:
    """Quantize a model in place.

    Args:
        model: The model.
        variant: How.
        calibration: Images, shape ``(B, 3, H, W)``.
    """
    quantizer = Quantizer(**variant.quantizer)
    quantizer.prepare_(model, calibration[:1])
    batches = list(calibration.split(_BATCH))
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
    images = images_of(downloads, SCALES[number][2])
    model = lite(number, downloads)
    plain = logits_of(model, images.judged())
    torch.manual_seed(0)
    begin = time.perf_counter()
    quantizer = quantized(model, variant, images.calibration)
    seconds = time.perf_counter() - begin
    found: dict[str, Any] = {"seconds": round(seconds, 1)}
    report = quant_report(model, quantizer)
    found |= {"bytes": report.quantized_bytes, "share": report.quantized_share}
    logits = logits_of(model, images.judged())
    found |= scores(plain, logits, images.labels)
    if variant.runtimes:
        found |= in_runtimes(lite(number, downloads), model, images, plain, args)
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
    whole: nn.Module,
    small: nn.Module,
    images: Images,
    plain: Tensor,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Run float and int8 files in the runtimes that are there.

    Args:
        whole: The float network.
        small: The quantized one.
        images: To judge on.
        plain: Logits of the float network.
        args: Options.
    """
    expected = logits_of(small, images.judged()).argmax(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        files = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        image = images.photos[:1]
        for model, path in zip((whole, small), files, strict=True):
            export_onnx(model, image, path, opset=21, tolerance=1.0)
        found["onnx_bytes"] = [path.stat().st_size for path in files]
        for runtime in RUNTIMES if args.peer else ["ONNX Runtime"]:
            before, after = map(RUNTIMES[runtime], files)
            logits = torch.cat([after(one[None]) for one in images.judged()])
            same = (logits.argmax(1) == expected).double().mean().item()
            found[runtime] = {
                **scores(plain, logits, images.labels),
                **latencies(before, after, image, 10 * args.turns),
                "agrees_with_torch": round(same, 3),
            }
    return found


def runs_of(args: argparse.Namespace) -> list[tuple[int, Variant]]:
    """Return which variants are tried on which networks."""
    names = args.variants or list(VARIANTS)
    return [
        (number, VARIANTS[name])
        for number in args.numbers
        for name in names
        if args.variants or number in VARIANTS[name].networks
    ]


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
        "--picture", type=Path, default=Path("work_dirs") / "quant_photos.png"
    )
    parser.add_argument(
        "--peer", type=Path, help="folder with OpenVINO, as ptq_vs_peers.py fills it"
    )
    args = parser.parse_args()
    args.turns = max(args.turns, 15) if args.full else args.turns
    if args.peer:
        sys.path.append(str(args.peer))
    torch.set_num_threads(1)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
    results = []
    for number, variant in track(runs_of(args), "variants", console=console):
        results.append(measured(number, variant, args))
        console.print(json.dumps(results[-1]), soft_wrap=True, highlight=False)
    console.print(table_of(results))
    picture(results, args.picture)
    write_json({"benchmark": "quant_photos", "results": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
