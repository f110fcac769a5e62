from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmrazor.core.forward import call_model, evaluating
from mmrazor.core.graph import example_inputs
from mmrazor.models.architectures import build_architecture
from tests.core.graph.test_data_samples import tracker
from tests.tiny_models import TINY


@pytest.mark.parametrize("scope", TINY)
def test_hosts_run_in_tensor_mode(scope: str) -> None:
    model = build_architecture(TINY[scope]())
    model.train()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    inputs = example_inputs(model, image_size=(64, 96), batch_size=2)
    assert inputs["mode"] == "tensor"
    assert inputs["inputs"].shape == (2, 3, 64, 96)
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(state, torch.get_rng_state())
    with evaluating(model):
        assert call_model(model, inputs) is not None


@pytest.mark.parametrize("scope", TINY)
@pytest.mark.parametrize("mode", ["predict", "loss"])
def test_data_samples_serve_the_other_modes(scope: str, mode: str) -> None:
    model = build_architecture(TINY[scope]())
    inputs = {**example_inputs(model, (64, 64), 2), "mode": mode}
    with evaluating(model):
        output = call_model(model, inputs)
    if mode == "predict":
        assert len(output) == 2
    else:
        losses = [v for v in output.values() if isinstance(v, torch.Tensor)]
        assert all(torch.isfinite(loss).all() for loss in losses)


def test_algorithm_takes_what_its_architecture_takes() -> None:
    class Wrapper(BaseModel):
        def __init__(self, architecture: nn.Module) -> None:
            super().__init__()
            self.architecture = architecture

        def forward(self, inputs, data_samples=None, mode="tensor"):
            return self.architecture(inputs, data_samples, mode)

    model = Wrapper(build_architecture(TINY["mmdet"]()))
    inputs = {**example_inputs(model, (64, 64)), "mode": "loss"}
    assert "loss_cls" in call_model(model, inputs)


def test_same_values_each_time() -> None:
    model = nn.Conv2d(1, 2, 3)
    first, second = example_inputs(model), example_inputs(model)
    assert torch.equal(first["input"], second["input"])
    assert first["input"].shape == (1, 1, 224, 224)


def test_first_layer_and_dtype_decide() -> None:
    inputs = example_inputs(nn.Sequential(nn.Linear(5, 2).double()), batch_size=4)
    assert inputs["input"].shape == (4, 5)
    assert inputs["input"].dtype == torch.float64


class OnlyMode(BaseModel):
    """Runs in one mode; refuses the others as real models do."""

    def __init__(self, mode: str, channels: int = 3) -> None:
        super().__init__()
        self.mode = mode
        self.conv = nn.Conv2d(channels * 4, 1, 1)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode != self.mode:
            raise NotImplementedError(f"no {mode}")
        return self.conv(nn.functional.pixel_unshuffle(inputs, 2))


@pytest.mark.parametrize("mode", ["tensor", "predict", "loss"])
def test_first_mode_that_runs_with_the_channels_that_fit(mode: str) -> None:
    # As in YOLOX, the first convolution sees 4 values of each channel.
    inputs = example_inputs(OnlyMode(mode), (32, 32))
    assert inputs["mode"] == mode
    assert inputs["inputs"].shape == (1, 3, 32, 32)


def test_model_that_runs_in_no_mode() -> None:
    with pytest.raises(
        ValueError,
        match=r"OnlyMode does not run on images of 8 x 8.*no tensor.*no loss",
    ):
        example_inputs(OnlyMode("none"), (8, 8))


def test_forward_without_a_named_argument() -> None:
    class Star(nn.Module):
        def forward(self, *tensors):
            return tensors

    with pytest.raises(TypeError, match=r"Star.forward names no first argument"):
        example_inputs(Star())


@pytest.mark.parametrize("changes", [dict(batch_size=0), dict(image_size=(0, 4))])
def test_sizes_that_are_not_positive(changes) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        example_inputs(nn.Conv2d(3, 1, 1), **changes)


def test_trackers_get_pairs_of_frames() -> None:
    model = tracker()
    inputs = example_inputs(model, (64, 64))
    assert inputs["mode"] == "predict"
    assert inputs["inputs"].shape == (1, 2, 3, 64, 64)
    with evaluating(model):
        output = call_model(model, inputs)
    assert len(output[0]) == 2  # frames


def test_predictions_added_to_the_samples_are_numbers() -> None:
    # mmseg returns the samples it was given, with the predictions in them.
    model = build_architecture(TINY["mmseg"]())
    model._forward = _refuse
    assert example_inputs(model, (64, 64))["mode"] == "predict"


def _refuse(*_, **__):
    raise NotImplementedError


class FindsNothing(BaseModel):
    """Predicts no boxes, and hands the boxes it was given on; can tell its loss."""

    def __init__(self, has_loss: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.has_loss = has_loss

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode == "predict":
            return [inputs, self.weight[:0]]
        if mode == "loss" and self.has_loss:
            return {"loss": self.weight * inputs.sum()}
        raise NotImplementedError(mode)


@pytest.mark.parametrize(("has_loss", "mode"), [(True, "loss"), (False, "predict")])
def test_mode_without_numbers_comes_last(has_loss: bool, mode: str) -> None:
    assert example_inputs(FindsNothing(has_loss), (8, 8))["mode"] == mode
