from __future__ import annotations

import pytest
from mmengine.config import Config

from mmrazor.apis.image_size import test_image_size as size_of


def config(*transforms: dict, **model: object) -> Config:
    dataset = dict(type="Nothing", pipeline=list(transforms))
    return Config(dict(model=dict(**model), test_dataloader=dict(dataset=dataset)))


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        ([dict(type="ResizeEdge", scale=256), dict(type="CenterCrop", crop_size=224)],)
        * 1
        + ((224, 224),),
        ([dict(type="Resize", scale=(1333, 800), keep_ratio=True)], (800, 1333)),
        ([dict(type="mmdet.Resize", scale=(96, 64)), dict(type="Pack")], (64, 96)),
        ([dict(type="Resize", scale=32)], (32, 32)),
    ],
)
def test_pipelines(transforms, expected) -> None:
    assert size_of(config(*transforms)) == expected


def test_padding_of_the_preprocessor_is_added() -> None:
    cfg = config(
        dict(type="Resize", scale=(1333, 800)),
        data_preprocessor=dict(pad_size_divisor=32),
    )
    assert size_of(cfg) == (800, 1344)


def test_wrapped_dataset() -> None:
    cfg = config(dict(type="Resize", scale=(96, 64)))
    inner = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type="RepeatDataset", dataset=inner)
    assert size_of(cfg) == (64, 96)


def test_first_image_tells_if_the_pipeline_does_not(monkeypatch, tmp_path) -> None:
    mmcv = pytest.importorskip("mmcv")
    pytest.importorskip("mmpretrain")
    import numpy as np

    (tmp_path / "a").mkdir()
    mmcv.imwrite(np.zeros((28, 20, 3), np.uint8), str(tmp_path / "a" / "0.png"))
    dataset = dict(
        type="CustomDataset",
        data_root=str(tmp_path),
        pipeline=[dict(type="LoadImageFromFile"), dict(type="PackInputs")],
    )
    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=dict(),
            test_dataloader=dict(dataset=dataset),
        )
    )
    assert size_of(cfg) == (28, 20)


def test_nobody_tells() -> None:
    with pytest.raises(ValueError, match="--image-size HEIGHT WIDTH"):
        size_of(Config(dict(model=dict())))
    with pytest.raises(ValueError, match="--image-size HEIGHT WIDTH"):
        size_of(config(dict(type="Pack")))
