from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmrazor.apis.weights_file import num_bytes, plain_state, size_text, write_weights


def test_a_file_holds_no_more_than_the_model(tmp_path: Path) -> None:
    big = torch.rand(1000, 1000)
    model = nn.Linear(10, 10, bias=False)
    model.weight = nn.Parameter(big[:10, :10])  # a view of a large tensor
    path = write_weights(tmp_path / "a.pth", model, {"CLASSES": ("a", np.int64(1))})
    assert path.stat().st_size < 4000
    assert abs(num_bytes(model) - path.stat().st_size) < 300
    content = torch.load(path, weights_only=True)
    assert content["meta"] == {"dataset_meta": {"classes": ("a", 1)}}
    assert torch.equal(content["state_dict"]["weight"], big[:10, :10])


def test_the_copy_is_its_own() -> None:
    model = nn.Linear(2, 2)
    state = plain_state(model)
    state["weight"].zero_()
    assert model.weight.abs().sum() > 0


def test_sizes_as_people_read_them() -> None:
    assert size_text(2**20) == "1.00 MiB"
    assert size_text(2**20 - 1) == "1024.0 KiB"
