from __future__ import annotations

import fractions
import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OneCycleLR
from torch import nn

from mmrazor.models.architectures.checkpoint import load_weights, read_checkpoint


def net(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "meta": {"epoch": 3}},
        lambda state: {"model": state},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {
            "state_dict": {
                **{f"architecture.{key}": value for key, value in state.items()},
                "distiller.connector.weight": torch.ones(1),
            }
        },
    ],
    ids=["plain", "mmengine", "torchvision", "parallel", "algorithm"],
)
def test_kinds_of_checkpoints(tmp_path: Path, wrap) -> None:
    source, target = net(), net()
    torch.save(wrap(source.state_dict()), tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert same(source, target)


def test_model_with_an_architecture_inside_keeps_its_keys(tmp_path: Path) -> None:
    source = nn.ModuleDict({"architecture": net(), "distiller": nn.Linear(1, 1)})
    target = nn.ModuleDict({"architecture": net(), "distiller": nn.Linear(1, 1)})
    torch.save(source.state_dict(), tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert same(source, target)


@pytest.mark.parametrize("of_file", [lambda n: n, nn.DataParallel], ids=["", "dp"])
@pytest.mark.parametrize("of_model", [lambda n: n, nn.DataParallel], ids=["", "dp"])
@pytest.mark.parametrize("child", ["module", "architecture", "0"])
def test_wrappers_and_children_of_their_names(
    tmp_path: Path, child: str, of_file, of_model
) -> None:
    source, target = (nn.Sequential(OrderedDict([(child, net())])) for _ in range(2))
    torch.save(of_file(source).state_dict(), tmp_path / "w.pth")
    load_weights(of_model(target), tmp_path / "w.pth")
    assert same(source, target)


def test_versions_of_modules_survive_stripping(tmp_path: Path) -> None:
    seen = []

    class Versioned(nn.Linear):
        _version = 4

        def _load_from_state_dict(self, state, prefix, metadata, *args):
            seen.append(metadata.get("version"))
            super()._load_from_state_dict(state, prefix, metadata, *args)

    outer = nn.ModuleDict({"architecture": nn.Sequential(Versioned(2, 2))})
    torch.save({"state_dict": outer.state_dict()}, tmp_path / "w.pth")
    load_weights(nn.Sequential(Versioned(2, 2)), tmp_path / "w.pth")
    assert seen == [4]


def test_everything_that_mmengine_writes_is_read_safely(tmp_path: Path) -> None:
    hub = MessageHub.get_instance("test_checkpoint")
    hub.update_scalar("train/loss", 1.5)
    hub.update_scalar("train/loss", torch.tensor(0.5))
    hub.update_info("iter", 7)
    content = {
        "meta": {"epoch": 1, "dataset_meta": {"classes": ("a",), "palette": None}},
        "state_dict": OrderedDict(net().state_dict()),
        "message_hub": hub.state_dict(),
        "optimizer": torch.optim.SGD(net().parameters(), lr=0.1).state_dict(),
        "random_state": (
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state(),
        ),
        "numbers": [np.float32(1.5), np.arange(3), np.array(["a"]), np.bool_(True)],
    }
    torch.save(content, tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth")
    buffer = found["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == 1.0
    assert buffer.statistics("current") == 0.5
    assert found["numbers"][1].tolist() == [0, 1, 2]


class Hostile:
    """Its pickle asks for ``getattr(type, ...)`` and would call the result."""

    def __init__(self, owner: type, name: str) -> None:
        self.call = (getattr, (owner, name))

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("owner", [int, torch.Tensor])
def test_getattr_reaches_nothing_but_history_buffers(tmp_path, owner) -> None:
    torch.save({"a": Hostile(owner, "__subclasses__")}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="w.pth"):
        read_checkpoint(tmp_path / "w.pth")


def test_objects_are_refused_with_a_way_out(tmp_path: Path) -> None:
    content = {"state_dict": net().state_dict(), "meta": fractions.Fraction(1, 2)}
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(
        ValueError, match=r"'fractions.Fraction'.*is refused.*weights_only=False"
    ):
        load_weights(net(), tmp_path / "w.pth")


def test_missing_file_lists_what_is_there(tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "epoch_10.pth")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint file.*epoch_10.pth"):
        load_weights(net(), tmp_path / "epoch_1.pth")


def test_damaged_files(tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:500])
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("cut", "text", "empty"):
        with pytest.raises(ValueError, match=rf"{name}.pth' is no readable checkpoint"):
            load_weights(net(), tmp_path / f"{name}.pth")


def test_file_without_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"holds no model weights.*\['epoch'\]"):
        load_weights(net(), tmp_path / "w.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list, not a dict"):
        load_weights(net(), tmp_path / "list.pth")


def test_scheme_that_is_not_known() -> None:
    with pytest.raises(ValueError, match=r"'torchvision://resnet18'.*scheme"):
        load_weights(net(), "torchvision://resnet18")


def test_shapes_that_do_not_match(tmp_path: Path) -> None:
    torch.save(net(4).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        ValueError,
        match=r"does not fit Sequential \(7 keys\): 6 of another shape "
        r"\(0.bias is \(4,\) in the checkpoint and \(3,\) in the model;.*"
        r"init_cfg=dict\(type='Pretrained'",
    ):
        load_weights(net(3), tmp_path / "w.pth")


def test_keys_that_do_not_match(tmp_path: Path) -> None:
    state = net().state_dict()
    state["0.scale"] = state.pop("0.bias")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        ValueError, match=r"1 missing \(0.bias\); 1 unexpected \(0.scale\)"
    ):
        load_weights(net(), tmp_path / "w.pth")


def test_counters_of_old_checkpoints_may_be_missing(tmp_path: Path) -> None:
    source, target = net(), net()
    state = source.state_dict()
    del state["1.num_batches_tracked"]
    torch.save(state, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert same(source, target)


def test_a_table_that_the_model_does_not_take_is_not_missing(tmp_path: Path) -> None:
    def own_table(state: dict, prefix: str, *_: object) -> None:
        state.pop("table", None)

    source, target = net(), net()
    for model in (source, target):
        model.register_buffer("table", torch.ones(2))
    target._register_load_state_dict_pre_hook(own_table)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert same(source, target)
    torch.save(net().state_dict(), tmp_path / "w.pth")  # nobody has the table
    with pytest.raises(ValueError, match=r"1 missing \(table\)"):
        load_weights(target, tmp_path / "w.pth")


def test_download_is_kept(tmp_path: Path, monkeypatch) -> None:
    source, calls = net(), []

    def fetch(url: str, path: str, prefix: str | None) -> None:
        calls.append((url, prefix))
        torch.save(source.state_dict(), path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        target = net()
        load_weights(target, "https://example.org/net_2020-0123abcd.pth")
        assert same(source, target)
    assert calls == [("https://example.org/net_2020-0123abcd.pth", "0123abcd")]


@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_checkpoint_of_a_one_cycle_schedule_is_read(tmp_path, anneal) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = OneCycleLR(optimizer, eta_max=0.1, total_steps=9, anneal_strategy=anneal)
    path = tmp_path / "one_cycle.pth"
    state = {
        "state_dict": model.state_dict(),
        "param_schedulers": [schedule.state_dict()],
    }
    torch.save(state, path)
    other = nn.Linear(2, 1)
    load_weights(other, path)
    assert torch.equal(other.weight, model.weight)
