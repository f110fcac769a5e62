# The one file that knows of quirks of the OpenMMLab packages.
# mmengine finds a package by a table "scope -> distribution"; the maintained forks
# carry other distribution names, mmcls became mmpretrain, and ``mmengine.hub``
# installs whatever it does not find. For each config of a host that is read, it parses
# all metafiles of that host. Its loader of checkpoints, and torch.hub, run whatever
# code is in a file. ``apply`` corrects all five, importing no host.
"""Find the host libraries (mmpretrain, mmdet, mmseg), their configs and weights."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import mmengine.config.utils
import mmengine.utils
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio import load
from mmengine.registry import DefaultScope, Registry

HOSTS = ("mmpretrain", "mmdet", "mmseg")
_RENAMED = {"mmcls": "mmpretrain"}
_INSTALL_HINT = "pip install 'mmrazor[mm]'"
# Modules that load checkpoints, whatever is in them.
_LOADERS = {"mmengine.runner.checkpoint", "torch.hub"}
# Imported when something is loaded: it needs torch, and ``import mmrazor`` does not.
_READER, _DOWNLOADS = "mmrazor.core.checkpoint_reader", "mmrazor.core.downloads"


def apply() -> None:
    """Correct mmengine's view of the installed packages; safe to call again.

    Imports no host library and changes nothing that is right already.
    """
    for scope, package in tuple(MODULE2PACKAGE.items()):
        if scope in _RENAMED or package == scope or _distribution_exists(package):
            continue
        if find_spec(scope) is not None:
            MODULE2PACKAGE[scope] = scope
    for old, new in _RENAMED.items():
        # Once the finder is in place the old name is importable too.
        if find_spec(old) is None:
            MODULE2PACKAGE[old] = new
            sys.meta_path.insert(0, _AliasFinder(old, new))
    # mmengine.hub is heavy: imported later, it takes the name from mmengine.utils.
    for name in ("mmengine.utils", "mmengine.utils.package_utils", "mmengine.hub.hub"):
        if name in sys.modules:
            vars(sys.modules[name])["install_package"] = _refuse_to_install
    mmengine.config.utils.load = _load_once
    for name in _LOADERS & sys.modules.keys():
        _load_safely_(sys.modules[name])
    if not any(isinstance(finder, _LoaderFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LoaderFinder())


@cache
def _load_once(path: str) -> Any:
    """Return what is in a metafile; nobody may change it."""
    return load(path)


def host_module(scope: str) -> str:
    """Name the package that serves a registry scope.

    Example:
        >>> host_module("mmdet")
        'mmdet'
    """
    return MODULE2PACKAGE[scope] if scope in _RENAMED else scope


def is_importable(scope: str) -> bool:
    """Tell whether the package behind a scope is installed, without importing it."""
    return find_spec(host_module(scope)) is not None


def import_host(scope: str) -> None:
    """Import all registered modules of a host library; the default scope stays.

    Args:
        scope: ``mmpretrain``, ``mmdet``, ``mmseg``, ``mmcls`` or another package that
            keeps its registries in ``<scope>.registry``.

    Raises:
        ModuleNotFoundError: If the package, or a part it needs, is not installed.
    """
    if scope in ("mmengine", "mmrazor"):
        return
    name = host_module(scope)
    _check_installed(scope)
    try:
        with _quiet():
            importlib.import_module(f"{scope}.registry")
            utils = importlib.import_module(f"{name}.utils")
            if hasattr(utils, "register_all_modules"):
                utils.register_all_modules(init_default_scope=False)
    except ModuleNotFoundError as err:
        if err.name == "mmcv._ext":
            raise ModuleNotFoundError(
                f"'{name}' needs mmcv's compiled operators, and the installed mmcv was "
                "built without them. Run `make install` in a clone of mmrazor, or "
                "rebuild mmcv: pip install --no-build-isolation --no-cache-dir "
                "--force-reinstall --no-deps onedl-mmcv",
                name=err.name,
            ) from err
        raise ModuleNotFoundError(
            f"'{name}' is installed but one of its own imports is not: '{err.name}'. "
            f"Install that package, or everything at once: {_INSTALL_HINT}",
            name=err.name,
        ) from err


@contextmanager
def host_scope(scope: str | None) -> Iterator[None]:
    """Import a host and make it mmengine's default scope inside the ``with`` block."""
    if scope is not None:
        import_host(scope)
    with DefaultScope.overwrite_default_scope(scope):
        yield


