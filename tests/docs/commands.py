"""Check a command of the documentation: cheap ones run, costly ones are parsed."""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from mmrazor.apis.gradient_importance import reads_gradients
from mmrazor.apis.post_training import built_methods
from mmrazor.apis.prune_options import parse_budget, parse_importance
from mmrazor.apis.quantize_options import parse_methods
from mmrazor.apis.quantize_settings import with_budget
from mmrazor.apis.run_config import load_config
from mmrazor.apis.search_settings import SearchSettings

from .blocks import ROOT

# No meaning on a machine that tests: they fetch the repository or change the shell.
SKIPPED = {("git", "clone"), ("cd",), ("source",)}
# Places of the words that the launchers hand to the tools.
LAUNCHERS = {
    "tools/dist_train.sh": ("tools/train.py", [0], [1]),
    "tools/dist_test.sh": ("tools/test.py", [0, 1], [2]),
    "tools/dist_search.sh": ("tools/search.py", [0, 1], [2]),
    "tools/slurm_train.sh": ("tools/train.py", [2], []),
    "tools/slurm_test.sh": ("tools/test.py", [2, 3], []),
    "tools/slurm_search.sh": ("tools/search.py", [2, 3], []),
}
_EPOCH = re.compile(r"epoch_(\d+)\.pth")


class CommandError(AssertionError):
    """A command of the documentation that does not work as written."""


class _Parsed(BaseException):
    """Carries a parsed command line out of a tool, before the tool does anything."""


