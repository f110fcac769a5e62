"""The benchmark of pruned networks' accuracy runs its methods and sums up its runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmpretrain")
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from efficientnet_lite import Lite, SamePad
from prune_accuracy_configs import METHODS, QUICK, Run, networks, run_config
from prune_accuracy_parts import PackedImages
from prune_accuracy_report import totals
from prune_accuracy_run import run_images

from mmrazor import build_architecture, count_cost

TINY = replace(
    QUICK,
    resnet=(18, 4),
    mobilenet=0.25,
    batch=4,
    dense_steps=2,
    steps=20,
    test_images=8,
)


def test_packed_images_are_those_of_the_files(packed):
    images = PackedImages(str(packed / "train"), 20)
    seen = []
    for item in images:
        label = int(item["data_samples"].gt_label)
        seen.append(label)
        folder = packed.parent / "cifar10" / "train" / f"class{label}"
        stored = [np.asarray(Image.open(path)) for path in folder.iterdir()]
        wanted = item["inputs"].permute(1, 2, 0).numpy()
        assert any(np.array_equal(wanted, pixels) for pixels in stored)
    assert sorted(seen) == sorted([*range(10)] * 2)
    assert seen != sorted(seen)  # a first part has all classes


def test_augmented_image_is_a_part_of_the_padded_one(packed):
    plain = PackedImages(str(packed / "train"), 1)[0]["inputs"]
    padded = torch.nn.functional.pad(plain, (4, 4, 4, 4))
    parts = [
        part
        for image in (padded, padded.flip(2))
        for part in image.unfold(1, 32, 1).unfold(2, 32, 1).flatten(1, 2).unbind(1)
    ]
    torch.manual_seed(0)
    found = PackedImages(str(packed / "train"), 1, augment=True)
    for _ in range(5):
        image = found[0]["inputs"]
        assert any(torch.equal(image, part) for part in parts)


@pytest.mark.parametrize("network", networks(TINY))
def test_every_method_names_what_exists(network, packed):
    for method in METHODS:
        run = Run(0, network, method, 0.5)
        cfg = run_config(run, TINY, packed, dense=None)
        assert cfg.model.pruner.budget.macs == 0.5
        assert cfg.train_cfg.max_iters == TINY.steps


@pytest.mark.slow
@pytest.mark.parametrize("kd", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_method_prunes_the_trained_network_to_its_budget(method, kd, packed, tmp_path):
    train = run_images(TINY, packed, tmp_path / "runs")
    dense = train(Run(0, "resnet", "dense"), None)
    run = Run(0, "resnet", method, 0.5, kd)
    result = train(run, dense["checkpoint"])
    assert 0.35 < result["macs"] / dense["macs"] <= 0.5
    assert ("pruned" in result) == (method != "dcff")  # which has no such moment
    assert train(run, dense["checkpoint"]) == result  # not repeated: same seconds


def test_costs_and_scores_are_summed_up_by_method():
    def result(score, macs, params, **more):
        return {"score": score, "macs": macs, "params": params, **more}

    rows = totals(
        {
            Run(0, "net", "dense"): result(60.0, 100, 10),
            Run(1, "net", "dense"): result(64.0, 100, 20),
            Run(0, "net", "l1", 0.5): result(50.0, 50, 5, pruned=10.0),
            Run(1, "net", "l1", 0.5): result(56.0, 40, 5, pruned=20.0),
        }
    )
    dense, l1 = rows
    assert dense["score"]["mean"] == 62.0
    assert "pruned" not in dense
    assert l1["pruned"]["mean"] == 15.0
    assert l1["score"]["std"] == pytest.approx(18**0.5, abs=1e-4)
    assert (l1["macs"], l1["params"]) == (0.45, 0.375)


@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_tensorflows(kernel):
    # Out of 8 in strides of 2 come 4, and the odd pixel of padding is behind.
    padded = SamePad(kernel, 2)(torch.ones(1, 1, 8, 8))
    assert padded.shape[-1] == 3 * 2 + kernel
    first = int(padded[0, 0, kernel].nonzero()[0])
    assert (first, padded.shape[-1] - 8 - first) == ((kernel - 2) // 2, kernel // 2)


def test_lite0_has_the_published_size():
    # The authors' table: 4.7 M parameters, 407 M multiply-adds at 224. Ours counts
    # convolutions and the linear layer alone.
    cost = count_cost(Lite().eval(), torch.zeros(1, 3, 224, 224))
    assert round(cost.params / 1e6, 1) == 4.7
    assert 0.93 < cost.macs / 407e6 < 1.0


def test_networks_are_small():
    for cfg in networks(QUICK).values():
        cost = count_cost(build_architecture(cfg).eval(), torch.zeros(1, 3, 32, 32))
        assert cost.macs < 10e6
