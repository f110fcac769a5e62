"""Bind every dict with a ``type`` to the signature of what it names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry

from mmrazor import compat
from mmrazor.models.architectures.build import architecture_config
from mmrazor.models.quantizers import QuantSettings

#: Arguments that the runner, or the owner of a part, adds when it builds the part.
SUPPLIED = {
    "batch",
    "batch_size",
    "dataloader",
    "dataset",
    "evaluator",
    "in_channels",
    "loss",
    "module",
    "num_features",
    "optimizer",
    "params",
    "runner",
    "sampler",
    "save_dir",
}
#: Arguments that the builder of a norm layer, scheduler, optimizer or hook takes out.
TAKEN_OUT = {"requires_grad", "convert_to_iter_based", "paramwise_cfg", "priority"}
#: Settings with a ``type`` that name a function or layer of mmcv, by no registry.
PLAIN_SETTINGS = ("nms", "roi_layer")
ROOTS = [r for r in vars(mmengine.registry).values() if isinstance(r, Registry)]
#: Keys of an Algorithm whose parts, and their parts, are mmrazor's.
_OURS = ("mutator", "pruner", "quantizer", "search", "quantize")
_DISTILLER_KEYS = ("student", "teacher", "student_connector", "teacher_connector")


def faults_of(cfg: Config) -> list[str]:
    """Return what in a config fits no signature; empty if all binds."""
    scope = cfg.get("default_scope")
    if scope in compat.HOSTS:
        compat.import_host(scope)
    return list(_walk(cfg.to_dict(), scope, ""))


def _walk(value: Any, scope: str | None, where: str) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _walk(item, scope, f"{where}[{number}]")
    if not isinstance(value, Mapping):
        return
    if "cfg_path" in value:
        resolved = architecture_config(value)
        if resolved.scope in compat.HOSTS:
            compat.import_host(resolved.scope)
        yield from _walk(resolved.model, resolved.scope, where)
        return
    if where.endswith("distiller"):
        for name, loss in value["losses"].items():
            yield from _walk_loss(dict(loss), f"{where}.losses.{name}")
        return
    if "type" in value:
        yield from _bound(_without_settings(value, where), scope, where)
    for key, item in value.items():
        if key in PLAIN_SETTINGS:
            continue
        inner = "mmrazor" if key in _OURS else scope
        yield from _walk(item, inner, f"{where}.{key}" if where else str(key))


def _without_settings(value: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return a quantizer's config without what goes to its QuantSettings."""
    if "quantizer" not in where.split(".")[:-1]:
        return value
    settings = {field.name for field in fields(QuantSettings)}
    if not where.endswith((".weight", ".activation")):
        return value
    kept = {key: item for key, item in value.items() if key not in settings}
    return {**kept, "settings": {}}


def _walk_loss(loss: dict[str, Any], where: str) -> Iterator[str]:
    extra = {key: loss.pop(key) for key in _DISTILLER_KEYS if key in loss}
    yield from _walk(loss, "mmrazor", where)
    for key in _DISTILLER_KEYS[2:]:
        yield from _walk(extra.get(key), "mmrazor", f"{where}.{key}")


def _bound(value: Mapping[str, Any], scope: str | None, where: str) -> Iterator[str]:
    named = value["type"]
    found = _classes(named, scope) if isinstance(named, str) else [named]
    if not found:
        yield f"{where}: no registry has '{named}' (scope {scope})"
        return
    arguments = [
        str(key) for key in value if key not in ("type", "_scope_", *TAKEN_OUT)
    ]
    answers = [_fault(obj, arguments) for obj in found]
    if all(answers):
        yield f"{where}: {named}: {answers[0]}"


@cache
def _classes(name: str, scope: str | None) -> list[Any]:
    found = []
    for root in ROOTS:
        registry = root.children.get(scope, root) if scope else root
        obj = registry.get(name)
        if obj is not None and obj not in found:
            found.append(obj)
    return found


def _fault(obj: Any, arguments: list[str]) -> str:
    """Return why the arguments do not fit, or an empty string."""
    known, open_ended = _parameters(obj)
    unknown = [name for name in arguments if name not in known]
    if unknown and not open_ended:
        return f"takes no {unknown}"
    missing = [
        name
        for name, parameter in known.items()
        if parameter.default is inspect.Parameter.empty
        and name not in arguments
        and name not in SUPPLIED
        and not name.startswith("data")
    ]
    return f"lacks {missing}" if missing else ""


def _parameters(obj: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Parameters by name, those behind ``**kwargs`` of the parents included."""
    if not inspect.isclass(obj):
        return _named(inspect.signature(obj))
    known: dict[str, inspect.Parameter] = {}
    is_parent = False
    for cls in obj.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        own, more = _named(inspect.signature(vars(cls)["__init__"]))
        own.pop("self", None)
        inherited = {
            name: p.replace(default=None) if is_parent else p
            for name, p in own.items()
            if name not in known
        }
        known.update(inherited)
        is_parent = True  # what it leaves out, the child gives
        if not more:
            return known, False
    # What the last one hands on goes to a part it makes itself.
    return known, True


def _named(signature: inspect.Signature) -> tuple[dict[str, inspect.Parameter], bool]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = signature.parameters
    named = {n: p for n, p in parameters.items() if p.kind not in kinds}
    return named, any(p.kind is kinds[0] for p in parameters.values())
