"""The host libraries' own datasets read what was written, by the configs of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mmrazor import compat
from mmrazor.apis.prepare_data import prepare
from mmrazor.apis.prepare_data.cifar10 import CLASSES as CIFAR10_CLASSES
from mmrazor.apis.prepare_data.idx import read_split
from mmrazor.apis.prepare_data.preview import PALETTE
from mmrazor.apis.prepare_data.scenes import CLASSES

CONFIGS = Path(__file__).parents[3] / "configs" / "_base_" / "datasets"
SCENES = {"train_scenes": 4, "test_scenes": 3, "image_size": 160}


def first_batches(name: str, scope: str, folder: Path) -> tuple[Config, dict]:
    """Build everything of a config as its host does; one batch of each part."""
    pytest.importorskip(scope)
    compat.import_host(scope)
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    batches = {}
    with DefaultScope.overwrite_default_scope(scope):
        preprocessor = MODELS.build(cfg.data_preprocessor)
        for part in ("train", "val", "test"):
            loader = cfg[f"{part}_dataloader"]
            loader.update(num_workers=0, persistent_workers=False, batch_size=3)
            loader.dataset.data_root = str(folder)
            built = Runner.build_dataloader(loader, seed=0)
            assert len(built.dataset) > 0
            batches[part] = preprocessor(next(iter(built)), part == "train")
            batches[part]["dataset"] = built.dataset
        if "ann_file" in cfg.val_evaluator:
            cfg.val_evaluator.ann_file = str(folder / "annotations" / "test.json")
        Evaluator(cfg.val_evaluator)
    return cfg, batches


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mmpretrain_reads_idx_files(tmp_path, server, tiny_mnist, fashion, name):
    folder = prepare(name, tmp_path, ways=server.ways)
    _, batches = first_batches(name, "mmpretrain", folder)
    assert batches["train"]["inputs"].shape == (3, 1, 28, 28)
    for split, part in (("train", "train"), ("test", "val")):
        images, labels = read_split(folder, split)
        dataset = batches[part]["dataset"]
        assert len(dataset) == len(images)
        assert [dataset.get_data_info(i)["gt_label"] for i in range(5)] == list(
            labels[:5]
        )
        assert (dataset.get_data_info(4)["img"] == images[4]).all()


def test_mnist5k_config_differs_from_mnist_in_size_alone():
    small, full = (
        Config.fromfile(CONFIGS / f"{name}.py") for name in ("mnist5k", "mnist")
    )
    assert small.train_dataloader.dataset.data_root == "data/mnist5k"
    assert small.data_preprocessor == full.data_preprocessor
    assert small.train_pipeline == full.train_pipeline


def test_mmpretrain_reads_cifar10(tmp_path, server, tiny_cifar10):
    folder = prepare("cifar10", tmp_path, ways=server.ways)
    cfg, batches = first_batches("cifar10", "mmpretrain", folder)
    assert tuple(cfg.classes) == CIFAR10_CLASSES
    assert batches["train"]["inputs"].shape == (3, 3, 32, 32)
    dataset = batches["val"]["dataset"]
    assert len(dataset) == 20
    images, labels = tiny_cifar10
    for index in range(20):
        info = dataset.get_data_info(index)
        original = 100 + int(Path(info["img_path"]).stem)
        assert info["gt_label"] == labels[original]
    # Normalised pixels come back as the original RGB image.
    info = dataset.get_data_info(0)
    pre = cfg.data_preprocessor
    mean, std = (torch.tensor(pre[key]).view(3, 1, 1) for key in ("mean", "std"))
    pixels = batches["val"]["inputs"][0] * std + mean
    expected = torch.tensor(images[100 + int(Path(info["img_path"]).stem)])
    torch.testing.assert_close(
        pixels, expected.permute(2, 0, 1).float(), atol=1e-2, rtol=0
    )


def test_mmdet_reads_scenes(tmp_path, server, fashion, grounds):
    folder = prepare("scenes", tmp_path, ways=server.ways, **SCENES)
    cfg, batches = first_batches("scenes_detection", "mmdet", folder)
    assert tuple(cfg.metainfo.classes) == CLASSES
    assert tuple(map(tuple, cfg.metainfo.palette)) == PALETTE[1:]
    assert len(batches["train"]["dataset"]) == 4
    assert batches["val"]["inputs"].shape == (3, 3, 160, 160)
    sample = batches["val"]["data_samples"][0]
    info = batches["val"]["dataset"].get_data_info(0)
    boxes = torch.tensor([instance["bbox"] for instance in info["instances"]])
    labels = [instance["bbox_label"] for instance in info["instances"]]
    found = sample.gt_instances
    assert found.labels.tolist() == labels
    torch.testing.assert_close(
        torch.as_tensor(getattr(found.bboxes, "tensor", found.bboxes)), boxes.float()
    )


def test_mmseg_reads_scenes(tmp_path, server, fashion, grounds):
    folder = prepare("scenes", tmp_path, ways=server.ways, **SCENES)
    cfg, batches = first_batches("scenes_segmentation", "mmseg", folder)
    assert tuple(cfg.metainfo.classes) == ("background", *CLASSES)
    assert tuple(map(tuple, cfg.metainfo.palette)) == PALETTE
    assert len(batches["train"]["dataset"]) == 4
    mask = batches["val"]["data_samples"][0].gt_sem_seg.data
    assert mask.shape == (1, 160, 160)
    plain = Image.open(folder / "masks" / "test" / "000000.png")
    assert mask.flatten().tolist() == list(plain.tobytes())
