"""Subnet files that are meant to do harm: one line, in no time, and nothing happens."""

from __future__ import annotations

import copy
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from mmrazor.core.graph import channel_graph
from mmrazor.core.space import Subnet
from mmrazor.models.architectures.subnet_model import slimmed
from mmrazor.models.pruners.pruner import prune_graph

Data = dict[str, Any]
SECONDS, MEGABYTES = 1.0, 400


class Mixer(nn.Module):
    """A layer of its own kind beside torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 4)
        self.width, self.parts, self._depth = 8, (4, 4), 2
        self.kernel_size = 3
        self.note, self.mixed = "8", [8, None, "same", 0.5, True]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(x, x, x)[0].mean(1))

    @property
    def area(self) -> int:
        return self.width**2


@pytest.fixture(scope="module")
def written() -> tuple[nn.Module, Data]:
    """A model, and the content of the Subnet file of a pruning of it."""
    torch.manual_seed(0)
    model, x = Mixer().eval(), torch.rand(2, 3, 4, 4)
    pruned = prune_graph(channel_graph(model, x), x, {"macs": 0.8})
    return model, pruned.subnet.to_data()


def plain(data: Data) -> Data:
    """Leave out what tells that a file was changed, as files of old do."""
    data = copy.deepcopy(data)
    data["slots"].pop("of_choices")
    return data


def refused(model: nn.Module, path: Path) -> str:
    """Load a file, and return the error after checking what it took."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = {name: set(vars(m)) for name, m in model.named_modules()}
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        slimmed(model, path)
    assert time.process_time() - began < SECONDS
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) / 1024
    assert grown < MEGABYTES
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 3000
    assert {name: set(vars(m)) for name, m in model.named_modules()} == before
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    return text


def test_the_file_itself_is_right(written, tmp_path: Path) -> None:
    model, data = written
    for content in (data, plain(data)):
        path = tmp_path / "subnet.yaml"
        path.write_text(yaml.safe_dump(content))
        small = slimmed(model, path)
        assert small.stem.out_channels < 8 or small.attention.head_dim * 2 < 8


CHANGES: dict[str, tuple[Callable[[Data], Any], str]] = {}


def change(text: str) -> Callable[[Callable[[Data], Any]], Callable[[Data], Any]]:
    def register(function: Callable[[Data], Any]) -> Callable[[Data], Any]:
        CHANGES[function.__name__] = function, text
        return function

    return register


def attribute(name: str, value: Any, text: str, path: str = "") -> None:
    def put(data: Data) -> None:
        data["slots"]["attributes"].setdefault(path, {})[name] = value

    CHANGES[f"attribute {name} {str(value)[:20]}"] = put, text


NO_WIDTH = "is no width of"
for name in (
    *("forward", "__class__", "__dict__", "training", "_modules", "_parameters"),
    *("register_forward_hook", "stem", "note", "area", "kernel_size"),
    *("call_super_init", "_forward_hooks", "__init__", "named_modules"),
):
    attribute(name, 1, NO_WIDTH)
attribute("nothing", 1, "lacks 1 of the modules that change (nothing)")
attribute("", 1, "lacks 1 of the modules that change ()")
attribute("weight", 1, NO_WIDTH, "head")
attribute("stride", [1, 1], NO_WIDTH, "stem")
attribute("padding_mode", "zeros", NO_WIDTH, "stem")
attribute("width", "8; import os", "cannot become")
attribute("width", True, "cannot become True")
attribute("width", 0, "cannot become 0")
attribute("width", -1, "cannot become -1")
attribute("width", 2.0, "cannot become 2.0")
attribute("width", 9, "cannot become 9: it was 8")
attribute("width", 10**60, "cannot become that")
attribute("width", [8], "cannot become")
attribute("width", {"a": 1}, "cannot become")
attribute("parts", [4, 4, 4], "no list of 2 whole numbers")
attribute("parts", 4, "no list of 2 whole numbers")
attribute("parts", [4, None], "cannot become None: it was 4")
attribute("parts", [4, 4.0], "cannot become 4.0: it was 4")
attribute("parts", [4, [4]], "cannot become [4]: it was 4")
attribute("mixed", [8, None, "other", 0.5, True], "cannot become 'other'")
attribute("mixed", [8, None, "same", 0.5, 1], "cannot become 1: it was True")
attribute("mixed", [8, 1, "same", 0.5, True], "cannot become 1: it was None")
attribute("mixed", [9, None, "same", 0.5, True], "cannot become 9: it was 8")
attribute("out_features", 3, "out_features of 'head' becomes 3, and its", "head")
attribute("x", 1, "lacks 1 of the modules", "head.weight")
attribute("x", 1, "lacks 1 of the modules", "head.__class__")


