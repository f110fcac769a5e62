"""Every way that a checkpoint takes into a process: none runs what is in it."""

import io
import pickle
import shutil
import sys
import tarfile
import types
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import initialize
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.runner import checkpoint as host
from mmengine.runner.checkpoint import load_checkpoint as host_load
from toy_prune import ToyConvNet
from toy_supernet import SEARCH, SUPERNET

import mmrazor
from mmrazor.apis.channel_report import channel_report
from mmrazor.apis.compare import compare
from mmrazor.apis.cost_report import cost_report
from mmrazor.apis.export import export_model
from mmrazor.apis.prune_config import prune_config
from mmrazor.apis.quantize_config import quantize_config
from mmrazor.apis.search import search
from mmrazor.apis.sensitivity_run import sensitivity
from mmrazor.apis.sparsify import sparsify
from mmrazor.apis.test import test as run_test
from mmrazor.apis.train import train
from mmrazor.core.checkpoint_reader import read_checkpoint
from mmrazor.models.architectures import load_weights
from tests.tools.conftest import ROOT, distilled, start_script
from tests.tools.output import error

EVIL = "evil.pth"
PROOF = Path("ran")  # what the code in the checkpoint would leave
URL = "https://example.org/weights.pth"


class Evil:
    """Its pickle opens a file for writing."""

    def __reduce__(self):
        return open, (str(PROOF.absolute()), "w")


def content():
    """Return a checkpoint that fits, of a run that could be resumed."""
    return {
        "state_dict": ToyConvNet().state_dict(),
        "meta": {"epoch": 1, "iter": 6, "note": Evil()},
        "message_hub": {},
    }


