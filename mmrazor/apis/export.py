# What training leaves is an Algorithm: Architecture, teacher, losses, hooks. What a
# user deploys is the Architecture alone, in the host library's own terms: a
# checkpoint with its own keys, a config without mmrazor, and an ONNX file.
"""Export the bare Architecture of a trained Algorithm."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.text import Text
from torch import nn

from ..core.cost import Cost, count_cost
from ..core.files import file_set
from ..core.graph import example_inputs
from ..core.plain_table import PlainTable
from ..core.space import Subnet
from ..models.algorithms import Quantize
from ..models.architectures import build_architecture, load_weights
from ..models.architectures.checkpoint import checkpoint_file
from ..models.architectures.resolve import is_pruned
from ..models.quantizers import QuantReport, quant_report
from .bare_config import bare_config, pruned_model
from .commands import tool_command
from .config_text import config_text
from .finetune_config import named_types
from .image_size import test_image_size
from .onnx import OnnxExportError, OnnxInfo, export_onnx
from .prune_source import config_stem
from .pruning_run import subnet_in
from .quantized_files import quantized_from, quantized_model
from .quantizing_run import quantizer_in
from .run_config import load_config
from .run_folder import file_stem, run_folder
from .weights_file import size_text, stored_meta, write_weights

# Of all files that may be written for one model.
_SUFFIXES = (".pth", ".py", ".onnx", "_subnet.yaml")


@dataclass(frozen=True)
class ExportInfo:
    """The files of an exported Architecture.

    Args:
        checkpoint: Weights with the Architecture's own keys, and ``dataset_meta``.
        config: Config that the host library runs without mmrazor; that of a pruned or
            searched model needs both.
        onnx: The ONNX file, if one was asked for.
        cost: MACs and parameters for one image of ``image_size``.
        image_size: Height and width that cost and ONNX file were made with.
        subnet: The Subnet of a pruned or searched model, which the config reads.
        quantized: What became of the layers of a quantized model, whose weights and
            config are those of ``mmrazor.Quantize``.
    """

    checkpoint: Path
    config: Path
    onnx: OnnxInfo | None
    cost: Cost
    image_size: tuple[int, int]
    subnet: Path | None = None
    quantized: QuantReport | None = None


def export_model(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str],
    out_dir: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    image_size: Sequence[int] | None = None,
    onnx: bool = True,
    cfg_options: Mapping[str, Any] | None = None,
) -> ExportInfo:
    """Write the bare Architecture of a config and its checkpoint.

    That of a quantized model goes with its ranges, and its batch norms folded. A
    checkpoint of a run with an EMA hook holds the averaged weights in its
    ``state_dict`` (mmengine swaps them there), so those are exported.

    Args:
        config: The config trained with: of an Algorithm, or of a plain host model.
        checkpoint: What training wrote.
        out_dir: Folder for the files; default is ``export`` beside the checkpoint.
        name: How their names begin; default is the config's. Files of that name are
            replaced together.
        image_size: Height and width; default is what the test pipeline makes.
        onnx: Write ``<name>.onnx`` too.
        cfg_options: Changes to the config, with dotted keys.

    Returns:
        Where the files are, and what the model costs.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        FileWriteError: If a file cannot be written; then none is.
        FolderInUseError: If another run writes into the folder.
        OnnxExportError: If ONNX cannot express the model; the other files are there.
        ValueError: If the checkpoint does not fit, or the config needs mmrazor.
    """
    cfg = load_config(config, cfg_options)
    bare = bare_config(cfg)
    source = checkpoint_file(checkpoint)
    folder = Path(out_dir) if out_dir is not None else source.parent / "export"
    stem = file_stem(name, config_stem(cfg))
    names = [f"{stem}{suffix}" for suffix in _SUFFIXES]
    onnx_info, refusal = None, None
    with run_folder(folder, "--out-dir"), file_set(folder, names) as place:
        weights, path = place / f"{stem}.pth", place / f"{stem}.py"
        subnet = place / f"{stem}_subnet.yaml"
        _take_cuts_(bare, source, subnet)
        model = build_architecture(bare)
        size = _size(image_size) if image_size else test_image_size(bare)
        quantizer = quantizer_in(cfg.model)
        if quantizer is not None:
            model = quantized_from(model, quantizer, size, source)
        else:
            load_weights(model, source)
        inputs = example_inputs(getattr(model, "architecture", model), size)
        write_weights(weights, model, _dataset_meta(source, bare))
        has_subnet = _copied_subnet_(bare, subnet)
        if quantizer is not None:
            scope = bare.default_scope
            bare.model = quantized_model(bare.model, scope, quantizer, size)
        # The order of keys counts in what was searched; pretty_text would sort them.
        text = _header(bare, stem) + config_text(named_types(bare.to_dict()))
        path.write_text(text, encoding="utf-8")
        if onnx:
            try:
                onnx_info = _exported(model, inputs, place / f"{stem}.onnx", folder)
            except OnnxExportError as err:
                refusal = err
    if refusal is not None:
        raise OnnxExportError(
            f"{refusal} Weights and config are in '{folder}'; export without ONNX "
            "(--no-onnx) to have these two alone."
        ) from refusal
    files = (folder / weights.name, folder / path.name, onnx_info)
    subnet_path = folder / subnet.name if has_subnet else None
    if not isinstance(model, Quantize):
        return ExportInfo(*files, count_cost(model, inputs), size, subnet_path)
    with model.quantizer.in_float():
        cost = count_cost(model.architecture, inputs)
    report = quant_report(model.architecture, model.quantizer)
    return ExportInfo(*files, cost, size, subnet_path, report)


def _exported(model: nn.Module, inputs: Any, path: Path, folder: Path) -> OnnxInfo:
    """Write an ONNX file that goes to a folder; errors name it there."""
    try:
        info = export_onnx(model, inputs, path)
    except OnnxExportError as err:
        raise OnnxExportError(str(err).replace(str(path.parent), str(folder))) from err
    return replace(info, path=folder / path.name)


def summary_table(info: ExportInfo) -> PlainTable:
    """Return what was exported as a table for a rich console."""
    height, width = info.image_size
    table = PlainTable(title="Exported architecture", show_header=False)
    table.add_column("what", style="cyan")
    table.add_column("value", overflow="fold")
    table.add_row("weights", _file(info.checkpoint))
    table.add_row("config", _file(info.config))
    if info.subnet is not None:
        table.add_row("subnet", _file(info.subnet))
    if info.onnx is not None:
        batch = "any" if info.onnx.dynamic_batch else "fixed"
        table.add_row("ONNX", _file(info.onnx.path))
        table.add_row(
            "ONNX against torch",
            f"largest relative difference {info.onnx.max_difference:.1e}, "
            f"opset {info.onnx.opset}, batch {batch}",
        )
    table.add_row("parameters", f"{info.cost.params / 1e6:.3f} M")
    table.add_row("MACs", f"{info.cost.macs / 1e9:.3f} G at {height} x {width}")
    if info.quantized is not None:
        table.add_row("quantized", f"{info.quantized.quantized_share:.1%} of the MACs")
        size = size_text(info.quantized.quantized_bytes)
        table.add_row("parameters in integers", size)
    if info.cost.uncounted:
        table.add_row("not counted", ", ".join(sorted(info.cost.uncounted)))
    return table


def _file(path: Path) -> Text:
    # No str: rich reads what stands in brackets there as a style.
    return Text(f"{path} ({size_text(path.stat().st_size)})")


def _size(image_size: Sequence[int]) -> tuple[int, int]:
    if len(image_size) == 1:
        image_size = (image_size[0], image_size[0])
    if len(image_size) != 2:
        raise ValueError(f"image_size={list(image_size)} must be height and width.")
    return int(image_size[0]), int(image_size[1])


def _dataset_meta(source: Path, bare: Config) -> dict[str, Any]:
    """Return class names and palette, of the checkpoint or else of the test set."""
    loader = bare.get("test_dataloader") or {}
    return stored_meta(source) or (loader.get("dataset") or {}).get("metainfo") or {}


def _take_cuts_(bare: Config, source: Path, path: Path) -> None:
    """Make the config one of a pruned model if the checkpoint is that of one."""
    subnet = subnet_in(source)
    if subnet is not None and not is_pruned(bare.model):
        subnet.dump(path)
        bare.model = pruned_model(bare.model, str(path))


def _copied_subnet_(bare: Config, path: Path) -> bool:
    """Write the Subnet, if there is one, beside the config, which reads it there."""
    if not is_pruned(bare.model):
        return False
    Subnet.load(bare.model.subnet).dump(path)
    bare.model.subnet = f"{{{{ fileDirname }}}}/{path.name}"
    return True


def _header(bare: Config, stem: str) -> str:
    scope = bare.get("default_scope")
    files = f"{stem}.py", f"{stem}.pth"
    library = scope if scope and scope != "mmengine" else "mmengine"
    if "quantizer" in bare.model:
        return (
            f"# Exported by mmrazor: a quantized model; needs {library} and mmrazor.\n"
            f"# Test it: {tool_command('test', *files)}\n"
        )
    if is_pruned(bare.model):
        kind = "searched" if "mutator" in bare.model else "pruned"
        return (
            f"# Exported by mmrazor: a {kind} model; needs {library} and mmrazor.\n"
            f"# Test it: {tool_command('test', *files)}\n"
        )
    return (
        f"# Exported by mmrazor; needs {library} alone.\n"
        f"# Test it in {library}: {tool_command('test', *files)}\n"
    )
