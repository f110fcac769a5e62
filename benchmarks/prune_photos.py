"""EfficientNet-Lite0 on real photos: what is left of it without any fine-tuning.

Its ImageNet weights and 20 labelled photos come from packages. For each importance and
share of the MACs taken away: parameters, latency of one image, how often the pruned
network's first class is the dense one's (agreement) or the label (top-1), and the mean
KL divergence of its probabilities from the dense network's.

Importances that read gradients see half of the photos with their labels and are judged
on the other half, and the other way round; the numbers are of all photos.

    python benchmarks/prune_photos.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite import lite
from matplotlib.figure import Figure
from photos import photos
from report import write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor import channel_graph, count_cost
from mmrazor.apis.gradient_importance import (
    batch_size_for,
    calibrated,
    reads_gradients,
)
from mmrazor.core.cost.latency import measure_latency
from mmrazor.core.files import write_atomically
from mmrazor.core.forward import evaluating
from mmrazor.models.pruners import Pruned, prune_graph

IMPORTANCES = {
    "L1": "L1Importance",
    "Taylor": "TaylorImportance",
    "Fisher": "FisherImportance",
}
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)


def pruned_by(
    importance: str, share: float, model: nn.Module, images: Tensor, labels: Tensor
) -> Pruned:
    """Prune the network.

    Args:
        importance: Name of its class.
        share: Of the MACs, to take away.
        model: Left as it was.
        images: To find gradients with, ``(B, 3, 224, 224)``.
        labels: Their classes, ``(B,)``.
    """
    graph = channel_graph(model, images[:1])
    scorer: Any = importance
    if reads_gradients(importance):
        size = batch_size_for(importance, len(images))
        batches = [
            {"inputs": some, "labels": classes}
            for some, classes in zip(
                images.split(size), labels.split(size), strict=True
            )
        ]
        scorer = calibrated(importance, graph, batches)
    return prune_graph(graph, images[:1], {"macs": 1 - share}, scorer)


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of some images, ``(B, 1000)``."""
    with evaluating(model):
        return model(images)


def measured(
    importance: str, share: float, model: nn.Module, images: Tensor, labels: Tensor
) -> dict[str, Any]:
    """Prune the network for each half of the photos; return cost and scores."""
    order = torch.arange(len(images))
    logits = torch.empty(len(images), 1000)
    found = []
    for half in (order % 2 == 0, order % 2 == 1):
        pruned = pruned_by(importance, share, model, images[~half], labels[~half])
        logits[half] = logits_of(pruned.model, images[half])
        latency = measure_latency(pruned.model, images[:1])
        found.append((pruned.cost.macs, pruned.cost.params, latency.median_ms))
    macs, params, latency_ms = map(statistics.mean, zip(*found, strict=True))
    dense = logits_of(model, images)
    difference = F.kl_div(
        logits.log_softmax(1),
        dense.log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    return {
        "importance": importance,
        "share": share,
        "macs": macs,
        "params": params,
        "latency_ms": round(latency_ms, 2),
        "agreement": (logits.argmax(1) == dense.argmax(1)).double().mean().item(),
        "top1": (logits.argmax(1) == labels).double().mean().item(),
        "kl": round(difference.item(), 4),
    }


def table_of(dense: dict[str, Any], rows: list[dict[str, Any]]) -> Table:
    """Return the results for people."""
    table = Table("importance")
    for name in ("MACs", "params", "latency", "agreement", "top-1", "KL"):
        table.add_column(name, justify="right")
    for row in (dense, *rows):
        table.add_row(
            row["importance"],
            f"{row['macs'] / dense['macs']:.1%}",
            f"{row['params'] / dense['params']:.1%}",
            f"{row['latency_ms']:.1f} ms",
            f"{row['agreement']:.0%}",
            f"{row['top1']:.0%}",
            f"{row['kl']:.3f}",
        )
    return table


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw agreement and KL divergence against the share taken away."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.subplots(1, 2)
    for name, kind in IMPORTANCES.items():
        own = [row for row in rows if row["importance"] == kind]
        shares = [100 * row["share"] for row in own]
        axes[0].plot(shares, [100 * r["agreement"] for r in own], "o-", label=name)
        axes[1].plot(shares, [row["kl"] for row in own], "o-", label=name)
    axes[0].set(ylabel="same class as dense, %", ylim=(-3, 103))
    axes[1].set(ylabel="KL divergence from dense, nats")
    for axis in axes:
        axis.set(xlabel="MACs taken away, %")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle("EfficientNet-Lite0, 20 photos, no fine-tuning")
    write_atomically(path, lambda part: figure.savefig(part, dpi=120))


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument(
        "--picture", type=Path, default=Path("work_dirs") / "prune_photos.png"
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    downloads = args.data_root / "downloads"
    model = lite(0, downloads)
    images, labels = photos(downloads)
    cost = count_cost(model, images[:1])
    dense = {
        "importance": "(dense)",
        "macs": cost.macs,
        "params": cost.params,
        "latency_ms": round(measure_latency(model, images[:1]).median_ms, 2),
        "agreement": 1.0,
        "top1": (logits_of(model, images).argmax(1) == labels).double().mean().item(),
        "kl": 0.0,
    }
    console = Console(stderr=True)
    cases = [(kind, share) for kind in IMPORTANCES.values() for share in args.shares]
    rows = [
        measured(kind, share, model, images, labels)
        for kind, share in track(cases, "Pruning", console=console)
    ]
    console.print(table_of(dense, rows))
    picture(rows, args.picture)
    write_json({"benchmark": "prune_photos", "dense": dense, "results": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
