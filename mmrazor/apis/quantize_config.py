# "I have a config and a checkpoint, give me 8 bits." What comes out is files that need
# nothing but themselves: weights with ranges, a config that tests them and trains them
# on, a report of every layer, and integers for a runtime.
"""Quantize the Architecture of a config after training, and write what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from rich.console import Console
from torch import nn

from ..core.copying import copied
from ..core.files import file_set, write_json
from ..core.graph import example_inputs
from ..models.algorithms import Quantize
from ..models.architectures import build_architecture, load_weights
from ..models.architectures.checkpoint import (
    checkpoint_file,
    model_state,
    read_checkpoint,
)
from ..models.quantizers import quant_report
from .bits_report import write_bits
from .calibration_batches import calibration_batches
from .commands import tool_command
from .figures import drawn_if_possible
from .finetune_config import write_config
from .post_training import (
    Method,
    built_methods,
    chosen_bits,
    post_training_,
    raw_outputs,
    run_batch,
)
from .prune_source import PruneSource, config_stem, default_folder
from .quantize_report import QuantizeInfo, draw_layers, plain_report
from .quantize_settings import options_of, settings_of, with_bits, with_budget
from .quantized_files import quantized_config
from .reading_back import check_same_state, onnx_in_set, output_difference
from .run_config import load_config, run_config
from .run_folder import file_stem, run_folder
from .steps import Steps
from .weights_file import write_weights

# Of all files that may be written for one model.
_SUFFIXES = (
    *(".pth", ".py", ".json", ".png", ".onnx"),
    *("_subnet.yaml", "_bits.yaml", "_bits.png"),
)


def quantize_config(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | None = None,
    *,
    methods: Sequence[Method] | Method | None = None,
    backend: str | None = None,
    weight_bits: int | Sequence[int] | None = None,
    activation_bits: int | None = None,
    ignore: Sequence[str] = (),
    budget: Mapping[str, Any] | None = None,
    calib_batches: int | None = None,
    image_size: Sequence[int] | None = None,
    seed: int = 0,
    work_dir: str | os.PathLike[str] | None = None,
    name: str | None = None,
    onnx: bool = True,
    cfg_options: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> QuantizeInfo:
    """Quantize the Architecture of a config; write weights, ranges, a config and ONNX.

    What is not given is taken from the ``quantizer`` of the config's model and from its
    ``quantize = dict(methods=[...], calib_batches=...)``, if it has them.

    Args:
        config: Of an Algorithm, or of a plain host model.
        checkpoint: Its float weights; default is those that the config names for the
            architecture.
        methods: Names, configs or objects of post-training methods.
        backend: ``onnxruntime``, ``openvino``, ``tensorrt`` or ``generic``.
        weight_bits: Bits of weights; several are a choice for ``MixedPrecision``.
        activation_bits: Bits of activations; 0 leaves them in float.
        ignore: Names or patterns of modules that stay in float, beside the config's.
        budget: Of ``MixedPrecision``, such as ``dict(size_bytes=0.5)``.
        calib_batches: Batches of the training set to calibrate with, prepared as for a
            validation.
        image_size: Height and width; default is what the test pipeline makes.
        seed: Of the choice of images.
        work_dir: Folder for the files; default is ``quantized`` in the config's work
            dir.
        name: How all their names begin; default is the config's and ``_quantized``.
            Files of that name are replaced together.
        onnx: Write an ONNX file too.
        cfg_options: Changes to the config, with dotted keys.
        console: Where progress is shown.

    Returns:
        The report and where the files are.

    Raises:
        CalibrationError: If there are no batches, or the model does not take them.
        FileNotFoundError: If config or checkpoint does not exist.
        FileWriteError: If a file cannot be written; then none is.
        FolderInUseError: If another run writes into the folder.
        NothingQuantizedError: If there is nothing to quantize; the text says why.
        QuantizedRunError: If there is NaN or infinity; the text names the place.
        RunConfigError: If the config or the training set is faulty.
        ValueError: If the checkpoint does not fit, is that of a quantized model, or a
            setting is wrong.
    """
    steps = Steps(console)
    cfg = load_config(config, cfg_options)
    options = options_of(cfg, dict(methods=methods, calib_batches=calib_batches))
    built = built_methods(with_budget(options["methods"], budget))
    settings = settings_of(cfg, backend, weight_bits, activation_bits, ignore)
    stem = file_stem(name, f"{config_stem(cfg)}_quantized")
    folder = default_folder(cfg, "quantized") if work_dir is None else Path(work_dir)
    if checkpoint is not None:
        _check_float(checkpoint)
    with run_folder(folder):
        with steps.step("Building the model"):
            source = PruneSource.of(cfg, checkpoint)
            source.warn_of_random_weights("the ranges are those of a random model.")
            size = source.image_size(image_size)
            settings["image_size"] = list(size)
            original = copied(source.model).to(get_device())
            model = _prepared(source.model, settings)
        with steps.step("Reading calibration images"):
            data = run_config(cfg)
            batches = list(calibration_batches(data, options["calib_batches"], seed))
        quantizer = model.quantizer
        errors = post_training_(
            model.architecture, quantizer, batches, built, steps=steps
        )
        chosen = chosen_bits(built)
        if chosen is not None:
            settings = with_bits(settings, chosen.bits)
        with steps.step("Comparing layers"):
            found = quant_report(
                *(model.architecture, quantizer, batches[0], run_batch),
                original=original,
                outputs=raw_outputs,
            )
        model.cpu()
        origin = {
            "config": str(cfg.filename or ""),
            "checkpoint": str(source.weights or ""),
            "calib_batches": len(batches),
            "seed": seed,
        }
        report = {**origin, **plain_report(found, errors, chosen)}
        inputs = example_inputs(model.architecture, size)
        names = [f"{stem}{suffix}" for suffix in _SUFFIXES]
        onnx_info, refusal = None, ""
        with file_set(folder, names) as place:
            with steps.step("Writing and reading back"):
                weights, path = place / f"{stem}.pth", place / f"{stem}.py"
                write_weights(weights, model, source.dataset_meta())
                ready = quantized_config(cfg, source.resolved, settings, weights)
                header = _header(model, folder / path.name, folder / weights.name)
                write_config(path, ready, header)
                difference = _reload_difference(path, weights, model, inputs)
                write_json(place / f"{stem}.json", report)
                picture = drawn_if_possible(draw_layers, found, place / f"{stem}.png")
                bits = None if chosen is None else write_bits(chosen, place, stem)
            if onnx:
                with steps.step("Writing ONNX and checking it"):
                    onnx_info, refusal = onnx_in_set(
                        model.architecture, inputs, place / f"{stem}.onnx", folder
                    )
    return QuantizeInfo(
        report=found,
        errors=errors,
        checkpoint=folder / weights.name,
        config=folder / path.name,
        report_file=folder / f"{stem}.json",
        picture=None if picture is None else folder / picture.name,
        bits=None if bits is None else bits.moved_to(folder),
        onnx=onnx_info,
        onnx_refusal=refusal,
        num_batches=len(batches),
        image_size=size,
        reload_difference=difference,
    )


def _check_float(checkpoint: str | os.PathLike[str]) -> None:
    """Refuse the checkpoint of a quantized model."""
    state = model_state(read_checkpoint(checkpoint_file(checkpoint)), str(checkpoint))
    parts = {key.removeprefix("module.").partition(".")[0] for key in state}
    if {"architecture", "quantizer"} <= parts:
        raise ValueError(
            f"Checkpoint '{checkpoint}' is that of a quantized model. Give the float "
            "weights that it was made from; tools/export.py writes what was trained "
            "quantized."
        )


def _prepared(model: nn.Module, settings: dict[str, Any]) -> Quantize:
    if not isinstance(model, BaseModel):
        raise ValueError(
            f"{type(model).__name__} is a plain torch module, which a config's data "
            "cannot be run through. Call mmrazor.quantize(model, batches)."
        )
    algorithm = Quantize(model, settings)
    algorithm.is_init = True
    return algorithm.to(get_device()).eval()


def _header(model: Quantize, path: Path, weights: Path) -> str:
    name = type(model.architecture).__name__
    return (
        f"{name} quantized by mmrazor for {model.quantizer.backend.name}.\n"
        f"Test it: {tool_command('test', path, weights)}\n"
        f"Train it on: {tool_command('train', path)}"
    )


def _reload_difference(
    path: Path, weights: Path, model: Quantize, inputs: Any
) -> float:
    """Return how far the output of the model built from the files is from this one's.

    Raises:
        RuntimeError: If weights or ranges differ.
    """
    cfg = load_config(path)
    scope = cfg.get("default_scope") or "mmengine"
    again: Any = build_architecture(Config(dict(model=cfg.model, default_scope=scope)))
    load_weights(again, weights)
    check_same_state(model, again, path, "quantized")
    return output_difference(model.architecture, again.architecture, inputs)