def config_dir(scope: str) -> Path:
    """Return the folder with the configs that a package ships.

    Raises:
        ModuleNotFoundError: If the package is not installed.
        FileNotFoundError: If it is installed without its configs.
    """
    _check_installed(scope)
    spec = find_spec(host_module(scope))
    package = Path(spec.origin).parent if spec and spec.origin else Path(scope)
    for folder in (package / ".mim" / "configs", package.parent / "configs"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"Package '{scope}' at '{package}' has no configs ('.mim/configs' is missing). "
        f"Reinstall it: {_INSTALL_HINT}"
    )


def find_config(cfg_path: str | os.PathLike[str]) -> Path:
    """Turn ``'mmdet::retinanet/x.py'`` or a file name into the path of that file.

    Raises:
        FileNotFoundError: If there is no such config; near names are listed.
        ModuleNotFoundError: If the package before ``::`` is not installed.
        ValueError: If the scope before ``::`` is unknown.
    """
    text = os.fspath(cfg_path)
    if "::" not in text:
        path = Path(text).expanduser()
        if path.is_file():
            return path
        siblings = (p.name for p in path.parent.glob("*.py"))
        raise FileNotFoundError(
            f"There is no config file '{text}'.{_near(path.name, siblings)} A config "
            "of an installed library is named like 'mmdet::retinanet/<name>.py'."
        )
    scope, _, relative = text.partition("::")
    if scope not in MODULE2PACKAGE:
        raise ValueError(
            f"'{text}' names the unknown library '{scope}'."
            f"{_near(scope, MODULE2PACKAGE)} Write '<library>::<folder>/<config>.py'."
        )
    folder = config_dir(scope)
    for candidate in (folder / relative, folder / f"{relative}.py"):
        if candidate.is_file():
            return candidate
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*.py")]
    raise FileNotFoundError(
        f"'{host_module(scope)}' ships no config '{relative}' (cfg_path='{text}')."
        f"{_near(relative, names)} All of them lie in '{folder}'."
    )


def read_config(path: str | os.PathLike[str]) -> Config:
    """Read a config file; what came by ``_base_ = 'mmrazor::...'`` gets no scope.

    mmengine marks such parts with our scope, where a host's datasets and models are
    not found. Our own classes carry their scope in ``type``.

    Raises:
        ValueError: If the file builds on itself.
    """
    _check_bases(os.path.abspath(path), ())
    cfg = Config.fromfile(os.fspath(path))
    _drop_own_scope_(cfg._cfg_dict)
    return cfg


def _check_bases(path: str, chain: tuple[str, ...]) -> None:
    """Refuse configs that build on themselves, which mmengine follows for ever."""
    if path in chain:
        names = [os.path.basename(one) for one in (*chain[chain.index(path) :], path)]
        raise ValueError(f"it builds on itself by '_base_': {' -> '.join(names)}")
    if not path.endswith(".py") or Config._is_lazy_import(path):
        return
    for base in Config._get_base_files(path):
        if not isinstance(base, str):
            raise ValueError(f"'_base_' of '{path}' has {base!r}, not a path")
        if "::" in base:
            continue
        inner = os.path.abspath(os.path.join(os.path.dirname(path), base))
        if os.path.isfile(inner):
            _check_bases(inner, (*chain, path))


