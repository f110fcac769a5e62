from __future__ import annotations

import argparse
import builtins
import collections
import datetime
import fractions
import os
import pathlib
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmrazor.core.checkpoint_reader import (
    CheckpointError,
    RefusedCheckpointError,
    load,
    read_checkpoint,
    trust_checkpoints,
    trusting,
)


class Calls:
    """Its pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (os.system, "touch {}"),
        (exec, "open({!r}, 'w')"),
        (eval, "open({!r}, 'w')"),
        (os.mkdir, "{}"),
        (pathlib.Path.touch, pathlib.Path("{}")),
    ],
)
def test_no_function_is_called(
    tmp_path: Path, function: Any, argument: Any, legacy: bool
) -> None:
    made = tmp_path / "made"
    argument = type(argument)(str(argument).format(str(made)))
    path = tmp_path / "a.pth"
    torch.save(
        {"meta": Calls(function, argument)},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(RefusedCheckpointError, match=r"a.pth' holds.*is refused"):
        read_checkpoint(path)
    assert not made.exists()
    with trusting():
        load(path)
    assert made.exists()


def test_a_host_that_allows_getattr_opens_no_door(tmp_path: Path) -> None:
    torch.save({"a": Calls(getattr, np.ndarray, "__class__")}, tmp_path / "a.pth")
    allowed = [builtins.getattr, fractions.Fraction]
    before = set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals(allowed):
        with pytest.raises(RefusedCheckpointError, match=r"builtins\.getattr"):
            read_checkpoint(tmp_path / "a.pth")
        # What a user allows stays allowed, here and afterwards.
        torch.save({"a": fractions.Fraction(1, 2)}, tmp_path / "a.pth")
        assert read_checkpoint(tmp_path / "a.pth")["a"] == 0.5
        assert set(allowed) <= set(torch.serialization.get_safe_globals())
    assert set(torch.serialization.get_safe_globals()) == before


def test_trust_ends_with_the_block(tmp_path: Path) -> None:
    torch.save({"a": fractions.Fraction(1, 2)}, tmp_path / "a.pth")
    with trusting():
        assert read_checkpoint(tmp_path / "a.pth")["a"] == 0.5
    with pytest.raises(FileNotFoundError), trusting():
        read_checkpoint(tmp_path / "b.pth")
    with pytest.raises(RefusedCheckpointError, match=r"fractions\.Fraction"):
        read_checkpoint(tmp_path / "a.pth")
    trust_checkpoints()
    try:
        assert read_checkpoint(tmp_path / "a.pth")["a"] == 0.5
    finally:
        trust_checkpoints(False)


def test_data_of_older_checkpoints_is_read(tmp_path: Path) -> None:
    counts: Any = collections.defaultdict(list)
    counts["a"].append(1)
    now = datetime.datetime(2020, 2, 3, tzinfo=datetime.timezone.utc)
    content = {
        "args": argparse.Namespace(
            output_dir=pathlib.Path("/out"), seed=slice(1, 2), opt=None
        ),
        "meta": {
            "CLASSES": ("cat", "dog"),
            "PALETTE": np.array([[1, 2, 3]], np.uint8),
            "dataset_meta": ConfigDict(classes=("cat",), names=dict(a=1)),
            "time": now,
            "took": datetime.timedelta(seconds=3),
            "torch": torch.__version__,
            "hook_msgs": {"best_score": np.float64(0.5), "flag": np.bool_(True)},
            "counts": counts,
            "more": types.SimpleNamespace(dtype=np.float32, z=np.complex64(1j)),
        },
        "rng": (np.random.get_state(), torch.get_rng_state()),
        "device": torch.device("cpu"),
        "keys": {1, 2},
        "frozen": frozenset("ab"),
    }
    for legacy in (True, False):
        torch.save(
            content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy
        )
        found = read_checkpoint(tmp_path / "a.pth")
        assert str(found["args"].output_dir) == "/out"
        assert found["args"].seed == slice(1, 2)
        meta = found["meta"]
        assert meta["CLASSES"] == ("cat", "dog")
        assert meta["PALETTE"].tolist() == [[1, 2, 3]]
        assert meta["dataset_meta"] == {"classes": ("cat",), "names": {"a": 1}}
        assert (meta["time"], meta["took"].seconds) == (now, 3)
        assert meta["hook_msgs"] == {"best_score": 0.5, "flag": True}
        assert meta["counts"] == {"a": [1]}
        assert meta["more"].dtype is np.float32
        assert (found["keys"], found["frozen"]) == ({1, 2}, frozenset("ab"))


def test_mappings_of_packages_that_are_gone_are_read(tmp_path: Path) -> None:
    """As mmcv 1 and the projects with yacs pickled their configs."""
    modules = {"mmcv.utils.config": "ConfigDict", "yacs.config": "CfgNode"}
    kinds = [
        type(name, (dict,), {"__module__": module}) for module, name in modules.items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), kind in zip(modules.items(), kinds, strict=True):
            stand_in = types.ModuleType(module)
            setattr(stand_in, name, kind)
            patch.setitem(sys.modules, module, stand_in)
            package = module.rpartition(".")[0]
            patch.setitem(sys.modules, package, types.ModuleType(package))
        torch.save({"cfgs": [kind(lr=0.1) for kind in kinds]}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")["cfgs"]
    assert found == [{"lr": 0.1}, {"lr": 0.1}]


def _without_data(path: Path) -> None:
    with zipfile.ZipFile(path) as old:
        kept = {n: old.read(n) for n in old.namelist() if "/data/" not in n}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in kept.items():
            new.writestr(name, data)


def _with_one_bit_turned(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 20] ^= 255
    path.write_bytes(data)


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:700]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello, this is no checkpoint\n"),
    "pointer": lambda path: path.write_text("version https://git-lfs.example/v1\n"),
    "no data": _without_data,
    "bit": _with_one_bit_turned,
    "other archive": lambda path: zipfile.ZipFile(path, "w").writestr("a", "b"),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(300)}, path)
    DAMAGE[damage](path)
    with pytest.raises(CheckpointError, match=r"a.pth' is no readable") as caught:
        read_checkpoint(path)
    assert not isinstance(caught.value, RefusedCheckpointError)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_not_there_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        read_checkpoint(tmp_path / "nowhere.pth")
