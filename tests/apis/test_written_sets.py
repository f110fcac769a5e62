"""What tools write into one folder: sets side by side, whole or not at all."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

TOYS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOYS))  # configs import it by this name

from toy_prune import ToyConvNet  # noqa: E402

from mmrazor.apis import init_model, sensitivity  # noqa: E402
from mmrazor.apis.export import export_model  # noqa: E402
from mmrazor.apis.prune_config import prune_config  # noqa: E402
from mmrazor.apis.quantize_config import quantize_config  # noqa: E402
from mmrazor.apis.run_config import load_config  # noqa: E402
from mmrazor.apis.run_folder import FolderInUseError, run_folder  # noqa: E402
from mmrazor.apis.sparsify import sparsify  # noqa: E402
from mmrazor.apis.train import train  # noqa: E402
from mmrazor.core.files import FileWriteError  # noqa: E402
from tests.apis.test_sensitivity_run import CONFIG  # noqa: E402
from tests.core.small_disk import Calls, full  # noqa: E402

OUT = Path("out")


@pytest.fixture(autouse=True)
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a config and weights into the current folder."""
    monkeypatch.chdir(tmp_path)
    options = {
        "train_cfg": {"by_epoch": True, "max_epochs": 1},
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
        "test_dataloader": CONFIG["val_dataloader"],
        "test_evaluator": CONFIG["val_evaluator"],
        "test_cfg": {},
    }
    lines = [f"{key} = {value!r}\n" for key, value in {**CONFIG, **options}.items()]
    Path("net.py").write_text("".join(lines))
    torch.manual_seed(0)
    torch.save(ToyConvNet().state_dict(), "net.pth")


def prune(name: str | None = None, macs: float = 0.5, onnx: bool = False) -> Any:
    options: dict[str, Any] = dict(work_dir=OUT, image_size=[8], name=name, onnx=onnx)
    return prune_config("net.py", "net.pth", budget={"macs": macs}, **options)


def quantize(name: str | None = None) -> Any:
    options: dict[str, Any] = dict(work_dir=OUT, name=name, image_size=[8])
    return quantize_config("net.py", "net.pth", onnx=False, calib_batches=1, **options)


def thin(name: str | None = None) -> Any:
    return sparsify(
        "net.py", "net.pth", OUT, method="magnitude", calib_batches=0, name=name
    )


def exported(name: str | None = None) -> Any:
    return export_model("net.py", "net.pth", OUT, name=name, image_size=[8], onnx=False)


def scored(name: str | None = None) -> Any:
    return sensitivity(
        "net.py", "net.pth", out=OUT, shares=[0.5], max_batches=1, image_size=[8]
    )


TOOLS: dict[str, Callable[..., Any]] = {
    "prune": prune,
    "quantize": quantize,
    "sparsify": thin,
    "export": exported,
    "sensitivity": scored,
}


def files(folder: Path = OUT) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def width(config: Path) -> int:
    """Return the channels of the model that a config builds with its weights."""
    model = init_model(config, device="cpu")
    return int(model.first.weight.shape[0])


def test_two_names_side_by_side_both_load() -> None:
    first, second = prune("half"), prune("quarter", 0.2)
    assert len(files()) == 6
    assert width(first.config) > width(second.config)
    for info, name in ((first, "half"), (second, "quarter")):
        assert info.subnet == OUT / f"{name}_subnet.yaml"
        subnet = load_config(info.config).model.subnet
        assert Path(subnet) == info.subnet.resolve()


def test_the_same_name_twice_is_replaced_as_a_whole() -> None:
    pytest.importorskip("onnxruntime")
    prune("net_small", onnx=True)
    prune("other")
    before = files()
    assert "net_small.onnx" in before
    second = prune("net_small", 0.2)
    after = files()
    assert "net_small.onnx" not in after  # it was of the first model
    assert after.keys() == before.keys() - {"net_small.onnx"}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"net_small{end}" for end in (".pth", ".py", "_subnet.yaml")}
    assert width(second.config) == int(second.pruned.model.first.weight.shape[0])


def test_files_of_an_earlier_version_load_and_stay() -> None:
    info = prune()
    info.subnet.rename(OUT / "subnet.yaml")
    text = info.config.read_text()
    info.config.write_text(text.replace(info.subnet.name, "subnet.yaml"))
    earlier = width(info.config)
    later = prune("new", 0.2)
    assert width(info.config) == earlier > width(later.config)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_disk_that_fills_leaves_the_earlier_set(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TOOLS[tool]
    if tool == "sensitivity":
        run()  # a later call writes no state
    calls = Calls(-1, full)
    with monkeypatch.context() as patch:
        calls.watch(patch, "replace")
        run()
    (OUT / "mine.txt").write_text("mine")
    before = files()
    # The last two put the second file of the set into its place, and the first one.
    for at in (calls.count, calls.count - 1):
        with monkeypatch.context() as patch:
            Calls(at, full).watch(patch, "replace")
            with pytest.raises(FileWriteError, match="out/.* no space left on device"):
                run()
        assert files() == before


@pytest.mark.parametrize("tool", TOOLS)
def test_what_cannot_be_written_is_named_and_nothing_is_left(tool: str) -> None:
    OUT.write_text("mine")
    with pytest.raises(FileWriteError, match=r"^'out' cannot be written: .* is a file"):
        TOOLS[tool]()
    OUT.unlink()
    OUT.mkdir()
    endings = {"sensitivity": "sensitivity.json"}
    name = endings.get(tool, "net_x.pth")
    (OUT / name).mkdir()
    with pytest.raises(FileWriteError, match=rf"'out/{name}' .* is a directory"):
        TOOLS[tool]("net_x")
    left = [path.name for path in OUT.iterdir() if path.name != "state.json"]
    assert left == [name]


@pytest.mark.parametrize("tool", [*TOOLS, "train"])
def test_a_folder_in_use_is_refused_and_left_alone(tool: str) -> None:
    def trained() -> Any:
        return train("net.py", work_dir=OUT)

    with run_folder(OUT):
        before = files()
        with pytest.raises(FolderInUseError, match="'out' is in use by another run"):
            (trained if tool == "train" else TOOLS[tool])()
        assert files() == before


@pytest.mark.parametrize("tool", ["prune", "quantize", "sparsify", "export"])
def test_a_name_stays_in_the_folder(tool: str) -> None:
    with pytest.raises(ValueError, match="name='../x' must be the name of a file"):
        TOOLS[tool]("../x")
    assert not OUT.exists()
    assert not Path("x.pth").exists()


@pytest.mark.parametrize("name", ["[red]", "[x/]", "a b:fire:"])
def test_folders_with_names_that_rich_reads(name: str) -> None:
    Path(name).mkdir(parents=True)
    OUT.symlink_to(name)  # the folder behind a link is written
    info = prune("half")
    assert sorted(files(Path(name))) == sorted(files())
    assert width(Path(name) / info.config.name) == width(info.config)


def test_a_state_of_sensitivity_survives_a_full_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored()
    state = json.loads((OUT / "state.json").read_text())
    with monkeypatch.context() as patch:
        Calls(1, full).watch(patch, "replace")
        with pytest.raises(FileWriteError, match=r"'out/state.json' cannot be written"):
            sensitivity(
                *("net.py", "net.pth"),
                **dict(out=OUT, shares=[0.3], max_batches=1, image_size=[8]),
            )
    assert json.loads((OUT / "state.json").read_text()) == state
