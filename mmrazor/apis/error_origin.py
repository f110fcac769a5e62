"""Where an exception came from: a key of the config, a line of a file."""

from __future__ import annotations

import linecache
import os
import site
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = tuple(
    os.path.realpath(folder)
    for folder in {
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    }
)
_TOOLS = _PACKAGE.parent / "tools"
_BUILDER = "build_from_cfg"  # of mmengine, which all its registries build with


class Place(NamedTuple):
    """A frame that an exception came through, and the line it was at."""

    frame: FrameType
    line: int

    @property
    def file(self) -> str:
        """Path of the source file."""
        return self.frame.f_code.co_filename


class Building(NamedTuple):
    """What a registry was building from a config when an exception was raised."""

    spec: Mapping[str, Any]
    kind: Any
    made: bool  # whether the constructor had begun


def places(err: BaseException) -> list[Place]:
    """Return the frames that an exception came through, the innermost last.

    Those of what caused it, or of what it replaced, come behind its own.
    """
    found = []
    seen: set[int] = set()
    step: BaseException | None = err
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        trace = step.__traceback__
        while trace is not None:
            found.append(Place(trace.tb_frame, trace.tb_lineno))
            trace = trace.tb_next
        step = step.__cause__ or step.__context__
    return found


def is_raised(err: BaseException) -> bool:
    """Tell whether a ``raise`` statement of mmrazor made an exception.

    Such a one has a sentence for its user; what Python or a library raises inside our
    code has not.
    """
    trace = err.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno).strip()
    return _is_inside(file, str(_PACKAGE)) and line.startswith("raise ")


def buildings(err: BaseException) -> list[Building]:
    """Return what registries were building, the innermost first."""
    found = []
    own = places(err)
    for number, (frame, _) in enumerate(own):
        if frame.f_code.co_name != _BUILDER or "registry" not in frame.f_locals:
            continue
        values = frame.f_locals
        spec = values.get("cfg")
        if isinstance(spec, Mapping):
            made = "obj_cls" in values and number + 1 < len(own)
            found.append(Building(spec, values.get("obj_cls"), made))
    return found[::-1]


def config_key(
    err: BaseException, setting: str | None = None, by_values: bool = True
) -> str | None:
    """Return the dotted key of the part of the config that was being built.

    Args:
        err: What was raised.
        setting: A key that this part has; it helps where the part was taken apart.
        by_values: Whether the variables of what no registry builds are looked at too.

    Example:
        ``model.distiller.losses.kd``, ``train_dataloader.dataset.pipeline.0``
    """
    config = _config(err)
    if config is None:
        return None
    if setting is not None:
        having = [path for path, value in _dicts(config) if setting in value]
        if len(having) == 1:
            return having[0]
    for building in buildings(err):
        key = key_of(building.spec, config)
        if key:
            return key
    return _key_of_locals(err, config) if by_values else None


