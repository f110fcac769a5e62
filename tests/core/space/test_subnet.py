"""Subnets: round trips through files, what is refused, and what the messages say."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.core.space import KeepChannels, OneOf, SearchSpace, Subnet

from .strategies import NAMES, NUMBERS, SCALARS, SEEDS, spaces

ROOT = Path(__file__).resolve().parents[3]
SPACE = SearchSpace([OneOf("op", ["mb_k3_e3", "mb_k5_e6"]), KeepChannels("out", 8)])
VALUES = {"op": "mb_k5_e6", "out": [0, 1, 4, 7]}
TEXT = f"""\
format: mmrazor.subnet/1
space: {SPACE.fingerprint()}
choices:
  op: mb_k5_e6
  out: {{keep: [0, 1, 4, 7]}}
slots:
  conv.weight:
    0: [0, 1, 4, 7]
    1: [0, 2]
cost:
  macs: 312400000
score:
  accuracy/top1: 71.3
"""


def full_subnet() -> Subnet:
    return Subnet(
        SPACE.fingerprint(),
        VALUES,
        slots={"conv.weight": {0: [0, 1, 4, 7], 1: [0, 2]}},
        cost={"macs": 312400000},
        score={"accuracy/top1": 71.3},
    )


def trees(keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    indices = st.lists(st.integers(0, 9), max_size=4)
    axes = st.dictionaries(st.integers(), indices, max_size=3)
    leaves = st.none() | SCALARS | indices | axes
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=6,
    )


@st.composite
def subnets(draw: st.DrawFn, keys: st.SearchStrategy[Any], numbers: Any) -> Subnet:
    space = draw(spaces())
    values = space.sample(np.random.default_rng(draw(SEEDS)))
    tables = st.dictionaries(NAMES, numbers, max_size=3)
    slots = draw(st.none() | st.dictionaries(NAMES, trees(keys), max_size=3))
    subnet = Subnet(space.fingerprint(), values, slots, draw(tables), draw(tables))
    subnet.check(space)
    return subnet


def looks_like_a_number(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def types(data: Any) -> Any:
    """Types of everything inside: 1, 1.0 and True are equal in Python."""
    if isinstance(data, dict):
        return {(type(key), key): types(value) for key, value in data.items()}
    return list(map(types, data)) if isinstance(data, list) else type(data)


@given(subnets(NAMES | st.integers(), st.integers() | st.floats(allow_nan=False)))
def test_dump_then_load_yaml(
    tmp_path_factory: pytest.TempPathFactory, subnet: Subnet
) -> None:
    path = subnet.dump(tmp_path_factory.getbasetemp() / "subnet.yaml")
    loaded = Subnet.load(path)
    assert loaded == subnet
    assert types(loaded.to_data()) == types(subnet.to_data())
    assert list(loaded.choices) == list(subnet.choices)
    # An independent reader of YAML sees the same.
    assert yaml.load(path.read_text("utf-8"), yaml.SafeLoader) == subnet.to_data()


@given(subnets(NAMES.filter(lambda name: not looks_like_a_number(name)), NUMBERS))
def test_dump_then_load_json(
    tmp_path_factory: pytest.TempPathFactory, subnet: Subnet
) -> None:
    path = subnet.dump(tmp_path_factory.getbasetemp() / "subnet.json")
    loaded = Subnet.load(path)
    assert loaded == subnet
    assert types(loaded.to_data()) == types(subnet.to_data())
    plain = json.loads(path.read_text("utf-8"))
    assert plain == json.loads(json.dumps(subnet.to_data()))


@given(subnets(NAMES | st.integers(), NUMBERS))
def test_data_and_back(subnet: Subnet) -> None:
    assert Subnet.from_data(subnet.to_data()) == subnet


def test_the_file_reads_as_in_the_design(tmp_path: Path) -> None:
    path = full_subnet().dump(tmp_path / "new" / "subnet.yaml")
    assert path.read_text("utf-8") == TEXT
    assert Subnet.load(path) == full_subnet()
    assert Subnet.load(path).path == path


def test_json_keeps_the_axes_of_a_pruned_model(tmp_path: Path) -> None:
    slots = {"slots": {"0.weight": {0: [1], 1: [0, 2]}}, "attributes": {"0": {"a": 1}}}
    subnet = Subnet("00000000", {"0.out": [1]}, slots)
    path = subnet.dump(tmp_path / "subnet.json")
    assert Subnet.load(path) == subnet
    assert '"0.weight": {\n        "0": [1],\n        "1": [0, 2]\n      }' in (
        path.read_text("utf-8")
    )


def test_json_puts_one_choice_on_a_line(tmp_path: Path) -> None:
    path = Subnet("00000000", VALUES, cost={"macs": 3}).dump(tmp_path / "subnet.JSON")
    assert path.read_text("utf-8") == (
        '{\n  "format": "mmrazor.subnet/1",\n  "space": "00000000",\n  "choices": {\n'
        '    "op": "mb_k5_e6",\n    "out": {"keep": [0, 1, 4, 7]}\n  },\n'
        '  "cost": {\n    "macs": 3\n  }\n}\n'
    )
    assert Subnet.load(path).choices == VALUES


def test_long_lists_take_one_line_and_equal_lists_no_anchors(tmp_path: Path) -> None:
    kept = list(range(0, 4096, 2))
    subnet = Subnet("00000000", {"a": kept, "b": kept}, slots={"w": {0: kept, 1: kept}})
    text = subnet.dump(tmp_path / "subnet.yaml").read_text("utf-8")
    assert len(text.splitlines()) == 9
    assert not set("&*?") & set(text)


@pytest.mark.parametrize("name", ["12345678", "1234e567", "00000010", "0x1234ab"[2:]])
def test_fingerprints_that_look_like_numbers(tmp_path: Path, name: str) -> None:
    subnet = Subnet(name.ljust(8, "0"), {"1": True, "no": "no", "~": "1e3"})
    assert Subnet.load(subnet.dump(tmp_path / "subnet.yaml")) == subnet


def test_files_are_the_same_without_libyaml(tmp_path: Path) -> None:
    path, odd = tmp_path / "subnet.yaml", tmp_path / "odd.yaml"
    code = (
        "import yaml; del yaml.CSafeLoader, yaml.CSafeDumper\n"
        "from mmrazor.core.space import Subnet, data_file\n"
        "assert data_file._LoaderBase is yaml.SafeLoader\n"
        f"path = {str(path)!r}; Subnet.load(path).dump(path)\n"
        "odd = Subnet('00000000', dict.fromkeys('\\x85\\u2028é😀', ' '))\n"
        f"assert Subnet.load(odd.dump({str(odd)!r})) == odd"
    )
    path.write_text(TEXT, "utf-8")
    before = path.stat().st_ino
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_ino != before
    assert list(Subnet.load(odd).choices) == ["\x85", "\u2028", "é", "😀"]
    assert path.read_text("utf-8") == TEXT


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = Subnet("00000000", VALUES).dump(tmp_path / "subnet.json")
    before = path.read_bytes()
    for subnet, text in (
        (Subnet("00000000", {}, {"a": {1: 2}}), r"keep the keys \[1\]: .* texts"),
        (Subnet("00000000", {}, {"a": {"1": [2]}}), r"keep the keys \['1'\]: .* texts"),
        (Subnet("00000000", {}, {1: [2], "a": [2]}), r"keep the keys \[1, 'a'\]"),
        (Subnet("00000000", {}, score={"loss": math.nan}), "JSON has no number nan"),
    ):
        with pytest.raises(
            ValueError, match=f"subnet.json' cannot be written: .*{text}"
        ):
            subnet.dump(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_yaml_holds_the_score_of_a_diverged_subnet(tmp_path: Path) -> None:
    subnet = Subnet("00000000", {}, score={"loss": math.nan, "worst": math.inf})
    loaded = Subnet.load(subnet.dump(tmp_path / "subnet.yaml"))
    assert math.isnan(loaded.score["loss"])
    assert loaded.score["worst"] == math.inf


def test_other_suffixes_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in one of .yaml, .yml, .json"):
        full_subnet().dump(tmp_path / "subnet.pth")
    assert not list(tmp_path.iterdir())


def test_it_is_frozen_and_owns_its_data() -> None:
    values, slots = {"out": [0, 1]}, {"w": {0: [0, 1]}}
    subnet = Subnet("00000000", values, slots)
    values["out"].append(2)
    slots["w"][0].append(2)
    assert subnet.choices == {"out": [0, 1]}
    assert subnet.slots == {"w": {0: [0, 1]}}
    with pytest.raises(FrozenInstanceError):
        subnet.space = "11111111"  # type: ignore[misc]


def test_numbers_of_numpy_and_torch_become_plain(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    subnet = Subnet(
        "00000000",
        {"kernel": np.int64(3), "out": torch.tensor([0, 2]), "in": (1, 2)},
        slots={"w": {0: np.array([0, 2]), "scale": np.float32(0.5)}},
        cost={"macs": np.int64(8), "latency_ms": np.float64(0.5)},
        score={"top1": torch.tensor(0.25)},
    )
    assert subnet.choices == {"kernel": 3, "out": [0, 2], "in": [1, 2]}
    assert subnet.slots == {"w": {0: [0, 2], "scale": 0.5}}
    assert Subnet.load(subnet.dump(tmp_path / "subnet.yaml")) == subnet


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(space=12345678), "space=12345678 is no fingerprint. Give the 8 hex"),
        (dict(space="3F2A91C0"), "space='3F2A91C0' is no fingerprint"),
        (dict(choices=["op"]), r"choices must be a mapping, got \['op'\]"),
        (dict(choices={"op": None}), "choice 'op': None is no value"),
        (dict(choices={"out": [1, 0]}), r"choice 'out': \[1, 0\] is no value"),
        (dict(choices={"out": [0.0]}), r"choice 'out': \[0.0\] is no value"),
        (dict(choices={3: "a"}), "choice 3 must have a text as its name"),
        (dict(cost={"macs": "3"}), r"cost\['macs'\] is '3': it must be a number"),
        (dict(cost={"macs": True}), r"cost\['macs'\] is True"),
        (dict(cost=3), "cost must be a mapping, got 3"),
        (dict(score={1: 2}), r"score\[1\] is 2: .* under a text"),
        (dict(score={"a": [1]}), r"score\['a'\] is \[1\]"),
        (dict(slots=[1]), r"slots must be a mapping, got \[1\]"),
        (
            dict(slots={"w": {0: {1}}}),
            r"slots\['w'\]\[0\] is \{1\}\. It must be plain data:",
        ),
        (dict(slots={"w": {None: 1}}), r"slots\['w'\] has the key None"),
    ],
)
def test_parts_of_the_wrong_kind_are_named(arguments: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Subnet(**{"space": "00000000", "choices": {}, **arguments})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file '.*nothing.yaml'. Check the"):
        Subnet.load(tmp_path / "nothing.yaml")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        Subnet.load(tmp_path)


HEAD = "format: mmrazor.subnet/1\nspace: 3f2a91c0\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("choices: [0, 1", "cannot be read as YAML: .*line 2"),
        ("\0", "cannot be read as YAML"),
        (b"\x80\x02}q\x00.", "cannot be read as YAML: .*can't decode"),
        ("a: 2001-99-99", "cannot be read as YAML: month must be"),
        ("a: 1\nb: 2\na: 3", "key 'a' comes twice.*line 3"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[" * 5000, "cannot be read as YAML"),
        ("", "holds None, which is no mapping.*Pass a file written by Subnet.dump"),
        ("- 1", r"holds \[1\], which is no mapping"),
        (
            "format: mmrazor.subnet/2\nspace: 3f2a91c0\nchoices: {}",
            "has the format 'mmrazor.subnet/2'; this version reads 'mmrazor.subnet/1'",
        ),
        (HEAD, r"lacks the keys \['choices'\]\. It must have"),
        ("space: 3f2a91c0\nchoices: {}", r"lacks the keys \['format'\]"),
        ("{}", r"lacks the keys \['format', 'space', 'choices'\]"),
        (HEAD + "choices: {}\nscores: {a: 1}", r"has unknown keys \['scores'\]"),
        (HEAD + "choices:", "is faulty: choices must be a mapping, got None"),
        (
            HEAD + "choices: {a: [0], b: {keep: [1, 1]}, c: , d: 1}",
            r"is faulty: choice 'a': \[0\] is no.* choice 'b': .* choice 'c': None",
        ),
        (HEAD + "choices: {1: a}", "is faulty: choice 1 must have a text"),
        (HEAD + "choices: {}\ncost: {macs: 3e9}", r"cost\['macs'\] is '3e9'"),
        (HEAD + "choices: {}\nslots: &a {b: *a}", "is nested deeper than 8 levels"),
        (
            "format: mmrazor.subnet/1\nspace: 12345678\nchoices: {}",
            "is faulty: space=12345678 is no fingerprint.*as a text",
        ),
    ],
)
def test_faulty_files_are_explained(
    tmp_path: Path, content: str | bytes, text: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"(?s)'.*bad.yaml' .*{text}"):
        Subnet.load(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "cannot be read as JSON: .*line 1"),
        ('{"format": 1, "format": 1}', "key 'format' comes twice"),
        ("[" * 100000, "cannot be read as JSON"),
        ("3", "holds 3, which is no mapping"),
    ],
)
def test_faulty_json_is_explained(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=f"(?s)'.*bad.json' .*{text}"):
        Subnet.load(path)


def test_a_faulty_file_runs_no_code(tmp_path: Path) -> None:
    path, mark = tmp_path / "bad.yaml", tmp_path / "mark"
    path.write_text(f"!!python/object/apply:pathlib.Path.touch [{mark}]", "utf-8")
    with pytest.raises(ValueError, match="constructor"):
        Subnet.load(path)
    assert not mark.exists()


def test_check_lets_a_subnet_of_the_space_pass() -> None:
    full_subnet().check(SPACE)


def test_check_names_the_difference(tmp_path: Path) -> None:
    other = SearchSpace([OneOf("backbone.l3.op", ["a"]), OneOf("op", ["a"])])
    subnet = Subnet(other.fingerprint(), other.selected())
    path = subnet.dump(tmp_path / "a.yaml")
    with pytest.raises(
        ValueError,
        match=r"^Subnet '.*a.yaml' was made for another space: it lacks choices "
        r"\['out'\] and has unknown \['backbone.l3.op'\]\. Write it again from this",
    ):
        Subnet.load(path).check(SPACE)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"op": "mb_k3_e3"}, r"it lacks choices \['out'\]\. Write"),
        ({**VALUES, "b": 1}, r"it has unknown \['b'\]\. Write"),
        (VALUES, r"names agree, but .* \(fingerprint 00000000 in place of"),
    ],
)
def test_check_names_what_there_is(values: dict, text: str) -> None:
    with pytest.raises(ValueError, match=f"The subnet was made for.*: .*{text}"):
        Subnet("00000000", values).check(SPACE)


def test_check_notices_an_edited_file() -> None:
    subnet = Subnet(SPACE.fingerprint(), {**VALUES, "op": "mb_k9"})
    with pytest.raises(
        ValueError, match="but was changed: .*'op' does not allow 'mb_k9"
    ):
        subnet.check(SPACE)


@given(spaces(), spaces(), SEEDS)
def test_check_passes_only_its_own_space(
    a: SearchSpace, b: SearchSpace, seed: int
) -> None:
    subnet = Subnet(a.fingerprint(), a.sample(np.random.default_rng(seed)))
    subnet.check(a)
    if a.fingerprint() != b.fingerprint():
        with pytest.raises(ValueError, match="made for another space"):
            subnet.check(b)


def test_printing_is_short() -> None:
    assert repr(full_subnet()) == (
        f"Subnet(space='{SPACE.fingerprint()}', choices=2, cost={{'macs': 312400000}}, "
        "score={'accuracy/top1': 71.3})"
    )
