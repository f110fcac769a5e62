from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmrazor.apis.infer import inference, init_model
from tests.tiny_models import classifier

mmcv = pytest.importorskip("mmcv")


def config(*transforms: dict, channels: int = 3) -> Config:
    model = classifier()
    model["backbone"]["in_channels"] = channels
    model["data_preprocessor"] = dict(mean=[0.0] * channels, std=[1.0] * channels)
    dataset = dict(type="MNIST", pipeline=[*transforms, dict(type="PackInputs")])
    return Config(
        dict(
            default_scope="mmpretrain",
            model=model,
            test_dataloader=dict(dataset=dataset),
        )
    )


def test_without_checkpoint() -> None:
    model = init_model(config(), device="cpu")
    assert not model.training
    assert model.dataset_meta == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_files_for_a_dataset_of_arrays(tmp_path: Path, channels: int) -> None:
    torch.manual_seed(0)
    pixels = np.random.RandomState(1).randint(0, 255, (32, 32, channels), np.uint8)
    bgr = pixels[..., ::-1] if channels == 3 else pixels[..., 0]
    mmcv.imwrite(np.ascontiguousarray(bgr), str(tmp_path / "a.png"))
    model = init_model(config(channels=channels), device="cpu")
    file, array = str(tmp_path / "a.png"), pixels if channels == 3 else pixels[..., 0]
    of_file, of_array = inference(model, [file, array])
    assert torch.equal(of_file.pred_score, of_array.pred_score)


def test_one_image_gives_one_sample() -> None:
    model = init_model(config(dict(type="Resize", scale=16)), device="cpu")
    sample = inference(model, np.zeros((32, 40, 3), np.uint8))
    assert tuple(sample.img_shape) == (16, 16)
    assert sample.pred_score.shape == (3,)


def test_missing_image() -> None:
    model = init_model(config(), device="cpu")
    with pytest.raises(FileNotFoundError, match=r"no image file 'nowhere.jpg'"):
        inference(model, "nowhere.jpg")


def test_model_without_config() -> None:
    with pytest.raises(ValueError, match=r"Linear carries no config.*init_model"):
        inference(nn.Linear(1, 1), "a.jpg")


def test_config_without_pipeline() -> None:
    cfg = config()
    cfg.pop("test_dataloader")
    with pytest.raises(ValueError, match=r"no test_dataloader.dataset.pipeline"):
        inference(init_model(cfg, device="cpu"), np.zeros((8, 8, 3), np.uint8))


def test_missing_files() -> None:
    with pytest.raises(FileNotFoundError, match=r"no config file 'none.py'"):
        init_model("none.py")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint file 'none.pth'"):
        init_model(config(), "none.pth", device="cpu")