def write(kind, path=EVIL):
    if kind == "zip":
        torch.save(content(), path)
    elif kind == "legacy":
        torch.save(content(), path, _use_new_zipfile_serialization=False)
    elif kind == "newer protocol":
        torch.save(content(), path, pickle_protocol=4)
    elif kind == "pickle":
        Path(path).write_bytes(pickle.dumps(content(), 2))
    else:
        with tarfile.open(path, "w") as archive:
            for name in ("storages", "tensors", "pickle"):
                data = pickle.dumps(Evil(), 2)
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def folder(tmp_path, monkeypatch, toy_config):
    """Go to a folder with the file, a config and a run that one of them named last."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda _, path, *__: shutil.copy(EVIL, path)
    )
    monkeypatch.setattr(host, "get_external_models", lambda: {"x": EVIL, "y": URL})
    for name in ("torchvision", "mmcls"):
        monkeypatch.setattr(host, f"get_{name}_models", lambda: {"x": URL})
    bytes_of = types.SimpleNamespace(get=lambda _: Path(EVIL).read_bytes())
    local = host.get_file_backend
    monkeypatch.setattr(
        host,
        "get_file_backend",
        lambda uri, **kwargs: bytes_of if "s3:" in uri else local(uri, **kwargs),
    )
    stored = types.SimpleNamespace(
        name=EVIL, download=lambda path: shutil.copy(EVIL, path)
    )
    cloud = types.SimpleNamespace(get=lambda _: stored)
    pavi = types.SimpleNamespace(modelcloud=cloud)
    monkeypatch.setitem(sys.modules, "pavi", pavi)
    toy_config({"train_cfg.max_epochs": 2}, model={"type": "ToyConvNet"})
    toy_config({"search": SEARCH}, "supernet.py", model=SUPERNET)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    write("zip")
    write("zip", "hub/checkpoints/weights.pth")
    (tmp_path / "run").mkdir()
    write("zip", "run/epoch_1.pth")
    (tmp_path / "run/last_checkpoint").write_text("run/epoch_1.pth")
    return tmp_path


def runner(**options):
    cfg = Config.fromfile("toy.py")
    cfg.merge_from_dict({"work_dir": "other", "experiment_name": "doors", **options})
    return Runner.from_cfg(cfg)


def pretrained(**options):
    init_cfg = {"type": "Pretrained", "checkpoint": EVIL, **options}
    model = torch.nn.Sequential()
    initialize(model, init_cfg)


def cfg(**options):
    found = Config.fromfile("toy.py")
    found.merge_from_dict(options)
    return found


def algorithm():
    model = distilled({"type": "ToyConvNet"})
    model["teacher"] = NAMED
    return model


def subnet_weights():
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    pruned = mmrazor.prune(net, torch.rand(1, 4), budget={"macs": 0.5})
    mmrazor.load_subnet(net, pruned.subnet, EVIL)


INITIALISED = {
    "type": "ToyPretrained",
    "init_cfg": {"type": "Pretrained", "checkpoint": EVIL},
}
NAMED = {"type": "ToyConvNet", "checkpoint": EVIL}
DOORS = {
    # what the host loads
    "file": lambda: host_load(ToyConvNet(), EVIL),
    "http": lambda: host_load(ToyConvNet(), URL),
    "open-mmlab": lambda: host_load(ToyConvNet(), "open-mmlab://x"),
    "openmmlab": lambda: host_load(ToyConvNet(), "openmmlab://y"),
    "torchvision": lambda: host_load(ToyConvNet(), "torchvision://x"),
    "mmcls": lambda: host_load(ToyConvNet(), "mmcls://x"),
    "s3": lambda: host_load(ToyConvNet(), "s3://bucket/x.pth"),
    "pavi": lambda: host_load(ToyConvNet(), "pavi://x"),
    "hub": lambda: torch.hub.load_state_dict_from_url(URL),
    "model zoo": lambda: torch.utils.model_zoo.load_url(URL),
    "init_cfg": lambda: pretrained(),
    "init_cfg of a part": lambda: pretrained(prefix="backbone."),
    "Runner.load_checkpoint": lambda: runner().load_checkpoint(EVIL),
    "Runner, averages": lambda: runner(load_from=EVIL).train(),
    "Runner, resumed": lambda: runner(load_from=EVIL, resume=True).train(),
    # what the Python door and the tools load
    "load_weights": lambda: load_weights(ToyConvNet(), EVIL),
    "build_architecture": lambda: mmrazor.build_architecture(NAMED),
    "init_model": lambda: mmrazor.init_model("toy.py", EVIL),
    "load_subnet": subnet_weights,
    "teacher": lambda: MODELS.build(algorithm()),
    "teacher with a cache": lambda: MODELS.build(
        {**algorithm(), "teacher_cache": {"type": "TeacherCache"}}
    ),
    "init_cfg of an architecture": lambda: train(cfg(model=distilled(INITIALISED))),
    "train --resume FILE": lambda: train("toy.py", resume=EVIL),
    "train --resume": lambda: train("toy.py", work_dir="run", resume=True),
    "train, load_from": lambda: train("toy.py", cfg_options={"load_from": EVIL}),
    "train, init_cfg": lambda: train(cfg(model=INITIALISED)),
    "test": lambda: run_test("toy.py", EVIL),
    "prune": lambda: prune_config("toy.py", EVIL, budget={"macs": 0.5}),
    "quantize": lambda: quantize_config("toy.py", EVIL),
    "export": lambda: export_model("toy.py", EVIL),
    "sparsify": lambda: sparsify("toy.py", EVIL),
    "sensitivity": lambda: sensitivity("toy.py", EVIL),
    "search": lambda: search("supernet.py", EVIL),
    "compare": lambda: compare([("toy.py", EVIL)]),
    "show_channels": lambda: channel_report("toy.py", EVIL),
    "get_flops": lambda: cost_report(
        cfg(model={"type": "mmrazor.Compress", "architecture": NAMED})
    ),
}


@MODELS.register_module(force=True)
class ToyPretrained(ToyConvNet):
    def __init__(self, init_cfg):
        super().__init__()
        self.init_cfg = init_cfg


@pytest.mark.parametrize("door", DOORS)
def test_no_door_runs_what_is_in_a_checkpoint(folder, door):
    with pytest.raises(ValueError, match=r"'io.open', which could run code.*--trust"):
        DOORS[door]()
    assert not PROOF.exists()


@pytest.mark.parametrize("kind", ["legacy", "newer protocol", "pickle", "tar"])
@pytest.mark.parametrize("read", [read_checkpoint, host._load_checkpoint])
def test_no_format_of_a_checkpoint_is_run(folder, kind, read):
    write(kind)
    with pytest.raises(ValueError, match="could run code when loaded"):
        read(EVIL)
    assert not PROOF.exists()


def test_the_text_of_a_config_in_a_checkpoint_is_not_run(folder):
    run = runner(**{"train_cfg.max_epochs": 1})
    run.train()
    stored = torch.load("other/epoch_1.pth", weights_only=False)
    stored["meta"]["config"] = f"open({str(PROOF.absolute())!r}, 'w')\n"
    torch.save(stored, "other/epoch_1.pth")
    runner(load_from="other/epoch_1.pth", resume=True).train()
    assert not PROOF.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("test.py", "toy.py", EVIL),
        ("train.py", "toy.py", "--resume", EVIL),
        ("train.py", "toy.py", "--resume", "--work-dir", "run"),
    ],
)
def test_tools_say_what_was_refused_and_how_to_trust_it(folder, run_tool, arguments):
    text = error(run_tool(*arguments, code=1))
    assert "'io.open', which could run code when loaded; it is refused." in text
    assert "pass --trust-checkpoint" in text
    assert len(text.splitlines()) == 1
    assert not PROOF.exists()


def test_trusted_checkpoints_are_loaded(folder, run_tool):
    output = run_tool("test.py", "toy.py", EVIL, "--trust-checkpoint", code=None)
    assert PROOF.exists()
    assert "it is trusted, and its code is run" in output


@pytest.mark.dist
def test_no_worker_runs_what_is_in_a_checkpoint(folder, forkserver, free_port):
    command = [str(ROOT / "tools/train.py"), "toy.py", "--resume", EVIL]
    command += ["--launcher", "pytorch"]
    started = []
    for rank in "01":
        env = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOG": rank}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port}
        started.append(start_script(forkserver, command, folder, env))
    for process, log in started:
        process.join(120)
        assert process.exitcode == 1
        assert "could run code when loaded" in log.read_text()
    assert not PROOF.exists()
