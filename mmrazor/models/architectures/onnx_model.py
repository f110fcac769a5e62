# An exported graph ends where the host's head returns its tensors; what makes boxes,
# maps and labels of them is the host's. So the graph takes the place of the network,
# and the host's own preprocessing, decoding and metrics stay: what is measured is what
# is deployed, as users of the host measure it.
"""A host's model whose network is an ONNX file, run in ONNX Runtime."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...registry import MODELS
from .build import build_architecture
from .onnx_session import OnnxFileError, onnx_session, run_errors

#: By class of a model, the part whose output is that of the network.
_HEADS = {
    "ImageClassifier": "head",
    "SingleStageDetector": "bbox_head",
    "EncoderDecoder": "decode_head",
}
#: Images of these may be padded: their decoding reads the true size elsewhere.
_PADDED = "SingleStageDetector"
_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
}
_OUTPUT = re.compile(r"output((?:_\d+)*)")


class OnnxModelError(ValueError):
    """An ONNX file that cannot stand for the network of a model."""


class OnnxNetwork:
    """What an ONNX file computes, with tensors in and out.

    Args:
        path: The file; it has one input, and outputs as ``export_onnx`` names them.
        pads: Fill up images that are smaller than those it was exported for.

    Raises:
        FileNotFoundError: If there is no such file.
        OnnxModelError: If the file has other inputs or outputs.
    """

    def __init__(self, path: str | os.PathLike[str], pads: bool = False) -> None:
        self.path, self.pads = Path(path), pads
        if not self.path.is_file():
            raise FileNotFoundError(
                f"There is no ONNX file '{path}'. tools/export.py and "
                "tools/quantize.py write one."
            )
        try:
            self._session = onnx_session(path)
        except OnnxFileError as err:
            raise OnnxModelError(str(err)) from err
        inputs = self._session.get_inputs()
        names = [output.name for output in self._session.get_outputs()]
        self._places = [_place_of(name) for name in names]
        if len(inputs) != 1 or None in self._places:
            raise OnnxModelError(
                f"'{path}' has inputs {[one.name for one in inputs]} and outputs "
                f"{names}. Export the model in its tensor mode, with images as the one "
                "input."
            )
        self._input, self.shape = inputs[0].name, inputs[0].shape
        if len(self.shape) != 4 or inputs[0].type not in _TYPES:
            raise OnnxModelError(
                f"'{path}' has an input '{self._input}' of {inputs[0].type} and shape "
                f"{self.shape}, which is no batch of images. Give the file that was "
                "exported of this model."
            )
        self._type = _TYPES[inputs[0].type]

    def __call__(self, images: Tensor, *_: Any) -> Any:
        """Return the outputs on images, nested as the model nests them.

        Raises:
            OnnxModelError: If the images are not of the size of the graph, or it does
                not run on them.
        """
        images_NCHW = self._fitted(images)
        fixed = self.shape[0] if isinstance(self.shape[0], int) else len(images)
        parts = [self._run(part) for part in images_NCHW.split(fixed)]
        outputs = [
            torch.from_numpy(np.concatenate(many)).to(images.device)
            for many in zip(*parts, strict=True)
        ]
        return _nested(list(zip(self._places, outputs, strict=True)))

    def _run(self, images: Tensor) -> list[np.ndarray]:
        given = {self._input: images.to(self._type).cpu().numpy()}
        try:
            found: list[np.ndarray] = self._session.run(None, given)
        except run_errors() as err:
            reason = " ".join(str(err).split())[:200]
            raise OnnxModelError(
                f"'{self.path}' does not run on images of shape {tuple(images.shape)} "
                f"({reason}). Give the file that was exported of this model."
            ) from err
        return found

    def __deepcopy__(self, memo: Any) -> OnnxNetwork:
        return self

    def _fitted(self, images: Tensor) -> Tensor:
        height, width = self.shape[-2:]
        if not isinstance(height, int) or not isinstance(width, int):
            return images  # of any size
        missing = height - images.shape[-2], width - images.shape[-1]
        if missing == (0, 0):
            return images
        if not self.pads or min(missing) < 0:
            raise OnnxModelError(
                f"An image of {images.shape[-2]} x {images.shape[-1]} does not fit "
                f"'{self.path}', which takes {height} x {width}. Export it for the "
                "size of test images: --image-size HEIGHT WIDTH."
            )
        return functional.pad(images, (0, missing[1], 0, missing[0]))


@MODELS.register_module(name="OnnxModel")
def onnx_model(
    architecture: Any, onnx: str | os.PathLike[str], data_preprocessor: Any = None
) -> nn.Module:
    """Build a host's model that predicts by an ONNX file: ``type='mmrazor.OnnxModel'``.

    Classifiers, single-stage detectors and encoder-decoder segmentors are known.

    Args:
        architecture: The model that was exported: anything ``build_architecture``
            takes. Its weights are not used.
        onnx: The file.
        data_preprocessor: Used where the architecture's own config has none.

    Raises:
        FileNotFoundError: If there is no such file.
        OnnxModelError: If the model is of another kind, or the file does not fit.
    """
    model = build_architecture(architecture, data_preprocessor=data_preprocessor)
    kinds = [kind.__name__ for kind in type(model).__mro__]
    kind = next((name for name in kinds if name in _HEADS), "")
    head: Any = getattr(model, _HEADS.get(kind, ""), None)
    if not isinstance(head, nn.Module) or isinstance(head, nn.ModuleList):
        raise OnnxModelError(
            f"{type(model).__name__} is no model whose predictions can be made of an "
            f"ONNX file; known are {sorted(_HEADS)} with one head."
        )
    network = OnnxNetwork(onnx, pads=kind == _PADDED)
    vars(model)["extract_feat"] = _same
    vars(head)["forward"] = network
    return model


def _same(images: Tensor, *_: Any, **__: Any) -> Tensor:
    return images


def _place_of(name: str) -> tuple[int, ...] | None:
    """Return where an output stands in what the model returns.

    Example:
        >>> _place_of('output_0_2'), _place_of('output'), _place_of('output_logits')
        ((0, 2), (), None)
    """
    found = _OUTPUT.fullmatch(name)
    if found is None:
        return None
    return tuple(int(number) for number in found[1].split("_") if number)


def _nested(found: list[tuple[Any, Tensor]]) -> Any:
    """Return tensors in tuples, by their places.

    Example:
        >>> x = torch.zeros(1)
        >>> [len(part) for part in _nested([((0, 0), x), ((0, 1), x), ((1, 0), x)])]
        [2, 1]
    """
    if len(found) == 1 and not found[0][0]:
        return found[0][1]
    firsts = dict.fromkeys(place[0] for place, _ in found)
    return tuple(
        _nested([(place[1:], value) for place, value in found if place[0] == first])
        for first in firsts
    )