def _drop_own_scope_(value: Any) -> None:
    if isinstance(value, dict):
        if value.get("_scope_") == "mmrazor":
            del value["_scope_"]
        for item in value.values():
            _drop_own_scope_(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _drop_own_scope_(item)


def pretrained_url(cfg_path: str | os.PathLike[str]) -> str:
    """Return the address of the weights published for a host library's config.

    Args:
        cfg_path: As for ``find_config``.

    Raises:
        ValueError: If no weights are published for that config.
    """
    path = find_config(cfg_path).resolve()
    for scope in HOSTS:
        if not is_importable(scope):
            continue
        folder = config_dir(scope).resolve()
        if folder in path.parents:
            return _published_weights(folder.parent, path, os.fspath(cfg_path))
    raise ValueError(
        f"pretrained=True needs a config of an installed library, and '{cfg_path}' is "
        "none of them. Name the weights instead: checkpoint='weights.pth'."
    )


def _published_weights(root: Path, path: Path, asked: str) -> str:
    name = path.relative_to(root).as_posix()
    for meta_file in _load_once(str(root / "model-index.yml"))["Import"]:
        if Path(meta_file).parent != Path(name).parent:
            continue
        for entry in _load_once(str(root / meta_file)).get("Models") or []:
            if entry.get("Config") == name and entry.get("Weights"):
                weights = entry["Weights"]
                return weights if isinstance(weights, str) else weights[0]
    raise ValueError(
        f"No weights are published for '{asked}' ('{root / 'model-index.yml'}' lists "
        "none). Use pretrained=False, or name a file: checkpoint='weights.pth'."
    )


def _near(name: str, known: Iterable[str]) -> str:
    """Say which known names are close, as a sentence that starts with a space."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    if not close:
        stem = Path(name).stem
        by_stem = {Path(other).stem: other for other in known}
        found = difflib.get_close_matches(stem, list(by_stem), n=5, cutoff=0.5)
        close = [by_stem[other] for other in found]
    return f" Near names: {', '.join(close)}." if close else ""


def _check_installed(scope: str) -> None:
    if not is_importable(scope):
        raise ModuleNotFoundError(
            f"'{scope}' is not installed"
            + (f" (nor its successor '{_RENAMED[scope]}')" if scope in _RENAMED else "")
            + f". Install the OpenMMLab libraries: {_INSTALL_HINT}",
            name=scope,
        )


def _distribution_exists(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _refuse_to_install(package: str) -> None:
    """Stand in for mmengine's ``install_package``: check, never install."""
    if not mmengine.utils.is_installed(package):
        _check_installed(re.sub(r"\W.*", "", package))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the hosts say about optional extras while they are imported."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", message="faster_coco_eval")
        yield


class _AliasFinder(MetaPathFinder, Loader):
    """Let ``import old.x`` give the module ``new.x``, also as a registry scope."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] != self.old or find_spec(self.new) is None:
            return None
        return spec_from_loader(fullname, self)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        fullname = module.__name__
        real = importlib.import_module(self.new + fullname[len(self.old) :])
        # The import system takes what lies in sys.modules after this call.
        sys.modules[fullname] = real
        if fullname == f"{self.old}.registry":
            self._alias_registries(real)

    def _alias_registries(self, module: ModuleType) -> None:
        for registry in tuple(vars(module).values()):
            if not isinstance(registry, Registry) or registry.parent is None:
                continue
            if registry.scope != self.new or self.old in registry.parent.children:
                continue
            alias = Registry(
                registry.name,
                build_func=registry.build_func,
                parent=registry.parent,
                scope=self.old,
                locations=registry._locations,
            )
            # One table under two names: what is registered later is seen by both.
            alias._module_dict = registry._module_dict
            alias._children = registry._children


class _LoaderFinder(MetaPathFinder):
    """Let modules that load checkpoints do so safely once they are imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in _LOADERS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                _call_after_(spec.loader, _load_safely_)
                return spec
        return None


def _call_after_(loader: Loader, function: Callable[[ModuleType], None]) -> None:
    """Call a function with the module that a loader has executed."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        function(module)

    vars(loader)["exec_module"] = exec_module


class _SafelyLoadingTorch(ModuleType):
    """torch, but ``load`` runs no code from the file."""

    def __init__(self, torch: ModuleType) -> None:
        super().__init__(torch.__name__, torch.__doc__)
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module(_READER).load(*args, **kwargs)


def _load_safely_(module: ModuleType) -> None:
    """Let a module that calls ``torch.load`` read checkpoints without running them."""
    names = vars(module)
    if not isinstance(names["torch"], _SafelyLoadingTorch):
        names["torch"] = _SafelyLoadingTorch(names["torch"])
    if "_safe_torch_load" in names:  # it allows getattr, and then everything
        names["_safe_torch_load"] = _load_data
    if "load_url" in names:  # it takes files of one name for the same
        names["load_url"] = _load_url


def _load_data(*args: Any, **kwargs: Any) -> Any:
    """Read a checkpoint; without the text of a config that mmcv left.

    mmengine runs that text when training is resumed.
    """
    content = importlib.import_module(_READER).read_checkpoint(*args, **kwargs)
    if isinstance(content.get("meta"), dict):
        content["meta"].pop("config", None)
    return content


def _load_url(*args: Any, **kwargs: Any) -> Any:
    return importlib.import_module(_DOWNLOADS).load_url(*args, **kwargs)
