# An Architecture is the user's own model. It is built inside the scope of the library
# it comes from, so that ``ResNet`` in a detector means mmdet's, whatever scope the run
# has. Idea of ``cfg_path``: mmengine.hub; ours never installs, and takes files, dicts,
# Configs and overrides alike.
"""Tell which model a config path, a file, a Config or a dict stands for."""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, TypeAlias

from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import MODELS, DefaultScope

from ... import compat

ArchitectureSource: TypeAlias = "str | os.PathLike[str] | Config | Mapping[str, Any]"
_OURS = ("mmengine", "mmrazor")
_SPEC_KEYS = ("cfg_path", "pretrained", "checkpoint")
_PRUNED = "SubnetModel"
_OF_PRUNED = (
    *("type", "architecture", "subnet", "checkpoint", "init_cfg", "_scope_"),
    *("mutator", "supernet"),
)


@dataclass(frozen=True)
class ArchitectureConfig:
    """Everything that is needed to build an Architecture.

    Args:
        model: The resolved model dict, ``data_preprocessor`` included.
        scope: Library whose registry builds it, or ``None`` for mmengine's own.
        cfg_path: Where the dict comes from, if from a file.
        pretrained: Whether the published weights of ``cfg_path`` are asked for.
        checkpoint: File or address of the weights asked for.
    """

    model: dict[str, Any]
    scope: str | None
    cfg_path: str | None = None
    pretrained: bool = False
    checkpoint: str | None = None


def architecture_config(
    cfg: ArchitectureSource, data_preprocessor: Mapping[str, Any] | None = None
) -> ArchitectureConfig:
    """Resolve what ``build_architecture`` would build, without building it.

    Args:
        cfg: As for ``build_architecture``, without modules.
        data_preprocessor: As for ``build_architecture``.

    Raises:
        FileNotFoundError: If the config file does not exist.
        TypeError: If ``cfg`` is of another kind.
        ValueError: If it holds no model, or its scope cannot be told.
    """
    found = _resolved(cfg, data_preprocessor)
    if not is_pruned(found.model):
        return found
    model = dict(found.model)
    own = model.pop("checkpoint", None)
    return replace(
        found,
        model=model,
        scope=pruned_from(found).scope,
        checkpoint=found.checkpoint if found.checkpoint is not None else own,
    )


def is_pruned(model: Mapping[str, Any]) -> bool:
    """Tell whether a model dict is that of a pruned model, a ``SubnetModel``."""
    kind = model.get("type")
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    return name.rpartition(".")[2] == _PRUNED


def pruned_from(pruned: ArchitectureConfig) -> ArchitectureConfig:
    """Resolve the Architecture that a pruned model is made from.

    Args:
        pruned: The resolved dict of a ``SubnetModel``.

    Raises:
        ValueError: If it names no architecture.
    """
    given = dict(pruned.model)
    if "architecture" not in given:
        raise ValueError(
            f"{_PRUNED} needs 'architecture', the model before pruning, and 'subnet', "
            f"the file that says what is left; it has {sorted(given)}."
        )
    preprocessor = given.pop("data_preprocessor", None)
    settings = {key: value for key, value in given.items() if key not in _OF_PRUNED}
    source = with_settings(given["architecture"], settings)
    if isinstance(source, Mapping) and "cfg_path" not in source:
        return _from_model_dict(_plain(source), preprocessor, pruned.scope)
    return architecture_config(source, preprocessor)


def with_settings(source: Any, settings: Mapping[str, Any]) -> Any:
    """Return what builds an Architecture with some of its settings changed.

    Args:
        source: As for ``build_architecture``.
        settings: New values by key; dicts are merged.

    Raises:
        TypeError: If there are settings, and ``source`` is a module.
    """
    if not settings:
        return source
    if isinstance(source, (str, os.PathLike)):
        source = {"cfg_path": os.fspath(source)}
    elif isinstance(source, Config):
        source = architecture_config(source).model
    if not isinstance(source, Mapping):
        raise TypeError(
            f"{type(source).__name__} is built already, so {sorted(settings)} cannot "
            "be set. Give the architecture as a config."
        )
    merged = Config._merge_a_into_b(
        _plain(settings), _plain(source), allow_list_keys=True
    )
    return _plain(merged)