def axis_of(data: Data) -> tuple[str, str]:
    name = next(iter(data["slots"]["slots"]))
    return name, next(iter(data["slots"]["slots"][name]))


def indices(kept: Any, text: str) -> None:
    def put(data: Data) -> None:
        name, axis = axis_of(data)
        data["slots"]["slots"][name][axis] = kept

    CHANGES[f"indices {str(kept)[:30]}"] = put, text


indices("0-99999999999999", "is no range")
indices("0-2147483640", "more than any model has")
indices(" ".join(f"{i * 10**6}-{i * 10**6 + 999998}" for i in range(9)), "more than")
indices("0-900000", "is to be kept")
indices("3-1", "is no range")
indices("1 1", "is no range")
indices("-1", "damaged")
indices("0 1 2 3 4 5 6 7 8", "index 8 of axis")
indices("9" * 4000, "is no range")
indices("9" * 5000, "damaged")
indices("", "is cut")
indices([0, 1], "damaged")
indices({"a": "b"}, "damaged")
indices("0 " * 200_000, "is no range")


@change("is no dimension of a tensor")
def axis_below(data: Data) -> None:
    name, axis = axis_of(data)
    data["slots"]["slots"][name]["-1"] = data["slots"]["slots"][name].pop(axis)


@change("axis 7 is cut")
def axis_beyond(data: Data) -> None:
    data["slots"]["slots"][axis_of(data)[0]]["7"] = "0"


@change("lacks 1 of the tensors")
def tensor_of_code(data: Data) -> None:
    data["slots"]["slots"]["forward.__globals__"] = {"0": "0"}


@change("lacks 1 of the modules")
def replaced_by_another(data: Data) -> None:
    data["slots"]["replaced"]["head"] = "PrunedMultiheadAttention"


@change("lacks 1 of the modules")
def replaced_by_a_type(data: Data) -> None:
    data["slots"]["replaced"]["attention"] = "subprocess.Popen"


@change("lacks 1 of the modules")
def replaced_whole(data: Data) -> None:
    data["slots"]["replaced"][""] = "PrunedMultiheadAttention"


@change("'shapes' are no lists")
def shapes_of_texts(data: Data) -> None:
    data["slots"]["shapes"] = dict.fromkeys(data["slots"]["shapes"], "8")


@change("'shapes' are no lists")
def shapes_of_nothing(data: Data) -> None:
    data["slots"]["shapes"] = 3


@change("damaged")
def no_slots(data: Data) -> None:
    data["slots"]["slots"] = None


@change("damaged")
def slots_of_slots(data: Data) -> None:
    data["slots"]["slots"] = {"stem.weight": "0"}


@change("has unknown keys")
def many_keys(data: Data) -> None:
    data.update({f"key{i}" * 100: i for i in range(1000)})


@change("is faulty")
def many_faults(data: Data) -> None:
    data["choices"] = {f"choice{i}": None for i in range(5000)}


@change("nested deeper than 8 levels")
def deep(data: Data) -> None:
    inner: Any = "0"
    for _ in range(60):
        inner = [inner]
    data["slots"]["attributes"] = {"stem": inner}


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@pytest.mark.parametrize("name", CHANGES)
def test_changes(written, tmp_path: Path, name: str, suffix: str) -> None:
    model, data = written
    data = plain(data)
    function, text = CHANGES[name]
    function(data)
    path = tmp_path / f"bad{suffix}"
    path.write_text(
        json.dumps(data) if suffix == ".json" else yaml.safe_dump(data, width=10**9)
    )
    assert text in refused(model, path)


HEAD = "format: mmrazor.subnet/1\nspace: 3f2a91c0\nchoices: {}\n"


def laughs(levels: int, width: int) -> str:
    lines = ["slots:", "  a0: &a0 [x]"]
    for level in range(1, levels):
        inner = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"  a{level}: &a{level} [{inner}]")
    return HEAD + "\n".join(lines)