class CommandChecker:
    """Checks the commands of one page in order, in a folder with the page's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work_dirs: dict[str, Any] = {}
        for path in ROOT.iterdir():
            if not path.name.startswith(".") and path.name not in (
                "work_dirs",
                "build",
            ):
                (folder / path.name).symlink_to(path)

    def check(self, words: list[str]) -> None:
        """Check one command.

        Raises:
            CommandError: If it is wrong, or of a kind that nobody can check.
        """
        if words[0] == ".venv/bin/python":
            words = ["python", *words[1:]]
        if (words[0],) in SKIPPED or tuple(words[:2]) in SKIPPED:
            return
        kinds: dict[str, Callable[[list[str]], None]] = {
            "make": self._make,
            "pip": self._pip,
            "python": self._python,
            "bash": self._bash,
        }
        if words[0] not in kinds:
            raise CommandError(
                f"'{' '.join(words)}' is of an unknown kind. Teach "
                f"tests/docs/commands.py to check it. Known: {sorted(kinds)}."
            )
        kinds[words[0]](words[1:])

    def _make(self, words: list[str]) -> None:
        if shutil.which("make") is None:
            return
        command = ["make", "--dry-run", "--file", str(ROOT / "Makefile"), *words]
        plain = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command, env=plain, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CommandError(done.stderr)

    def _pip(self, words: list[str]) -> None:
        if words[0] != "install":
            raise CommandError(f"pip {words[0]} is not checked.")
        source = (ROOT / "setup.py").read_text("utf-8")
        for word in words[1:]:
            extras = re.fullmatch(r"(?:\.|mmrazor)\[([\w,]+)\]", word)
            if extras is None and word not in ("-e", ".", "mmrazor"):
                raise CommandError(f"'pip install {word}' is not checked.")
            for extra in extras[1].split(",") if extras else []:
                if f'"{extra}"' not in source:
                    raise CommandError(f"setup.py has no extra '{extra}'.")

    def _bash(self, words: list[str]) -> None:
        script, given = words[0], words[1:]
        if script not in LAUNCHERS:
            raise CommandError(f"'{script}' is no launcher: {sorted(LAUNCHERS)}.")
        tool, kept, numbers = LAUNCHERS[script]
        count = max([*kept, *numbers]) + 1
        if len(given) < count or not all(given[i].isdigit() for i in numbers):
            raise CommandError(f"{script} lacks an argument or a number: {given}.")
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
        self._tool(tool, [given[i] for i in kept] + given[count:])

    def _python(self, words: list[str]) -> None:
        script = words[0]
        if script == "-c":
            command = [sys.executable, "-c", words[1]]
            subprocess.run(command, check=True, cwd=self.folder, timeout=50)
        elif script == "-m":
            if importlib.util.find_spec(words[1]) is None or words[1] != "pytest":
                raise CommandError(f"'python -m {words[1]}' is not checked.")
        elif not (self.folder / script).is_file():
            raise CommandError(f"There is no file '{script}'.")
        elif script.startswith("requirements/"):
            if words[1:]:
                raise CommandError(f"{script} takes no arguments: {words[1:]}.")
        elif script.startswith(("tools/", "benchmarks/")):
            self._tool(script, words[1:])
        else:
            ast.parse((self.folder / script).read_text("utf-8"))

    def _tool(self, script: str, words: list[str]) -> None:
        if script == "tools/print_config.py":
            with redirect_stdout(StringIO()):
                _run(script, words)
            return
        namespace = _parsed(script, words)
        if namespace is None:  # --help
            return
        if script == "tools/compare.py":
            models = namespace.models
            for config, file in zip(models[::2], models[1::2], strict=True):
                self._check_config(script, config, argparse.Namespace(checkpoint=file))
        config = getattr(namespace, "config", None)
        if config is not None:
            self._check_config(script, config, namespace)

    def _check_config(self, script: str, config: Any, given: Any) -> None:
        cfg = load_config(config)
        for key in getattr(given, "cfg_options", None) or {}:
            parent = key.rpartition(".")[0]
            if parent and cfg.get(parent.split(".")[0]) is None:
                raise CommandError(
                    f"--cfg-options {key}: '{config}' has no '{parent}'."
                )
        if script == "tools/train.py":
            default = f"work_dirs/{Path(config).stem}"
            folder = given.work_dir or cfg.get("work_dir") or default
            self.work_dirs[folder.rstrip("/")] = cfg
        if script == "tools/prune.py":
            self._note_pruned(Path(config), cfg, given)
        if script == "tools/search.py":
            self._note_searched(Path(config), cfg, given)
        if script == "tools/quantize.py":
            self._note_quantized(Path(config), cfg, given)
        if script == "tools/export.py" and not given.no_onnx:
            self._note_exported(Path(config), given)
        checkpoint = getattr(given, "checkpoint", None)
        if checkpoint is not None and not (self.folder / checkpoint).exists():
            self._check_written(checkpoint)

    def _note_pruned(self, config: Path, cfg: Any, given: Any) -> None:
        """Check the settings; put files where the tool writes, for later commands."""
        parse_budget(given.budget)
        reads_gradients(parse_importance(given.importance))
        default = Path(cfg.get("work_dir") or f"work_dirs/{config.stem}") / "pruned"
        folder = self.folder / (given.work_dir or default)
        folder.mkdir(parents=True, exist_ok=True)
        stem = given.name or f"{config.stem}_pruned"
        cfg.dump(folder / f"{stem}.py")
        for name in (f"{stem}_subnet.yaml", f"{stem}.pth"):
            (folder / name).touch()

    def _note_searched(self, config: Path, cfg: Any, given: Any) -> None:
        """Check the settings; put the files where the tool writes them."""
        SearchSettings.of(cfg)
        folder = given.work_dir or cfg.get("work_dir") or f"work_dirs/{config.stem}"
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        cfg.dump(self.folder / folder / f"{config.stem}_retrain.py")
        (self.folder / folder / "subnet.yaml").touch()

    def _note_quantized(self, config: Path, cfg: Any, given: Any) -> None:
        """Check the methods; put files where the tool writes, for later commands."""
        said = (cfg.get("quantize") or {}).get("methods") or ()
        methods = said if given.methods is None else parse_methods(given.methods)
        budget = given.budget and parse_budget(given.budget, ("size_bytes",))
        built_methods(with_budget(methods, budget))
        default = Path(cfg.get("work_dir") or f"work_dirs/{config.stem}") / "quantized"
        folder = self.folder / (given.work_dir or default)
        folder.mkdir(parents=True, exist_ok=True)
        stem = given.name or f"{config.stem}_quantized"
        cfg.dump(folder / f"{stem}.py")
        for suffix in (".pth", ".onnx"):
            (folder / f"{stem}{suffix}").touch()

    def _note_exported(self, config: Path, given: Any) -> None:
        """Put the ONNX file where the tool writes it, for later commands."""
        default = Path(given.checkpoint).parent / "export"
        folder = self.folder / (given.out_dir or default)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{given.name or config.stem}.onnx").touch()

    def _check_written(self, checkpoint: str) -> None:
        folder, _, name = checkpoint.rpartition("/")
        if folder not in self.work_dirs:
            raise CommandError(
                f"No command before writes '{checkpoint}'; the page's runs write to "
                f"{sorted(self.work_dirs)}."
            )
        epoch = _EPOCH.fullmatch(name)
        loop = self.work_dirs[folder].get("train_cfg") or {}
        last = loop.get("max_epochs")
        if epoch and last and int(epoch[1]) > last:
            raise CommandError(f"'{checkpoint}': that run ends after {last} epochs.")


@functools.cache
def _tool_module(script: str) -> ModuleType:
    """Import a tool once: some register classes, which cannot be done twice."""
    path = ROOT / script
    spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with mock.patch.object(sys, "path", [str(path.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


def _run(script: str, words: list[str]) -> None:
    arguments = [script, *words]
    with mock.patch.object(sys, "argv", arguments):
        try:
            code = _tool_module(script).main()
            if code:
                raise SystemExit(code)
        except SystemExit as err:
            if err.code not in (None, 0):
                raise CommandError(f"'{' '.join(arguments)}': {err.code}") from err


def _parsed(script: str, words: list[str]) -> argparse.Namespace | None:
    """Return what a tool's own parser makes of a command line; None after a help."""
    if "parse_args(" not in (ROOT / script).read_text("utf-8"):
        raise CommandError(f"{script} parses no arguments, so they cannot be checked.")
    parse = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        raise _Parsed(parse(parser, *args, **kwargs))

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        redirect_stdout(StringIO()),
    ):
        try:
            _run(script, words)
        except _Parsed as parsed:
            return parsed.args[0]
    return None
