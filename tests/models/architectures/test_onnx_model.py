"""What a host makes of an ONNX file is what it makes of its own network."""

import copy

import pytest
import torch

from mmrazor.apis.onnx import export_onnx
from mmrazor.core.graph import example_inputs
from mmrazor.models.architectures import build_architecture
from mmrazor.models.architectures.onnx_model import OnnxModelError, onnx_model
from tests.tiny_models import TINY, classifier, detector

pytest.importorskip("onnxruntime")
SIZE = (64, 96)


def exported(scope, folder):
    """Return a model with random weights, its inputs, and its ONNX file."""
    pytest.importorskip(scope)
    torch.manual_seed(0)
    model = build_architecture(TINY[scope](3)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
    inputs = example_inputs(model, SIZE, batch_size=2)
    assert inputs["mode"] == "tensor"
    return model, inputs, export_onnx(model, inputs, folder / "net.onnx").path


def values(sample):
    if hasattr(sample, "pred_instances"):
        found = sample.pred_instances
        return torch.cat([found.bboxes.flatten(), found.scores])
    if hasattr(sample, "seg_logits"):
        return sample.seg_logits.data
    return sample.pred_score


@pytest.mark.parametrize("scope", TINY)
def test_predictions_are_those_of_the_host(scope, tmp_path):
    model, inputs, path = exported(scope, tmp_path)
    ours = onnx_model(TINY[scope](3), path).eval()
    assert type(ours) is type(model)
    batch = {**inputs, "mode": "predict"}
    with torch.no_grad():
        expected = model(**copy.deepcopy(batch))
        found = copy.deepcopy(ours)(**copy.deepcopy(batch))
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert values(other).numel()
        torch.testing.assert_close(values(one), values(other), rtol=1e-3, atol=1e-3)


def test_sizes(tmp_path):
    model, _, path = exported("mmdet", tmp_path)
    ours = onnx_model(detector(3), path).eval()
    small = example_inputs(model, (64, 64))
    with torch.no_grad():
        assert ours(**{**small, "mode": "predict"})[0].pred_instances.bboxes.numel()
        large = example_inputs(model, (128, 96))
        with pytest.raises(OnnxModelError, match=r"128 x 96 does not .* takes 64 x 96"):
            ours(**{**large, "mode": "predict"})


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no ONNX file"):
        onnx_model(classifier(), tmp_path / "gone.onnx")
    linear = torch.nn.Linear(2, 2)
    path = export_onnx(linear, (torch.zeros(1, 2),), tmp_path / "linear.onnx").path
    with pytest.raises(OnnxModelError, match="Linear is no model whose predictions"):
        onnx_model(linear, path)

    class Two(torch.nn.Module):
        def forward(self, a, b):
            return a + b

    path = export_onnx(Two(), (torch.zeros(1), torch.zeros(1)), tmp_path / "two.onnx")
    with pytest.raises(OnnxModelError, match=r"has inputs \['input_0', 'input_1'\]"):
        onnx_model(classifier(), path.path)
