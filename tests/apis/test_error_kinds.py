"""What is said of exceptions that Python, torch and the hosts raise."""

from __future__ import annotations

import errno
import os
import pickle
import runpy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmrazor.apis.error_kinds import explained, near, unknown_type


def raised(function, *args):
    """Return what a call raises, with its traceback."""
    with pytest.raises(BaseException) as caught:
        function(*args)
    return caught.value


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "no file or folder"),
        (errno.ENOSPC, "No space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "can only be read"),
        (errno.EACCES, "rights"),
        (errno.EISDIR, "is a folder"),
        (errno.ENOTDIR, "is a file"),
        (errno.EEXIST, "there already"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EMFILE, "num_workers"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_disk_errors_name_the_file(number, words):
    text = explained(OSError(number, os.strerror(number), "runs/a.pth"))
    assert words in text
    assert "'runs/a.pth'" in text


def test_file_of_an_error_without_one_is_found_in_the_call():
    def save(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert "'out/epoch_3.pth'" in explained(raised(save, "out/epoch_3.pth"))

    def write(filename):
        raise RuntimeError("[enforce fail at inline_container.cc:1] file write failed")

    text = explained(raised(write, "out/epoch_4.pth"))
    assert "No space" in text
    assert "'out/epoch_4.pth'" in text


def test_unknown_type_has_near_names():
    err = raised(MODELS.build, {"type": "ConvModul"})
    assert "Near names: ConvModule" in unknown_type(err)
    assert unknown_type(KeyError("y")) == ""
    assert unknown_type(ValueError("Foo is not in the mmengine::model registry")) == ""


def test_keys_of_a_constructor():
    class Net(nn.Module):
        def __init__(self, width, depth=1):
            super().__init__()

    text = explained(raised(MODELS.build, {"type": Net, "widht": 1}))
    assert "'widht'" in text
    assert "Near names: width" in text
    text = explained(raised(MODELS.build, {"type": Net, "depth": 1}))
    assert "'width'" in text
    assert "needs" in text
    text = explained(raised(MODELS.build, {"depth": 1}))
    assert "(depth) has no 'type'" in text
    text = explained(raised(MODELS.build, "Net"))
    assert "'Net' where a dict" in text


def test_a_typo_inside_a_constructor_is_not_the_configs_fault():
    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            dict.fromkeys([1], vaule=width)

    assert explained(raised(MODELS.build, {"type": Net, "width": 1})) == ""


@pytest.mark.parametrize("label", [-7, 4])
def test_label_out_of_range(label):
    logits = torch.zeros(2, 4)
    err = raised(nn.functional.cross_entropy, logits, torch.tensor([0, label]))
    text = explained(err)
    assert f"The label {label} of a sample" in text
    assert "4 outputs (0 to 3)" in text
    assert "num_classes" in text


def test_one_hot_labels():
    err = raised(nn.functional.one_hot, torch.tensor([3]), 2)
    assert "num_classes" in explained(err)


def test_other_index_errors_are_no_labels():
    assert explained(raised(lambda: [][1])) == ""


def test_batches_of_different_sizes():
    from torch.utils.data import default_collate

    err = raised(default_collate, [torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)])
    text = explained(err)
    assert "[3, 8, 8] at entry 0 and [3, 8, 9]" in text
    assert "Resize" in text
    assert "cannot be put together" in explained(raised(default_collate, [object()]))


@pytest.mark.parametrize(
    "err",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory(err):
    assert "batch_size" in explained(err)


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid(s) 31, 32) exited unexpectedly",
        "DataLoader worker (pid 31) is killed by signal: Killed. ",
    ],
)
def test_dead_workers(text):
    assert "The process 31" in explained(RuntimeError(text))


def test_other_ranks():
    text = explained(torch.distributed.DistBackendError("Connection closed by peer"))
    assert "its own error line" in text
    text = explained(
        torch.distributed.DistNetworkError("port: 29500, code: -98, EADDRINUSE")
    )
    assert "MASTER_PORT" in text


def test_damaged_file():
    def load(filename):
        raise pickle.UnpicklingError("pickle data was truncated")

    assert "'a.pth' is damaged" in explained(raised(load, "a.pth"))


def test_modules_assertions_and_recursion(tmp_path):
    def loop():
        return loop()

    assert "'nowhere'" in explained(raised(__import__, "nowhere"))
    file = tmp_path / "check.py"  # pytest would write a message into one of this file
    file.write_text("def check():\n    assert 1 > 2\n")
    assert "assert 1 > 2" in explained(raised(runpy.run_path(str(file))["check"]))
    assert "without end" in explained(raised(loop))
    # a sentence of its own stays
    own = ModuleNotFoundError("'mmdet' is not installed. Install it.", name="mmdet")
    assert explained(own) == str(own)


def test_near_of_nothing():
    assert near("x", ["far", "away"]) == ""