def _resolved(
    cfg: ArchitectureSource, data_preprocessor: Mapping[str, Any] | None
) -> ArchitectureConfig:
    if isinstance(cfg, (str, os.PathLike)):
        cfg = {"cfg_path": os.fspath(cfg)}
    if isinstance(cfg, Config):
        model, scope = _model_of_config(cfg, data_preprocessor, str(cfg.filename))
        return ArchitectureConfig(model, _scope(model, scope), cfg.filename)
    if not isinstance(cfg, Mapping):
        raise TypeError(
            "An architecture is a config path, a file, a Config, a dict or a module, "
            f"not {type(cfg).__name__}."
        )
    given = _plain(cfg)
    if "cfg_path" not in given:
        return _from_model_dict(given, data_preprocessor)
    path = given["cfg_path"]
    model, scope = _model_of_file(path, data_preprocessor)
    overrides = {k: v for k, v in given.items() if k not in _SPEC_KEYS}
    pretrained = given.get("pretrained", False)
    if not isinstance(pretrained, bool):
        # mmseg's model dicts have a setting of that name: the backbone's weights.
        overrides["pretrained"], pretrained = pretrained, False
    if overrides:
        model = _plain(Config._merge_a_into_b(overrides, model, allow_list_keys=True))
    return ArchitectureConfig(
        model,
        _scope(model, scope),
        path,
        pretrained,
        given.get("checkpoint"),
    )


def _from_model_dict(
    given: dict[str, Any],
    data_preprocessor: Mapping[str, Any] | None,
    scope: str | None = None,
) -> ArchitectureConfig:
    if "type" not in given:
        raise ValueError(
            "An architecture dict needs 'type' (a model dict) or 'cfg_path' (the "
            f"config of a library or a file); it has {sorted(given)}."
        )
    # A model dict may carry what a cfg_path spec carries.
    checkpoint = given.pop("checkpoint", None)
    if isinstance(given.get("pretrained"), bool) and given.pop("pretrained"):
        raise ValueError(
            "pretrained=True needs a cfg_path; a model dict has no published weights. "
            "Give checkpoint='weights.pth'."
        )
    if data_preprocessor is not None:
        given.setdefault("data_preprocessor", _plain(data_preprocessor))
    return ArchitectureConfig(given, _scope(given, scope), checkpoint=checkpoint)


def _model_of_file(
    path: str, data_preprocessor: Mapping[str, Any] | None
) -> tuple[dict[str, Any], str | None]:
    cfg = compat.read_config(compat.find_config(path))
    model, scope = _model_of_config(cfg, data_preprocessor, path)
    library, found, _ = path.partition("::")
    return model, scope or (library if found else None)


def _model_of_config(
    cfg: Config, data_preprocessor: Mapping[str, Any] | None, name: str
) -> tuple[dict[str, Any], str | None]:
    if not isinstance(cfg.get("model"), Mapping):
        raise ValueError(
            f"Config '{name}' has no 'model' dict; its keys are {sorted(cfg.keys())}."
        )
    model = _plain(cfg.model)
    if data_preprocessor is not None:
        model["data_preprocessor"] = _plain(data_preprocessor)
    elif cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", _plain(cfg.data_preprocessor))
    return model, cfg.get("default_scope")


def _plain(cfg: Mapping[str, Any]) -> dict[str, Any]:
    return ConfigDict(copy.deepcopy(dict(cfg))).to_dict()


def _scope(model: Mapping[str, Any], of_file: str | None) -> str | None:
    """Tell which library's registry builds a model dict."""
    scope = model.get("_scope_") or _scope_of_type(model["type"]) or of_file
    current = DefaultScope.get_current_instance()
    if scope is None and current is not None:
        scope = current.scope_name
    if scope is None or scope == "mmengine":
        scope = _search_scope(model["type"])
    return None if scope is None else compat.host_module(scope)


def _scope_of_type(kind: Any) -> str | None:
    name = kind if isinstance(kind, str) else getattr(kind, "__module__", "")
    prefix = name.partition(".")[0]
    known = "." in name and prefix in MODULE2PACKAGE and prefix not in _OURS
    return prefix if known else None


def _search_scope(kind: Any) -> str | None:
    """Find the one library that knows a type whose scope nobody has named."""
    if not isinstance(kind, str) or "." in kind or kind in MODELS.module_dict:
        return None
    found, names = [], set(MODELS.module_dict)
    for scope in filter(compat.is_importable, compat.HOSTS):
        compat.import_host(scope)
        registered = import_module(f"{scope}.registry").MODELS.module_dict
        names.update(registered)
        if kind in registered:
            found.append(scope)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"Model type '{kind}' exists in {found}. Name the library: "
            f"type='{found[0]}.{kind}'."
        )
    near = difflib.get_close_matches(kind, sorted(names), n=5)
    raise ValueError(
        f"Model type '{kind}' is not registered."
        + (f" Near names: {', '.join(near)}." if near else "")
        + " Register your own class in mmengine.registry.MODELS and import its module "
        "(custom_imports), or install its library."
    )


def names_weights(init_cfg: Any) -> bool:
    """Tell whether an ``init_cfg`` loads weights from a file or address.

    Example:
        >>> names_weights(dict(type='Pretrained', checkpoint='torchvision://resnet50'))
        True
    """
    if isinstance(init_cfg, (list, tuple)):
        return any(names_weights(item) for item in init_cfg)
    kind = init_cfg.get("type") if isinstance(init_cfg, Mapping) else None
    return str(kind).rpartition(".")[2] in ("Pretrained", "PretrainedInit")
