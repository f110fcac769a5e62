"""Names of modules and of what is in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

_Value = TypeVar("_Value")
#: What ``DataParallel`` and its kind, and ``torch.compile``, put before all names.
_WRAPPERS = ("module.", "_orig_mod.")
#: What an Algorithm puts before those of its Architecture.
_ALGORITHM = "architecture."


def is_inside(name: str, module: str) -> bool:
    """Tell whether a name is that of a module or of something in it.

    Args:
        name: Of a module, parameter or buffer.
        module: Everything is inside the whole model, ``''``.

    Example:
        >>> is_inside('head.fc', 'head'), is_inside('header', 'head')
        (True, False)
        >>> is_inside('head.fc', '')
        True
    """
    return not module or name == module or name.startswith(f"{module}.")


def renamed_to_fit(
    state: Mapping[str, _Value], wanted: Collection[str]
) -> Mapping[str, _Value]:
    """Put or remove the prefixes of wrappers, so that a state dict fits a model.

    ``DataParallel`` puts ``module.`` before all names, ``torch.compile`` puts
    ``_orig_mod.``, and an Algorithm puts ``architecture.`` before those of its
    Architecture. A model may have such children
    of its own: what is put or removed is what gives most of the wanted names.

    Args:
        state: Values by name.
        wanted: Names in the state dict of the model.

    Returns:
        ``state`` itself if it fits best, or a copy with other names. Where
        ``architecture.`` is removed, names without it are dropped.

    Example:
        >>> list(renamed_to_fit({'module.fc.bias': 0}, ['fc.bias']))
        ['fc.bias']
        >>> list(renamed_to_fit({'module.fc.bias': 0}, ['module.fc.bias']))
        ['module.fc.bias']
    """
    wanted = set(wanted)

    def fit(prefixes: tuple[str, str]) -> tuple[int, int]:
        names = {new for _, new in _renamed(state, *prefixes)}
        return len(names & wanted), -len(names - wanted)

    ways = [
        (old, new)
        for old in _removable(state, wanted)
        for new in ("", *_WRAPPERS, _ALGORITHM)
        if not new or not old.endswith(new)
    ]
    old, new = max(ways, key=fit)
    if old == new == "":
        return state
    renamed = OrderedDict((to, state[name]) for name, to in _renamed(state, old, new))
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        # Versions of the modules: load_state_dict upgrades old layouts by them.
        inside = _renamed({f"{name}.": None for name in metadata if name}, old, new)
        versions = {to[:-1]: metadata[name[:-1]] for name, to in inside if to}
        root = metadata.get(old[:-1])
        if root is not None:
            versions[new[:-1]] = root
        vars(renamed)["_metadata"] = versions
    return renamed


def _removable(state: Mapping[str, Any], wanted: Collection[str]) -> list[str]:
    """List prefixes that may be removed; of equally fitting ones the first is taken."""
    chain = [""]
    while state:
        longer = [chain[-1] + one for one in _WRAPPERS]
        shared = [one for one in longer if all(name.startswith(one) for name in state)]
        if not shared:
            break
        chain += shared
    inside = [one + _ALGORITHM for one in chain]
    found = [one for one in inside if any(name.startswith(one) for name in state)]
    found += chain[1:]
    strange = [one for one in found if not any(n.startswith(one) for n in wanted)]
    return [*strange, "", *(one for one in found if one not in strange)]


def _renamed(state: Mapping[str, Any], old: str, new: str) -> Iterator[tuple[str, str]]:
    """Yield names that have a prefix, and what they are with another one."""
    for name in state:
        if name.startswith(old):
            yield name, new + name[len(old) :]
