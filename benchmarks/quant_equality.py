# A runtime sums in int32 and rounds once; torch sums in float and divides. So a sum in
# the middle of two integers may fall to either side, and later layers add such steps.
"""A quantized classifier in ONNX Runtime beside itself in torch, integer by integer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from quant_integers import check_scales, expose_integers, integers_of
from torch import Tensor

from mmrazor import example_inputs, export_onnx
from mmrazor.models.architectures.onnx_session import onnx_session


@dataclass
class Differences:
    """How far the integers of two runtimes are apart, layer by layer.

    Args:
        layers: Names of the quantized values, in the order of the run.
    """

    layers: Sequence[str]

    def __post_init__(self) -> None:
        self.images = self.equal_images = 0
        self.values, self.other = [0] * len(self.layers), [0] * len(self.layers)
        #: By layer, images that differ there first, and the most steps they do.
        self.first: dict[int, tuple[int, int]] = {}

    def add_(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
        """Compare the integers of some images.

        Args:
            ours: Of each layer, with images on the first axis.
            theirs: The same of the other runtime.

        Raises:
            ValueError: If there are more or fewer layers, or they differ in shape.
        """
        most = []
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if a.shape != b.shape:
                raise ValueError(
                    f"'{self.layers[i]}' has shape {tuple(a.shape)} in one runtime and "
                    f"{tuple(b.shape)} in the other: they are not the same value."
                )
            steps = (a.to(torch.int16) - b.to(torch.int16)).abs().flatten(1)
            self.values[i] += steps.numel()
            self.other[i] += int((steps > 0).sum())
            most.append(steps.amax(1))
        steps_BL = torch.stack(most, 1)
        self.images += len(steps_BL)
        self.equal_images += int((steps_BL == 0).all(1).sum())
        for row in steps_BL[(steps_BL > 0).any(1)]:
            layer = int(row.nonzero()[0])
            number, largest = self.first.get(layer, (0, 0))
            self.first[layer] = number + 1, max(largest, int(row[layer]))

    def summary(self) -> dict[str, Any]:
        """Return it as plain data."""
        first = min(self.first, default=None)
        return {
            "images_equal": self.equal_images,
            "first_layer": None if first is None else self.layers[first],
            "first_layer_other": None if first is None else self._share(first),
            # Of every image, at the layer where it differs first.
            "steps_at_first": max((n for _, n in self.first.values()), default=0),
            "last_layer_other": self._share(len(self.layers) - 1),
        }

    def _share(self, layer: int) -> float:
        return self.other[layer] / max(self.values[layer], 1)


@torch.no_grad()
def compared(model: Any, loader: Iterable[Any]) -> dict[str, Any]:
    """Run a quantized classifier of mmengine in torch and in ONNX Runtime.

    Args:
        model: A calibrated ``mmrazor.Quantize`` in eval mode, on the CPU.
        loader: Images with labels.

    Returns:
        ``torch`` and ``onnx`` top-1 in percent, the share of images of the ``same``
        class, the size of the file in ``bytes``, and a summary of the
        :class:`Differences`.

    Raises:
        ValueError: If the graph does not round where torch does, or reading its
            integers changes its output.
    """
    network, quantizer = model.architecture, model.quantizer
    labels, ours, theirs = [], [], []
    with tempfile.TemporaryDirectory() as name:
        path, opened = Path(name) / "model.onnx", Path(name) / "opened.onnx"
        info = None
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            images = data["inputs"]
            if info is None:
                size = tuple(images.shape[-2:])
                info = export_onnx(network, example_inputs(network, size), path)
                scales = expose_integers(path, opened)
                files = path, opened
                plain, with_integers = (onnx_session(one, threads=1) for one in files)
            fed = {info.input_names[0]: images.numpy()}
            with integers_of(quantizer) as seen:
                ours.append(network(images, mode="tensor"))
            if not theirs:
                check_scales(seen, scales)
                found = Differences([one.name for one in seen])
            logits, *integers = with_integers.run(None, fed)
            (deployed,) = plain.run(None, fed)
            if (logits != deployed).any():
                raise ValueError("Reading integers changes what ONNX Runtime computes.")
            found.add_(
                [one.integers for one in seen], [torch.from_numpy(i) for i in integers]
            )
            theirs.append(torch.from_numpy(deployed))
            labels += [sample.gt_label for sample in data["data_samples"]]
        size_bytes = path.stat().st_size
    truth = torch.cat(labels)
    first, second = (torch.cat(logits).argmax(1) for logits in (ours, theirs))
    return {
        "torch": _percent(first == truth),
        "onnx": _percent(second == truth),
        "same": _percent(first == second),
        "images": len(truth),
        "bytes": size_bytes,
        **found.summary(),
    }


def _percent(right: Tensor) -> float:
    return round(100 * float(right.double().mean()), 4)
