# A tool that writes a model builds it again from its files before it says that it is
# done: what was measured is then what the user gets.
"""Check that a model read from its files is the one that was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.forward import call_model, evaluating
from ..core.graph.verify import relative_difference
from .onnx import OnnxExportError, OnnxInfo, export_onnx


def check_same_state(
    written: nn.Module, again: nn.Module, path: Path, was: str
) -> None:
    """Check that two models hold the same numbers.

    Args:
        written: The model that was written.
        again: The model that was built from the files.
        path: The config it was built from, for the error.
        was: What was done to the first one, for the error: ``pruned``.

    Raises:
        RuntimeError: If a number differs.
    """
    state = again.state_dict()
    wrong = [
        key
        for key, value in written.state_dict().items()
        if not value.equal(state[key])
    ]
    if wrong:
        raise RuntimeError(
            f"The model built from '{path}' has other weights than the one that was "
            f"{was}: {wrong[:3]}. Do not use the files, and please report this."
        )


def output_difference(first: nn.Module, second: nn.Module, inputs: Any) -> float:
    """Return how far two models' outputs are apart, relative to the largest."""
    outputs = [_output(model, inputs) for model in (first, second)]
    return relative_difference(*outputs)


def onnx_in_set(
    model: nn.Module, inputs: Any, path: Path, folder: Path
) -> tuple[OnnxInfo | None, str]:
    """Write the ONNX file of a set of files, which does without it if it cannot be had.

    Args:
        model: The model.
        inputs: Example inputs.
        path: Where the set is written.
        folder: Where its files will be.

    Returns:
        The file in its place and an empty text, or None and why there is none.
    """
    try:
        info = export_onnx(model, inputs, path)
    except (OnnxExportError, ModuleNotFoundError) as err:
        return None, str(err).replace(str(path), str(folder / path.name))
    return replace(info, path=folder / path.name), ""


def onnx_lines(info: OnnxInfo | None, refusal: str) -> list[str]:
    """Return a line on the ONNX file that was written, or on why none was.

    Args:
        info: The file, if there is one.
        refusal: Why there is none, if one was asked for.
    """
    if info is not None:
        return [
            f"ONNX: {info.path}, largest relative difference to torch "
            f"{info.max_difference:.1e}"
        ]
    return [f"ONNX: not written. {refusal}"] if refusal else []


def _output(model: nn.Module, inputs: Any) -> Any:
    with torch.random.fork_rng([]), evaluating(model):
        torch.manual_seed(0)
        return call_model(model, inputs)
