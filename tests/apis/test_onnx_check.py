"""How far ONNX Runtime may be from a quantized model."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from mmrazor.apis import onnx_check
from mmrazor.apis.onnx_check import OnnxExportError, largest_difference
from mmrazor.apis.onnx_graph import TensorFunction


class Shifted(nn.Module):
    """One output, larger by ``by`` where it is quantized."""

    by = 0.0

    def forward(self, x):
        return torch.ones(1, 4) + x * 0 + self.by


@pytest.mark.parametrize(("theirs", "accepted"), [(1.09, True), (1.5, False)])
@pytest.mark.parametrize("changed_by", [0.0, 0.3])
def test_an_output_may_differ_by_twice_what_quantization_changed(
    monkeypatch, tmp_path, theirs, accepted, changed_by
):
    model = Shifted()
    model.by = changed_by
    function = TensorFunction(model, torch.zeros(1, 4))

    @contextmanager
    def in_float():
        model.by = 0.0
        yield
        model.by = changed_by

    def runtime(path):
        return lambda arrays: [torch.full((1, 4), theirs + changed_by).numpy()]

    monkeypatch.setattr(onnx_check, "_runtime", runtime)
    accepted = accepted or changed_by > 0  # 0.6 of 1.3 is allowed then
    arguments = (function, tmp_path, False, 0.1, in_float)
    if accepted:
        expected = (theirs - 1) / (1 + changed_by)
        assert largest_difference(*arguments) == pytest.approx(expected, rel=1e-4)
    else:
        with pytest.raises(OnnxExportError, match=r"differs by 5.00e-01 .*=0\.1"):
            largest_difference(*arguments)
