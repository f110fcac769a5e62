"""Two gloo processes train a supernet as one does, unused candidates included."""

from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.dist
HERE = Path(__file__).parent


def test_two_processes_train_as_one_does(saved_by_two):
    worker = HERE / "ddp_worker.py"
    (first, alone), (second, _) = saved_by_two(worker, timeout=240)
    assert list(alone) == ["spos", "darts", "second order", "dsnas"]
    for kind, state in alone.items():
        for name, value in state.items():
            one, other = first[kind][name], second[kind][name]
            assert torch.equal(one, other), (kind, name)
            torch.testing.assert_close(one, value, rtol=1e-5, atol=1e-6)
