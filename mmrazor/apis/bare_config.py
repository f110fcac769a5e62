# A pruned or searched model is the exception: no host can build one, so its config
# keeps ``mmrazor.SubnetModel`` around the host's own model dict.
"""Turn the config of a run into one that the host library runs without mmrazor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from .. import compat
from ..models.architectures import ArchitectureConfig, architecture_config
from ..models.architectures.resolve import is_pruned, names_weights, pruned_from
from ..registry import HOOKS, LOOPS
from .image_size import test_pipeline

_OURS = "mmrazor."
_PRUNED = "mmrazor.SubnetModel"
_STAGES = ("val", "test")
# Settings of a run that a test with the host's own tools reads.
_KEPT = (
    "default_hooks",
    "env_cfg",
    "vis_backends",
    "visualizer",
    "log_processor",
    "log_level",
    "randomness",
    "custom_imports",
    "tta_model",
    "tta_pipeline",
)
_BUILT = ("visualizer", "tta_model")


def architecture_of(cfg: Config) -> ArchitectureConfig:
    """Resolve the Architecture of an Algorithm's config, or of a plain host config.

    Raises:
        ValueError: If the config has no model.
    """
    model = cfg.get("model")
    if not isinstance(model, Mapping):
        given = "" if model is None else f", but model={model!r}"
        raise ValueError(
            f"Config '{cfg.filename}' has no 'model' dict{given}. Add "
            "model=dict(type='...', ...)."
        )
    if "architecture" not in model or is_pruned(model):
        return architecture_config(cfg)
    preprocessor = model.get("data_preprocessor") or cfg.get("data_preprocessor")
    return architecture_config(model["architecture"], preprocessor)


def bare_config(cfg: Config) -> Config:
    """Return a config with the bare Architecture and how to validate and test it.

    Args:
        cfg: Of an Algorithm, or of a plain host model.

    Returns:
        Model (weights to download left out), val and test loaders, evaluators and
        loops, and the run settings; all names are those of the host library. Only a
        pruned or searched model is still a ``mmrazor.SubnetModel`` with the path of its
        Subnet.

    Raises:
        ValueError: If something in it needs mmrazor after all.
    """
    resolved = architecture_of(cfg)
    scope, run_scope = resolved.scope, cfg.get("default_scope")
    bare: dict[str, Any] = {"default_scope": scope or "mmengine"}
    bare["model"] = bare_model(resolved)
    given = _plain(cfg)
    for stage in _STAGES:
        source = stage if given.get(f"{stage}_dataloader") else "val"
        if not given.get(f"{source}_dataloader"):
            continue
        bare[f"{stage}_dataloader"] = given[f"{source}_dataloader"]
        bare[f"{stage}_evaluator"] = given.get(f"{source}_evaluator")
        bare[f"{stage}_cfg"] = _loop(given.get(f"{source}_cfg"))
    if test_pipeline(bare):
        # mmseg's inference_model reads it here.
        bare["test_pipeline"] = test_pipeline(bare)
    bare.update({key: given[key] for key in _KEPT if given.get(key) is not None})
    if "default_hooks" in bare:
        bare["default_hooks"] = _host_hooks(bare["default_hooks"])
    if "custom_imports" in bare:
        bare["custom_imports"] = _host_imports(bare["custom_imports"])
    if run_scope not in (None, "mmengine", "mmrazor", scope):
        _name_scope_(bare, run_scope)
    bare = _with_host_names(bare, bare["default_scope"])
    checked = dict(bare)
    if "mutator" in bare["model"]:
        del checked["model"]  # candidates and backbones of a search may be ours
    ours = {name for name in _types(checked) if name.startswith(_OURS)}
    left = sorted(ours - {_PRUNED})
    if left:
        raise ValueError(
            f"The exported config would need mmrazor for {left}. Replace them by parts "
            f"of '{scope}' with --cfg-options, or leave them out of the test settings."
        )
    return Config(bare)


def bare_model(resolved: ArchitectureConfig) -> dict[str, Any]:
    """Return the model dict of an Architecture, weights to download left out.

    Raises:
        ValueError: If it is one of a pruned model without its Subnet.
    """
    if not is_pruned(resolved.model):
        return without_downloads(resolved.model)
    if "subnet" not in resolved.model:
        raise ValueError(
            f"{_PRUNED} needs 'subnet', the file of tools/prune.py or tools/search.py."
        )
    inner = without_downloads(pruned_from(resolved).model)
    given = resolved.model
    return pruned_model(inner, given["subnet"], given.get("mutator"))


def pruned_model(
    inner: Mapping[str, Any], subnet: str, mutator: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the model dict of a pruned or searched Architecture.

    Args:
        inner: The model dict of the Architecture before.
        subnet: Path of its Subnet.
        mutator: What makes the Architecture the supernet, if it was searched.
    """
    kept = {"architecture": dict(inner), "subnet": subnet}
    if mutator is not None:
        kept["mutator"] = dict(mutator)
    # mmdet's init_detector looks into it before it builds the model.
    empty: dict[str, Any] = {"backbone": {}} if "backbone" in inner else {}
    return {"type": _PRUNED, **kept, **empty}


