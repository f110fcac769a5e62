"""Turns, and what an ONNX file is fed with."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmrazor.apis.onnx import export_onnx
from mmrazor.apis.onnx_latency import (
    OnnxLatencyError,
    in_turns,
    one_image_call,
    random_feed,
)


def test_turns_are_taken_and_the_first_pass_of_each_is_not_timed():
    now, order = [0.0], []

    def made(name, seconds):
        def call():
            first = not order or order[-1] != name
            now[0] += 1.0 if first else seconds
            order.append(name)

        return call

    calls = {"slow": made("slow", 0.002), "fast": made("fast", 0.0005)}
    found = in_turns(calls, rounds=3, clock=lambda: now[0])
    assert order == (["slow"] * 10 + ["fast"] * 10) * 3
    assert found["slow"].median_ms == pytest.approx(2.0)
    assert found["fast"].max_ms == pytest.approx(0.5)
    assert {one.repeats for one in found.values()} == {27}
    with pytest.raises(ValueError, match="rounds=0"):
        in_turns(calls, rounds=0)


def described(shape, kind="tensor(float)"):
    return SimpleNamespace(name="x", shape=shape, type=kind)


def test_one_image_is_fed():
    feed = random_feed([described(["batch", 3, "height", 20])], (8, 9), "a.onnx")
    assert feed["x"].shape == (1, 3, 8, 20)
    assert feed["x"].dtype == np.float32
    assert feed["x"].std() > 0.5
    feed = random_feed([described([1, 4], "tensor(int64)")], (8, 9), "a.onnx")
    assert feed["x"].tolist() == [[0, 0, 0, 0]]
    assert feed["x"].dtype == np.int64


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (described([4, 3, 8, 8]), "'a.onnx' takes batches of 4 images"),
        (described(["batch", "tokens"]), "leaves the shape of 'x' open"),
        (described([1], "tensor(string)"), "has an input 'x' of tensor"),
    ],
)
def test_other_files_are_refused(one, text):
    with pytest.raises(OnnxLatencyError, match=text):
        random_feed([one], (8, 8), "a.onnx")


def test_a_file_is_run(tmp_path):
    net = nn.Conv2d(3, 2, 1).eval()
    image = torch.randn(1, 3, 4, 5)
    path = export_onnx(net, image, tmp_path / "net.onnx").path
    [output] = one_image_call(path, (4, 5))()
    assert output.shape == (1, 2, 4, 5)
