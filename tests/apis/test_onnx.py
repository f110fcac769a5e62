from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmrazor.apis import onnx as onnx_api
from mmrazor.apis.onnx import OnnxExportError, export_onnx
from mmrazor.core.graph import example_inputs
from mmrazor.models.architectures import build_architecture
from tests.tiny_models import TINY

onnxruntime = pytest.importorskip("onnxruntime")


def run(path: Path, **arrays: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    return session.run(None, arrays)


@pytest.mark.parametrize("scope", TINY)
def test_hosts_give_the_same_numbers(scope: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_architecture(TINY[scope]()).train()
    modes = [module.training for module in model.modules()]
    inputs = example_inputs(model, (64, 64))
    info = export_onnx(model, inputs, tmp_path / "model.onnx")
    assert info.max_difference < 1e-4
    assert info.input_names == ("inputs",)
    assert info.dynamic_batch
    assert modes == [module.training for module in model.modules()]

    # The answer from outside: the file, on a batch size never seen before.
    images = torch.randn(5, 3, 64, 64)
    with torch.no_grad():
        expected = model.eval()(images, mode="tensor", data_samples=None)
    first = expected[0][0] if isinstance(expected, tuple) else expected
    found = run(info.path, inputs=images.numpy())
    assert len(found) == len(info.output_names)
    assert b".py" not in info.path.read_bytes()  # lines of source of this machine
    scale = float(first.abs().max())
    np.testing.assert_allclose(found[0], first.numpy(), atol=1e-4 * scale)


def test_outputs_are_named_by_their_place(tmp_path: Path) -> None:
    model = build_architecture(TINY["mmdet"]())
    info = export_onnx(model, example_inputs(model, (64, 64)), tmp_path / "m.onnx")
    # RetinaNet: (classes of 5 levels, boxes of 5 levels).
    wanted = tuple(f"output_{kind}_{level}" for kind in (0, 1) for level in range(5))
    assert info.output_names == wanted


def test_dict_outputs_and_several_inputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, image, scale):
            return {"double": image * 2, "scaled": [image * scale]}

    inputs = {"image": torch.ones(2, 3), "scale": torch.full((2, 1), 3.0)}
    info = export_onnx(Two(), inputs, tmp_path / "two.onnx")
    assert info.input_names == ("image", "scale")
    assert info.output_names == ("output_double", "output_scaled_0")
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    double, scaled = run(info.path, **arrays)
    assert double.tolist() == [[2.0] * 3] * 2
    assert scaled.tolist() == [[3.0] * 3] * 2


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,)], ids=["tensor", "tuple"])
def test_plain_models_take_a_tensor_or_a_tuple(tmp_path: Path, wrap) -> None:
    info = export_onnx(nn.Linear(3, 2), wrap(torch.zeros(1, 3)), tmp_path / "l.onnx")
    assert info.output_names == ("output",)


class FixedBatch(nn.Module):
    """Writes its batch size into the graph, as window attention does."""

    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1) + torch.arange(int(x.shape[0]))[:, None]


def test_batch_that_the_model_fixes_is_reported(tmp_path: Path, monkeypatch) -> None:
    said = []
    monkeypatch.setattr(onnx_api, "print_log", lambda text, **_: said.append(text))
    info = export_onnx(FixedBatch(), torch.zeros(2, 3, 4), tmp_path / "f.onnx")
    if not info.dynamic_batch:
        assert "takes batches of 2 only: FixedBatch" in said[0]
    assert run(info.path, input=np.zeros((2, 3, 4), np.float32))[0][1, 0] == 1.0


def test_fixed_batch_on_demand(tmp_path: Path) -> None:
    info = export_onnx(
        nn.Linear(3, 2), torch.zeros(2, 3), tmp_path / "l.onnx", dynamic_batch=False
    )
    assert not info.dynamic_batch
    with pytest.raises(Exception, match="dimension"):
        run(info.path, input=np.zeros((5, 3), np.float32))


def test_opset_is_what_was_asked_for(tmp_path: Path) -> None:
    info = export_onnx(
        nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "l.onnx", opset=18
    )
    assert info.opset == 18


def test_older_exporter_takes_over(tmp_path: Path, monkeypatch) -> None:
    export = torch.onnx.export

    def fails_once(*args, dynamo, **kwargs):
        if dynamo:
            raise RuntimeError("not today")
        return export(*args, dynamo=dynamo, **kwargs)

    monkeypatch.setattr(torch.onnx, "export", fails_once)
    info = export_onnx(nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "l.onnx")
    assert info.exporter == "torchscript"
    assert info.dynamic_batch


def test_wrong_file_is_found_out_and_not_kept(tmp_path: Path, monkeypatch) -> None:
    class Random(nn.Module):
        def forward(self, x):
            return x + torch.rand(())

    with pytest.raises(
        OnnxExportError,
        match=r"Random cannot be exported.*'output' differs by .*tolerance=0.001",
    ):
        export_onnx(Random(), torch.zeros(2, 3), tmp_path / "r.onnx")
    assert list(tmp_path.iterdir()) == []


def test_model_that_no_exporter_takes(tmp_path: Path) -> None:
    class Stubborn(nn.Module):
        def forward(self, x):
            if torch.compiler.is_compiling() or torch.jit.is_tracing():
                raise RuntimeError("leave me alone")
            return x

    (tmp_path / "old.onnx").write_text("old")
    with pytest.raises(
        OnnxExportError, match=r"Stubborn cannot be exported.*leave me.*Try"
    ):
        export_onnx(Stubborn(), torch.ones(2, 3), tmp_path / "old.onnx")
    assert (tmp_path / "old.onnx").read_text() == "old"


def test_inputs_or_outputs_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hold no tensor"):
        export_onnx(nn.Identity(), {"input": 3}, tmp_path / "m.onnx")

    class Counts(nn.Module):
        def forward(self, x):
            return 3

    with pytest.raises(ValueError, match="Counts returns no tensor"):
        export_onnx(Counts(), torch.zeros(1), tmp_path / "m.onnx")


def test_too_large_for_one_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_api, "_MAX_BYTES", 10)
    with pytest.raises(OnnxExportError, match="GB of parameters"):
        export_onnx(nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_package_that_is_not_installed(tmp_path: Path, monkeypatch, name: str) -> None:
    def absent(wanted: str):
        if wanted == name:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return importlib.import_module(wanted)

    monkeypatch.setattr(onnx_api, "import_module", absent)
    with pytest.raises(
        ModuleNotFoundError, match=rf"needs '{name}'.*pip install 'mmrazor\[onnx\]'"
    ):
        export_onnx(nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "m.onnx")


def test_user_sees_no_noise(tmp_path: Path, capfd) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_onnx(nn.Linear(3, 2), torch.zeros(1, 3), tmp_path / "m.onnx")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_random_state_and_attention_come_back(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    torch.set_rng_state(state)
    info = export_onnx(layer, torch.randn(1, 5, 8), tmp_path / "t.onnx")
    assert info.max_difference < 1e-5
    assert torch.backends.mha.get_fastpath_enabled()
    assert "mmrazor" in sys.modules
