"""Two gloo processes train a supernet as one does, unused candidates included."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.dist
HERE = Path(__file__).parent


def test_two_processes_train_as_one_does(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    files = [tmp_path / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(HERE / "ddp_worker.py"), str(rank), port, str(file)],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[3])},
        )
        for rank, file in enumerate(files)
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    (first, alone), (second, _) = (torch.load(file) for file in files)
    assert list(alone) == ["spos", "darts", "second order", "dsnas"]
    for kind, state in alone.items():
        for name, value in state.items():
            one, other = first[kind][name], second[kind][name]
            assert torch.equal(one, other), (kind, name)
            torch.testing.assert_close(one, value, rtol=1e-5, atol=1e-6)
