"""Models in integers predict in ONNX Runtime what they do in torch."""

import copy

import pytest
import torch

import mmrazor
from mmrazor.core.graph import example_inputs
from mmrazor.models.architectures import build_architecture
from mmrazor.models.architectures.onnx_model import onnx_model
from tests.tiny_models import TINY

pytest.importorskip("onnxruntime")
#: What makes scores that are apart, and boxes inside the image.
SMALLER = {"retina_cls": 0.01, "retina_reg": 0.05}


def random_model(scope):
    """Return a model whose weights are as after an initialization for training."""
    pytest.importorskip(scope)
    torch.manual_seed(0)
    model = build_architecture(TINY[scope](3)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
        parameter.data.mul_(next((SMALLER[k] for k in SMALLER if k in name), 1))
    return model


def predictions(model, batch):
    """Return what a host makes of a batch: rows of boxes with scores, or maps."""
    with torch.no_grad():
        samples = model(**copy.deepcopy({**batch, "mode": "predict"}))
    if hasattr(samples[0], "seg_logits"):
        return [sample.seg_logits.data for sample in samples]
    found = [sample.pred_instances for sample in samples]
    return [torch.cat([one.bboxes, one.scores[:, None]], 1) for one in found]


def share_found(expected, found):
    """Return the share of rows that are found within a pixel and 0.01 of the score."""
    apart = (expected[:, None] - found[None]).abs()
    near = (apart[..., :4] < 1).all(-1) & (apart[..., 4] < 0.01)
    return near.any(1).double().mean()


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["mmdet", "mmseg"])
def test_predictions_are_those_of_the_model_that_rounds(scope, tmp_path):
    model = random_model(scope)
    batch = example_inputs(model, (64, 96), batch_size=2)
    quant = mmrazor.quantize(model, [batch])
    path = mmrazor.export_onnx(quant.model, batch, tmp_path / "net.onnx").path
    ours = onnx_model(TINY[scope](3), path).eval()
    made = (predictions(m, batch) for m in (model, quant.model.architecture, ours))
    for plain, rounded, found in zip(*made, strict=True):
        assert rounded.numel()
        if scope == "mmdet":
            assert share_found(rounded, found) > 0.8
            assert share_found(rounded, plain) < 0.8
        else:
            error = (rounded - plain).abs().mean()
            assert (rounded - found).abs().mean() < 0.1 * error
            assert torch.equal(rounded.argmax(0), found.argmax(0))