def _plain(cfg: Config) -> dict[str, Any]:
    return ConfigDict(cfg._cfg_dict).to_dict()


def _loop(loop: Mapping[str, Any] | None) -> dict[str, Any]:
    """Keep a host's loop; ours become the host's plain one."""
    kept = dict(loop or {})
    kind = str(kept.get("type", ""))
    if kind.startswith(_OURS) or kind in LOOPS.module_dict:
        return {"fp16": True} if kept.get("fp16") else {}
    return kept


def _host_hooks(hooks: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, hook in hooks.items():
        kind = str(hook.get("type", "")) if isinstance(hook, Mapping) else ""
        if kind.startswith(_OURS) or kind in HOOKS.module_dict:
            continue
        if isinstance(hook, Mapping):
            # The file backend that makes our training checkpoints whole.
            hook = {key: value for key, value in hook.items() if key != "backend_args"}
        kept[name] = hook
    return kept


def _host_imports(imports: Mapping[str, Any]) -> dict[str, Any]:
    names = imports.get("imports") or []
    names = [names] if isinstance(names, str) else list(names)
    kept = [name for name in names if name.partition(".")[0] != "mmrazor"]
    return {**imports, "imports": kept}


def _name_scope_(bare: dict[str, Any], scope: str) -> None:
    """Mark what was written for another default scope than the Architecture's."""
    parts = [bare[key] for key in _BUILT if key in bare]
    for stage in _STAGES:
        parts.append((bare.get(f"{stage}_dataloader") or {}).get("dataset"))
        evaluators = bare.get(f"{stage}_evaluator")
        parts += evaluators if isinstance(evaluators, list) else [evaluators]
    for part in parts:
        if isinstance(part, dict) and "type" in part:
            part.setdefault("_scope_", scope)


def without_downloads(value: Any) -> Any:
    """Drop weights to start training from: the exported checkpoint has them all."""
    if isinstance(value, Mapping):
        kept = {key: without_downloads(item) for key, item in value.items()}
        if isinstance(kept.get("pretrained"), str):
            kept["pretrained"] = None
        if names_weights(kept.get("init_cfg")):
            kept["init_cfg"] = None
        return kept
    if isinstance(value, (list, tuple)):
        return type(value)(without_downloads(item) for item in value)
    return value


def _with_host_names(value: Any, scope: str) -> Any:
    """Give renamed packages their present names; drop scopes that hold anyway."""
    if isinstance(value, Mapping):
        kept = {key: _host_name(key, item) for key, item in value.items()}
        inner = kept.get("_scope_", scope)
        if inner == scope:
            kept.pop("_scope_", None)
        return {key: _with_host_names(item, inner) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_host_names(item, scope) for item in value)
    return value


def _host_name(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key == "_scope_":
        return compat.host_module(value)
    scope, dot, rest = value.partition(".")
    return compat.host_module(scope) + dot + rest if key == "type" and dot else value


def _types(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str):
            scope = value.get("_scope_")
            yield f"{scope}.{kind}" if scope == "mmrazor" else kind
        for item in value.values():
            yield from _types(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _types(item)
