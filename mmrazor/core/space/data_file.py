# A pruned network has tens of thousands of indices: libyaml reads them if it is there.
"""Plain data in YAML and JSON files: a line per list, no key twice, no objects."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..bounded import read_text
from ..files import write_atomically
from .values import shown

# A network of a hundred thousand channels has one megabyte; what is larger than this,
# or means more than this, is no file of ours, and would take its time and memory.
_MOST_BYTES = 16 * 2**20
_MOST_VALUES = 1_000_000
_DEEPEST_ALIAS = 64
_LONGEST_NUMBER = 64
# Numbers of more digits may all share a hash, which makes a mapping slow.
_LONGEST_KEY = 10
_MOST_LONG_KEYS = 1000

_SUFFIXES = (".yaml", ".yml", ".json")
_NO_LIMIT = 2**30
_WHOLE = re.compile("0|-?[1-9][0-9]*")
_SEPARATORS = re.compile("[,:\n?\\[{]|- ")

_LoaderBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DumperBase: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def read_data(path: str | Path) -> Any:
    """Return what a file holds: JSON if its suffix is ``.json``, YAML if not.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, no YAML or JSON, has a key twice, or is larger or
            means more values than any file of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {str(path)!r}. Check the path; it is taken from the "
            f"folder {str(Path.cwd())!r}."
        )
    language = "JSON" if path.suffix.lower() == ".json" else "YAML"
    try:
        text = read_text(path, _MOST_BYTES)
        if len(_SEPARATORS.findall(text)) > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES} values")
        if language == "JSON":
            return json.loads(text, object_pairs_hook=_from_json)
        return yaml.load(text, _Loader)  # a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise ValueError(
            f"File {str(path)!r} cannot be read as {language}: {reason}. Mend it there "
            "or write it again."
        ) from err


def write_data(path: str | Path, data: Mapping[str, Any]) -> Path:
    """Write plain data to a file, YAML or JSON by its suffix, whole or not at all.

    Lists and ``{keep: [...]}`` take one line each. In JSON, whose keys are texts, whole
    numbers can be the keys of lists.

    Args:
        path: Ends in ``.yaml``, ``.yml`` or ``.json``; missing folders are made.
        data: Mappings, lists, texts, numbers, booleans and None.

    Raises:
        ValueError: If the suffix is another, or JSON cannot hold the data: its numbers
            are finite, and reading it back must give the same keys.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{str(path)!r} must end in one of {', '.join(_SUFFIXES)}: it says how the "
            "file is written."
        )
    try:
        text = _json(data) + "\n" if suffix == ".json" else _yaml(data)
        content = text.encode("utf-8")
    except ValueError as err:
        raise ValueError(f"{str(path)!r} cannot be written: {err}") from err
    return write_atomically(path, lambda p: p.write_bytes(content))


class _Loader(_LoaderBase):
    """Safe loader that takes no key twice, and nothing that means more than it is."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _check_small(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"key {shown(key.value)} comes twice",
                        problem_mark=key.start_mark,
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _check_small(root: yaml.Node) -> None:
    """Refuse aliases that stand for too many values, and numbers that are too long."""
    children: dict[int, list[int]] = {}
    shared = False
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in children:
            shared = True
            continue
        inside = _inside(node)
        children[id(node)] = [id(child) for child in inside]
        todo += inside
    if shared:
        _check_aliases(children)


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.MappingNode):
        long = [key for key, _ in node.value if _is_number(key, _LONGEST_KEY)]
        if len(long) > _MOST_LONG_KEYS:
            raise ValueError(_of_long_keys(len(long)))
        return [one for pair in node.value for one in pair]
    if _is_number(node, _LONGEST_NUMBER):
        raise yaml.constructor.ConstructorError(
            problem=f"{shown(node.value)} is too long for a number",
            problem_mark=node.start_mark,
        )
    return []


def _is_number(node: yaml.Node, longer_than: int) -> bool:
    number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    return number and len(node.value) > longer_than


def _of_long_keys(count: int) -> str:
    return f"a mapping has {count} numbers of many digits as keys"


def _check_aliases(children: Mapping[int, list[int]]) -> None:
    """Count the values when every alias is written out, level by level."""
    sizes = dict.fromkeys(children, 1)
    for _ in range(_DEEPEST_ALIAS):  # one that is inside itself has no end
        new = {key: 1 + sum(sizes[i] for i in ids) for key, ids in children.items()}
        if max(new.values()) > _MOST_VALUES:
            raise ValueError(
                f"its aliases (*name) stand for more than {_MOST_VALUES} values"
            )
        if new == sizes:
            return
        sizes = new


class _Dumper(_DumperBase):
    """Safe dumper that writes lists and kept channels in one line, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def in_one_line(self, data: list[Any]) -> yaml.Node:
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)

    def mapping(self, data: dict[Any, Any]) -> yaml.Node:
        return self.represent_mapping(
            "tag:yaml.org,2002:map", data, flow_style=list(data) == ["keep"]
        )


_Dumper.add_representer(list, _Dumper.in_one_line)
_Dumper.add_representer(dict, _Dumper.mapping)


def _yaml(data: Mapping[str, Any]) -> str:
    # Other letters than ASCII are escaped: PyYAML without libyaml cannot read all back.
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, width=_NO_LIMIT)
    return text


def _json(data: Any, indent: str = "") -> str:
    """Write mappings over several lines and everything else in one."""
    if isinstance(data, Mapping):
        inner = indent + "  "
        if not data or list(data) == ["keep"]:
            before, between, after = "{", ", ", "}"
        else:
            before, between, after = f"{{\n{inner}", f",\n{inner}", f"\n{indent}}}"
        keys, values = _json_keys(data), data.values()
        pairs = zip(keys, values, strict=True)
        items = [f"{json.dumps(key)}: {_json(value, inner)}" for key, value in pairs]
        return before + between.join(items) + after
    if isinstance(data, list) and not set(map(type, data)) <= {int}:
        return "[" + ", ".join(map(_json, data)) + "]"
    if isinstance(data, float) and not math.isfinite(data):
        raise ValueError(f"JSON has no number {data}. Take the suffix .yaml.")
    return json.dumps(data)


def _json_keys(data: Mapping[Any, Any]) -> list[str]:
    """Return the keys as texts, if reading makes the same keys of them."""
    texts = [str(key) for key in data]
    kind = int if _are_axes(texts, data.values()) else str
    if {type(key) for key in data} <= {kind}:
        return texts
    raise ValueError(
        f"JSON cannot keep the keys {shown(list(data))}: its keys are texts, and "
        "those of lists are read as numbers if they can be. Take the suffix .yaml."
    )


def _from_json(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """Make a mapping without losing a key."""
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} comes twice")
        found[key] = value
    if _are_axes(found, found.values()):
        long = sum(len(key) > _LONGEST_KEY for key in found)
        if long > _MOST_LONG_KEYS:
            raise ValueError(_of_long_keys(long))
        return {int(key): value for key, value in found.items()}
    return found


def _are_axes(keys: Iterable[str], values: Iterable[Any]) -> bool:
    """Return whether the keys of a mapping in JSON stand for whole numbers."""
    lists = all(isinstance(value, list) for value in values)
    return lists and all(map(_WHOLE.fullmatch, keys))