def key_of(spec: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Return the dotted key under which a config holds a dict, or one it came from.

    Args:
        spec: What a registry builds: as it stands in the config, or with keys that were
            added or taken out on the way.
        config: All of a config.

    Example:
        >>> key_of({'type': 'B', 'tau': 0}, {'a': [{'type': 'B', 'tau': 0, 'x': 1}]})
        'a.0'
    """
    dicts = [
        (path, value)
        for path, value in _dicts(config)
        if _same(value.get("type"), spec.get("type"))
    ]
    for fits in (_equal, _part_of, _shares):
        found = [path for path, value in dicts if fits(spec, value)]
        if found:
            return found[0]
    if len(dicts) == 1:
        return dicts[0][0]
    # Parts whose type their owner gives.
    bare = [
        (len(value), path)
        for path, value in _dicts(config)
        if value and "type" not in value and _shares(spec, value)
    ]
    return max(bare)[1] if bare else None


def _key_of_locals(err: BaseException, config: Mapping[str, Any]) -> str | None:
    """Return the key of the one part of a config that the innermost frame works on."""
    parts = [(path, value) for path, value in _dicts(config) if value]
    for frame, _ in reversed(places(err)):
        found = {
            path
            for value in list(frame.f_locals.values())
            if isinstance(value, Mapping) and value
            for path, part in parts
            if _equal(value, part)
        }
        if found:
            shortest = min(found, key=len)
            inside = all(f"{path}.".startswith(f"{shortest}.") for path in found)
            return shortest if inside else None
    return None


def location(err: BaseException) -> str:
    """Return file and line of the user's code that an exception came through last.

    Of mmrazor's, if it came through none of the user's; of whatever file, if neither.
    """
    found = places(err)
    kinds = (is_users, lambda file: _is_inside(file, str(_PACKAGE)), lambda file: True)
    for fits in kinds:
        for place in reversed(found):
            if fits(place.file):
                return f"{shown(place.file)}:{place.line}"
    return "an unknown place"


def shown(file: str) -> str:
    """Return a path as short as it is still clear.

    Example:
        >>> shown(os.path.join(os.getcwd(), 'nets', 'mine.py'))
        'nets/mine.py'
    """
    path = os.path.realpath(file)
    if _is_inside(path, str(_PACKAGE)):
        return os.path.relpath(path, _PACKAGE.parent)
    for folder in (os.path.realpath(os.getcwd()), *_INSTALLED):
        if _is_inside(path, folder):
            return os.path.relpath(path, folder)
    return file


def called(err: BaseException, name: str) -> Any:
    """Return what a message of Python calls by a dotted name, such as ``A.__init__``.

    Args:
        err: The TypeError of the call.
        name: As the message has it, without the brackets.
    """
    first, *rest = name.split(".")
    for frame, _ in reversed(places(err)):
        values = {**frame.f_globals, **frame.f_locals}
        classes = [type(value) for value in list(frame.f_locals.values())]
        classes += [
            value for value in frame.f_locals.values() if isinstance(value, type)
        ]
        named = [
            one
            for one in reversed(classes)
            if first in [kind.__name__ for kind in one.__mro__]
        ]
        for found in ([values[first]] if first in values else []) + named:
            for part in rest:
                if part != "__init__":
                    found = getattr(found, part, None)
            if callable(found):
                return found
    return None


def local_value(err: BaseException, names: Sequence[str], *kinds: type) -> Any:
    """Return the innermost local variable with one of some names and types."""
    for place in reversed(places(err)):
        values = place.frame.f_locals
        for name in names:
            if name in values and isinstance(values[name], kinds):
                return values[name]
    return None


def _config(err: BaseException) -> Mapping[str, Any] | None:
    """Return the whole config that a run was made of."""
    for frame, _ in places(err):
        for value in frame.f_locals.values():
            for one in (value, _attribute(value, "cfg")):
                known = _content(one)
                if known and ("model" in known or "train_cfg" in known):
                    return known
    return None


def _content(value: Any) -> Mapping[str, Any] | None:
    """Return what is in a Config, also in one that is half made."""
    if type(value).__name__ != "Config":
        return None
    content = _attribute(value, "_cfg_dict")
    return content if isinstance(content, Mapping) else None


def _attribute(value: Any, name: str) -> Any:
    """Return an attribute that an object holds itself."""
    try:
        return object.__getattribute__(value, "__dict__").get(name)
    except AttributeError:
        return None


def is_users(file: str) -> bool:
    """Tell whether a source file is neither ours nor an installed package's."""
    path = os.path.realpath(file)
    others = (str(_PACKAGE), str(_TOOLS), *_INSTALLED)
    return os.path.isfile(path) and not any(_is_inside(path, f) for f in others)


def _is_inside(file: str, folder: str) -> bool:
    return os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep)


def _dicts(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if path:
            yield path, value
        items: Any = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for key, item in items:
        yield from _dicts(item, f"{path}.{key}" if path else str(key))


def _equal(spec: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    keys = {*spec, *value} - {"_scope_"}
    return all(
        key in spec and key in value and _same(spec[key], value[key]) for key in keys
    )


def _part_of(spec: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    keys = set(spec) - {"_scope_"}
    return all(key in value and _same(spec[key], value[key]) for key in keys)


def _shares(spec: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Tell whether all that stands in the config is in the spec, which got more."""
    return _part_of(value, spec)


def _same(first: Any, second: Any) -> bool:
    if first is second:
        return True
    try:
        return bool(first == second)
    except (RuntimeError, TypeError, ValueError):  # tensors, arrays
        return False
