# A number in a table is worth something if it is that of the file beside it: costs are
# counted on the model that the config and the checkpoint make, and an ONNX file must
# hold the convolutions of the model that its config makes.
"""The models of a comparison: what each costs, and its ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from torch import nn

from ..core.cost import Cost, count_cost
from ..core.graph import example_inputs
from ..models.architectures import build_architecture, slimmed
from ..models.architectures.onnx_session import onnx_graph
from ..models.architectures.resolve import is_pruned
from .bare_config import bare_config
from .export import export_model
from .image_size import test_image_size
from .onnx import OnnxExportError
from .pruning_run import subnet_in, training_pruner
from .run_config import RunConfigError

#: Nodes with a weight, and which of their inputs it is.
_WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1}


@dataclass(frozen=True)
class CompareSource:
    """A config and the file of its model.

    Args:
        name: What it is called.
        cfg: Of an Algorithm, or of a plain host model.
        file: Its checkpoint, or its ONNX file.
        cost: MACs and parameters of the Architecture, for one image.
        image_size: Height and width of that image.
    """

    name: str
    cfg: Config
    file: Path
    cost: Cost
    image_size: tuple[int, int]

    @classmethod
    def of(
        cls,
        name: str,
        cfg: Config,
        file: Path,
        image_size: Sequence[int] | None = None,
    ) -> CompareSource:
        """Count the model that a config makes with a file.

        Args:
            name: What it is called.
            cfg: Of an Algorithm, or of a plain host model.
            file: Its checkpoint, or its ONNX file.
            image_size: Height and width; default is what the test pipeline makes.

        Raises:
            RunConfigError: If the ONNX file is of another model than the config's.
            ValueError: If the config has no model, or the image size is none.
        """
        model, bare = _architecture(cfg, file)
        size = tuple(image_size or test_image_size(bare))
        if len(size) > 2:
            raise ValueError(f"image_size={list(size)} must be height and width.")
        height, width = int(size[0]), int(size[-1])
        cost = count_cost(model, example_inputs(model, (height, width)))
        if _is_onnx(file):
            _check_same_model(model, file, str(cfg.filename))
        return cls(name, cfg, file, cost, (height, width))

    def onnx_file(self, folder: Path) -> tuple[Path | None, str]:
        """Return the ONNX file, or why there is none.

        Args:
            folder: Where one is written, if the file is a checkpoint.
        """
        if _is_onnx(self.file):
            return self.file, ""
        try:
            info = export_model(
                self.cfg, self.file, folder, name="model", image_size=self.image_size
            )
        except (OnnxExportError, ModuleNotFoundError) as err:
            return None, str(err)
        assert info.onnx is not None
        return info.onnx.path, ""


def _is_onnx(path: Path) -> bool:
    return path.suffix == ".onnx"


def _architecture(cfg: Config, file: Path) -> tuple[nn.Module, Config]:
    """Return the Architecture, without weights, and its config."""
    bare = bare_config(cfg)
    model = build_architecture(bare)
    if _is_onnx(file):
        if training_pruner(cfg.model) is not None:
            raise RunConfigError(
                f"Config '{cfg.filename}' prunes while it trains, so it does not tell "
                f"the channels of '{file}'. Give the config that tools/export.py wrote "
                "beside that file."
            )
        return model, bare
    subnet = subnet_in(file)
    if subnet is not None and not is_pruned(bare.model):
        model = slimmed(model, subnet)
    return model, bare


def _check_same_model(model: nn.Module, file: Path, config: str) -> None:
    """Return quietly if all weights of layers in an ONNX file may be a model's.

    Raises:
        RunConfigError: If a weight has a shape that no parameter has.
    """
    shapes = {tuple(value.shape) for value in model.state_dict().values()}
    for name, shape in _weight_shapes(file):
        if shape not in shapes and shape[::-1] not in shapes:
            raise RunConfigError(
                f"'{file}' is not of the model in '{config}': its node '{name}' has a "
                f"weight of {list(shape)}, and no parameter of the model has. Give the "
                "config that tools/export.py, tools/prune.py or tools/quantize.py "
                "wrote beside that file, or that it was exported with."
            )


def _weight_shapes(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the layers of an ONNX file with the shapes of their constant weights."""
    graph = onnx_graph(file)
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    for node in graph.node:
        place = _WEIGHTED.get(node.op_type)
        if place is not None and node.input[place] in shapes:
            yield node.name, shapes[node.input[place]]
