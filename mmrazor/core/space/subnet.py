# The one file that search, pruning, export and retraining exchange: plain data, so that
# it is read without code, compared with a text tool and kept beside the weights.
"""One selected value for every Choice, with cost and score, and its file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from .data_file import read_data, write_data
from .search_space import SearchSpace
from .values import (
    Value,
    is_kept_list,
    is_scalar,
    plain_tree,
    plain_value,
    shown,
    value_from_data,
    value_to_data,
)

FORMAT = "mmrazor.subnet/1"
_SHOWN, _LONGEST = 16, 120  # names in a message, and characters of each
_REQUIRED = ("format", "space", "choices")
_OPTIONAL = ("slots", "cost", "score")
_SEAL = "of_choices"  # in the slots of a file: what tells whether both belong together


@final
@dataclass(frozen=True, repr=False)
class Subnet:
    """One selected value for every Choice of a SearchSpace, plus its cost and score.

    What it is given is copied into plain data: numbers of numpy and torch become
    Python's.

    Args:
        space: Fingerprint of the SearchSpace.
        choices: Value of every Choice by name.
        slots: For pruned models, the resolved cuts as plain data, so that loading needs
            no tracing.
        cost: Numbers with the unit in the name: ``macs``, ``params``, ``latency_ms``.
        score: Metrics, such as ``accuracy/top1``.
        path: File it was loaded from, for messages; not compared.

    Raises:
        ValueError: If something is of the wrong kind.

    Example:
        >>> subnet = Subnet('3f2a91c0', {'op': 'mb_k5_e6'}, cost={'macs': 312400000})
        >>> subnet
        Subnet(space='3f2a91c0', choices=1, cost={'macs': 312400000}, score={})
    """

    space: str
    choices: Mapping[str, Value]
    slots: Mapping[str, Any] | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    score: Mapping[str, float] = field(default_factory=dict)
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.space, str) or not re.fullmatch(
            "[0-9a-f]{8}", self.space
        ):
            raise ValueError(
                f"space={self.space!r} is no fingerprint. Give the 8 hex digits of "
                "SearchSpace.fingerprint() as a text."
            )
        plain = {
            "choices": _plain_choices(self.choices),
            "cost": _numbers("cost", self.cost),
            "score": _numbers("score", self.score),
        }
        if self.slots is not None:
            plain["slots"] = plain_tree("slots", _mapping("slots", self.slots))
        for name, value in plain.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @classmethod
    def from_data(cls, data: Any, path: str | Path | None = None) -> Subnet:
        """Make a Subnet of what ``to_data`` returned or a file holds.

        Args:
            data: Plain data.
            path: Where it comes from, for messages.

        Raises:
            ValueError: If it has another format, keys are missing or unknown, or values
                are of the wrong kind.
        """
        where = _called(path)
        _check_keys(data, where)
        try:
            choices = _mapping("choices", data["choices"])
            values, faults = {}, []
            for name, value in choices.items():
                try:
                    values[name] = value_from_data(value)
                except ValueError as err:
                    faults.append(f"choice {shown(name)}: {err}")
            if faults:
                raise ValueError(" ".join(faults[:_SHOWN]))
            others = {key: data[key] for key in _OPTIONAL if data.get(key) is not None}
            sealed = others.get("slots")
            if isinstance(sealed, Mapping) and _SEAL in sealed:
                others["slots"] = {k: v for k, v in sealed.items() if k != _SEAL}
            found = Path(path) if path is not None else None
            subnet = cls(data["space"], values, **others, path=found)
            if isinstance(sealed, Mapping) and sealed.get(_SEAL) not in (
                None,
                _seal(subnet),
            ):
                raise ValueError(
                    "its choices and its slots do not belong together: one of them was "
                    "changed by hand. Write the file again with tools/prune.py, with "
                    "the choices that you want"
                )
            return subnet
        except ValueError as err:
            raise ValueError(f"{where} is faulty: {err}") from err

    def to_data(self) -> dict[str, Any]:
        """Return the content of its file as plain data."""
        data: dict[str, Any] = {"format": FORMAT, "space": self.space}
        data["choices"] = {n: value_to_data(v) for n, v in self.choices.items()}
        if self.slots is not None:
            data["slots"] = self.slots
            if _is_of_pruning(self.slots):
                data["slots"] = {**self.slots, _SEAL: _seal(self)}
        others = {"cost": self.cost, "score": self.score}
        return data | {key: value for key, value in others.items() if value}

    @classmethod
    def load(cls, path: str | Path) -> Subnet:
        """Read a Subnet from a YAML or JSON file, as data: no code in it is run.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no Subnet file.
        """
        return cls.from_data(read_data(path), path)

    def dump(self, path: str | Path) -> Path:
        """Write a file that ``load`` reads; the old file stays until it is whole.

        Args:
            path: Ends in ``.yaml``, ``.yml`` or ``.json``; missing folders are made.

        Returns:
            The path written.

        Raises:
            ValueError: If the suffix is another, or JSON cannot hold the data.
        """
        return write_data(path, self.to_data())

    def check(self, space: SearchSpace) -> None:
        """Return quietly if the Subnet is one of a SearchSpace.

        Raises:
            ValueError: If it was made for another space, or a value is not allowed.
        """
        where = _called(self.path)
        if self.space == space.fingerprint():
            try:
                space.validate(self.choices)
            except ValueError as err:
                raise ValueError(
                    f"{where} has the fingerprint of its space but was changed: {err}"
                ) from err
            return
        lacks = [name for name in space if name not in self.choices]
        unknown = [name for name in self.choices if name not in space]
        faults = [f"lacks choices {_some(lacks)}"] if lacks else []
        faults += [f"has unknown {_some(unknown)}"] if unknown else []
        difference = f"it {' and '.join(faults)}"
        if not faults:
            difference = (
                "the names agree, but kinds, allowed values or their order differ "
                f"(fingerprint {self.space} in place of {space.fingerprint()})"
            )
        raise ValueError(
            f"{where} was made for another space: {difference}. Write it again from "
            "this space, or pass the config it was made with."
        )

    def __repr__(self) -> str:
        return (
            f"Subnet(space={self.space!r}, choices={len(self.choices)}, "
            f"cost={self.cost}, score={self.score})"
        )


def _is_of_pruning(slots: Mapping[str, Any]) -> bool:
    return {"slots", "shapes"} <= set(slots)


def _seal(subnet: Subnet) -> str:
    """Return hex digits that change with the choices or the cuts of a Subnet.

    What is built follows from the slots; the choices are what people read.
    """
    choices = {name: value_to_data(value) for name, value in subnet.choices.items()}
    axes = (subnet.slots or {}).get("slots")
    text = json.dumps([choices, axes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _called(path: str | Path | None) -> str:
    return "The subnet" if path is None else f"Subnet {str(path)!r}"


def _check_keys(data: Any, where: str) -> None:
    if not isinstance(data, Mapping):
        raise ValueError(
            f"{where} holds {shown(data)}, which is no mapping with the keys "
            f"{list(_REQUIRED)}. Pass a file written by Subnet.dump."
        )
    if data.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"{where} has the format {shown(data['format'])}; this version reads "
            f"{FORMAT!r}. Pass a file written by Subnet.dump, or take the version of "
            "mmrazor that wrote this one."
        )
    missing = [key for key in _REQUIRED if key not in data]
    unknown = [key for key in data if key not in (*_REQUIRED, *_OPTIONAL)]
    faults = [f"lacks the keys {missing}"] if missing else []
    faults += [f"has unknown keys {_some(unknown)}"] if unknown else []
    if faults:
        raise ValueError(
            f"{where} {' and '.join(faults)}. It must have {list(_REQUIRED)} and may "
            f"have {list(_OPTIONAL)}."
        )


def _some(names: list[Any]) -> str:
    """Return names as a list for a message, many or long ones in part."""
    texts = [repr(name) for name in names[:_SHOWN]]
    texts = [t if len(t) <= _LONGEST else f"{t[:_LONGEST]}..." for t in texts]
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"[{', '.join(texts)}{more}]"


def _mapping(where: str, data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} must be a mapping, got {shown(data)}.")
    return data


def _plain_choices(choices: Any) -> dict[str, Value]:
    plain = {}
    for name, value in _mapping("choices", choices).items():
        plain[name] = plain_value(value)
        if not isinstance(name, str) or not name:
            raise ValueError(f"choice {shown(name)} must have a text as its name.")
        if not is_scalar(plain[name]) and not is_kept_list(plain[name]):
            raise ValueError(
                f"choice {name!r}: {shown(value)} is no value. It must be a text, a "
                "boolean, a finite number or a list of ascending indices."
            )
    return plain


def _numbers(where: str, data: Any) -> dict[str, float]:
    plain = {}
    for name, value in _mapping(where, data).items():
        number = plain_value(value)
        if not isinstance(name, str) or type(number) not in (int, float):
            raise ValueError(
                f"{where}[{name!r}] is {shown(value)}: it must be a number under a "
                "text that names it, with its unit."
            )
        plain[name] = number
    return plain