COLLIDING = ", ".join(f"{i * (2**61 - 1)}: 0" for i in range(1, 20_000))
FILES: dict[str, tuple[str, str]] = {
    "laughs": (laughs(30, 9), "aliases"),
    "laughs of two": (laughs(60, 2), "aliases"),
    "endless": (HEAD + "slots: &a {b: *a, c: *a, d: *a}", "aliases"),
    "alias in choices": (
        HEAD.replace("{}", "&a {a: {b: *a, c: *a}}"),
        "aliases",
    ),
    "nested": (HEAD + "slots: " + "[" * 100_000, "cannot be read"),
    "nested by lines": (HEAD + "slots:\n" + "- " * 100_000, "cannot be read"),
    "nested mappings": (HEAD + "slots: " + "{a: " * 100_000, "cannot be read"),
    "colliding keys": (HEAD + f"slots: {{{COLLIDING}}}", "many digits as keys"),
    "sixties": (HEAD + "cost: {macs: 1" + ":1" * 100_000 + "}", "too long for a"),
    "digits": (HEAD + "cost: {macs: " + "9" * 1_000_000 + "}", "too long for a number"),
    "merged": (HEAD + "slots: &a {<<: *a}", "damaged"),
    "python": (HEAD + "slots: !!python/object/apply:os.system ['true']", "constructor"),
    "python name": (HEAD + "slots: !!python/name:os.system", "constructor"),
    "commas": (HEAD + "slots: [" + "," * 2_000_000, "more than 1000000 values"),
    "large": (HEAD + "# " + "x" * (17 * 2**20), "more than 16777216 bytes"),
    "key": (HEAD + f"{'k' * 1000}: 1\n{'k' * 1000}: 2", "comes twice"),
    "binary": ("\0" * 1000, "cannot be read"),
    "documents": (HEAD + "---\n" * 1000, "cannot be read"),
    "tabs": ("\t" * 100_000 + "a", "cannot be read"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(written, tmp_path: Path, name: str) -> None:
    content, text = FILES[name]
    (tmp_path / "bad.yaml").write_text(content)
    assert text in refused(written[0], tmp_path / "bad.yaml")


JSON_FILES = {
    "nested": "[" * 1_000_000,
    "nested mappings": '{"a":' * 100_000,
    "digits": '{"format": ' + "9" * 100_000 + "}",
    "colliding keys": "{"
    + ", ".join(f'"{i * (2**61 - 1)}": []' for i in range(1, 20_000))
    + "}",
    "commas": "[" + "," * 2_000_000,
}


@pytest.mark.parametrize("name", JSON_FILES)
def test_json_files(written, tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.json").write_text(JSON_FILES[name])
    assert "cannot be read as JSON" in refused(written[0], tmp_path / "bad.json")


def test_a_sparse_file_is_not_read(written, tmp_path: Path) -> None:
    with (tmp_path / "bad.yaml").open("wb") as file:
        file.truncate(2**40)
    assert "more than 16777216 bytes" in refused(written[0], tmp_path / "bad.yaml")


def test_a_device_is_no_file(written) -> None:
    assert "There is no subnet file" in refused(written[0], Path("/dev/zero"))


@pytest.mark.parametrize("part", ["choices", "slots"])
def test_choices_and_slots_belong_together(written, tmp_path: Path, part: str) -> None:
    model, data = written
    data = copy.deepcopy(data)
    if part == "choices":
        name = next(n for n, v in data["choices"].items() if len(v["keep"]) > 1)
        data["choices"][name]["keep"].pop()
    else:
        name, axis = axis_of(data)
        data["slots"]["slots"][name][axis] = "0"
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(data))
    text = refused(model, tmp_path / "bad.yaml")
    assert "its choices and its slots do not belong together" in text


def test_old_files_whose_choices_drop_what_the_slots_keep(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    x = torch.rand(1, 4)
    subnet = prune_graph(channel_graph(model, x), x, {"macs": 0.5}).subnet
    data = plain(subnet.to_data())
    (tmp_path / "subnet.yaml").write_text(yaml.safe_dump(data))
    assert slimmed(model, tmp_path / "subnet.yaml")[0].out_features == 4
    data["choices"]["0.out"]["keep"].pop()
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(data))
    text = refused(model, tmp_path / "bad.yaml")
    assert "choice '0.out' drops channels that its slots keep" in text


def test_what_a_file_says_of_its_choices_is_not_part_of_the_subnet(
    written, tmp_path: Path
) -> None:
    _, data = written
    subnet = Subnet.from_data(data)
    assert "of_choices" not in (subnet.slots or {})
    assert Subnet.load(subnet.dump(tmp_path / "a.json")) == subnet


def test_one_number_of_a_sequence_of_other_values_may_change(
    written, tmp_path: Path
) -> None:
    model, data = written
    data = plain(data)
    of_model = data["slots"]["attributes"].setdefault("", {})
    of_model["mixed"] = [5, None, "same", 0.5, True]
    of_model["parts"] = [4, 1]
    (tmp_path / "subnet.yaml").write_text(yaml.safe_dump(data))
    small = slimmed(model, tmp_path / "subnet.yaml")
    assert small.mixed == [5, None, "same", 0.5, True]
    assert small.parts == (4, 1)
