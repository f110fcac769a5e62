"""Who may import whom: the table of the design, held against the sources.

The sources are parsed, not imported. A part is a package or module below ``mmrazor``;
``ALLOWED`` lists what each may import beside itself and ``EVERYBODY``. The last tests
plant faults in a toy tree, so that a reader of this file knows that they are found.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.import_arrows import (
    Arrow,
    arrows,
    cycles,
    inner_target,
    is_inside,
    module_names,
)

ROOT = Path(__file__).resolve().parent.parent

EVERYBODY = {
    *("registry", "compat", "version"),
    *("core.files", "core.forward", "core.locks", "core.names", "core.plain_table"),
    *("core.bounded", "core.checkpoint_reader", "core.copying", "core.downloads"),
    *("core.extension_ops", "core.op_macs", "core.protocols", "core.values"),
}
CORE = {"core.space", "core.graph", "core.capture", "core.cost"}
SEARCH = {"core.searchers", "core.loops", "core.hooks"}
PARTS_OF_MODELS = {
    *("models.ops", "models.mutables", "models.mutators", "models.pruners"),
    *("models.losses", "models.distillers", "models.quantizers"),
    "models.architectures",
}
BELOW_ALGORITHMS = CORE | SEARCH | PARTS_OF_MODELS

ALLOWED: dict[str, set[str]] = {
    "registry": set(),
    "compat": set(),
    "version": set(),
    # Modules of core that stand alone; optim_wrapper and checkpoint_backend are
    # found by mmengine through a registry.
    "core.copying": set(),
    "core.files": set(),
    "core.bounded": set(),
    "core.extension_ops": set(),
    "core.forward": set(),
    "core.locks": set(),
    "core.names": set(),
    "core.op_macs": set(),
    "core.plain_table": set(),
    "core.protocols": set(),
    "core.values": set(),
    "core.checkpoint_backend": set(),
    "core.checkpoint_reader": set(),
    "core.downloads": set(),
    "core.optim_wrapper": set(),
    "core.space": set(),
    "core.graph": set(),
    "core.capture": set(),
    "core.cost": {"core.graph.trace"},
    "core.searchers": {"core.space", "core.cost"},
    "core.loops": {"core.space", "core.cost", "core.searchers"},
    "core.hooks": {"core.space", "core.cost", "core.searchers"},
    "models.ops": set(),
    "models.mutables": {"models.ops", "core.space"},
    "models.mutators": {"models.ops", "models.mutables", "core.space", "core.cost"},
    "models.pruners": {
        *("models.ops", "models.mutators", "models.mutables"),
        *("core.graph", "core.space", "core.cost"),
    },
    "models.losses": set(),
    "models.distillers": {"models.losses", "core.capture"},
    "models.quantizers": {
        *("models.mutables", "core.space", "core.capture", "core.graph"),
        *("core.cost", "core.searchers"),  # bit-widths are searched
    },
    "models.architectures": {
        *("models.ops", "models.mutables", "core.graph", "core.space"),
    },
    "models.algorithms": BELOW_ALGORITHMS,
    "datasets": set(),
    "apis": {
        *BELOW_ALGORITHMS,
        *("models.algorithms", "core.checkpoint_backend", "core.optim_wrapper"),
    },
    "tools": {"", "apis"},
}

# What `pip install mmrazor` brings, or nothing works without: imported at the top.
REQUIRED = {"mmengine", "mmrazor", "numpy", "rich", "scipy", "torch", "yaml"}
# What `import mmrazor` must leave alone.
HEAVY = ["mmcv", "mmdet", "mmpretrain", "mmseg", "onnx", "onnxruntime", "optuna"]


def part_of(module: str) -> str | None:
    """Return the part that a module belongs to, None if the table has none."""
    return next((part for part in ALLOWED if is_inside(module, part)), None)


def table_faults(found: list[Arrow], modules: dict[str, Path]) -> list[str]:
    """Return a line for each arrow that the table does not have."""
    faults = []
    doors = {name for name, path in modules.items() if path.name == "__init__.py"}
    for arrow in found:
        target = inner_target(arrow.target, modules)
        if target is None:
            continue
        part = part_of(arrow.source)
        if part is None:
            # The doors `mmrazor`, `mmrazor.core`, `mmrazor.models` open on what is
            # below them; any other module must have a line in the table.
            inside = not arrow.source or is_inside(target, arrow.source)
            fine = arrow.source in doors and inside
        else:
            fine = any(
                target == name or (name and is_inside(target, name))
                for name in {part, *EVERYBODY, *ALLOWED[part]}
            )
        if not fine:
            faults.append(str(arrow))
    return faults


def late_imports(found: list[Arrow]) -> list[str]:
    """Return the imports inside functions that belong at the top of the file."""
    at_top = REQUIRED | set(sys.stdlib_module_names)
    late = (arrow for arrow in found if arrow.in_function)
    # The root door loads its names on first use (PEP 562).
    return [
        str(arrow)
        for arrow in late
        if arrow.target.partition(".")[0] in at_top and arrow.source
    ]


PACKAGE = ROOT / "mmrazor"
MODULES = module_names(PACKAGE)


def test_only_arrows_of_the_table() -> None:
    found = arrows(PACKAGE)
    found += arrows(ROOT / "tools", part="tools")
    faults = table_faults(found, MODULES)
    assert not faults, "imports that the table does not have:\n" + "\n".join(faults)


def test_every_module_has_a_line_in_the_table() -> None:
    doors = {"", "core", "models"}
    strangers = [name for name in MODULES if name not in doors and not part_of(name)]
    assert not strangers, f"modules that no line of ALLOWED covers: {strangers}"


def test_no_cycles() -> None:
    assert not cycles(arrows(PACKAGE), MODULES)


def test_imports_stand_at_the_top() -> None:
    late = late_imports(arrows(PACKAGE) + arrows(ROOT / "tools", part="tools"))
    assert not late, "imports inside functions:\n" + "\n".join(late)


def test_import_mmrazor_is_light() -> None:
    code = (
        "import sys, torch, mmengine; before = set(sys.modules); import mmrazor;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        f"print(sorted(new & set({[*HEAVY, 'torchvision', 'matplotlib', 'scipy']})))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_importing_all_parts_needs_no_host_library() -> None:
    names = [f"mmrazor.{name}" for name in ("core", "models", "datasets", "apis")]
    code = (
        f"import sys, importlib; [importlib.import_module(n) for n in {names}];"
        "print([n for n in ('mmdet', 'mmseg', 'mmpretrain', 'optuna') "
        "if n in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


TOY = {
    "__init__.py": "",
    "registry.py": "",
    "core/__init__.py": "from . import graph, cost",
    "core/graph/__init__.py": "from .trace import trace",
    "core/graph/trace.py": "from ...registry import MODELS",
    "core/cost/__init__.py": "from ..graph.trace import trace",
    "models/__init__.py": "from . import losses",
    "models/losses/__init__.py": "from .kd import KD",
    "models/losses/kd.py": "import torch",
}


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("core/graph/trace.py", "from ...models.losses import KD", "models.losses.KD"),
        ("core/graph/trace.py", "from mmrazor.models import losses", "models.losses"),
        ("core/cost/__init__.py", "from ..graph import trace2", "core.graph.trace2"),
        ("models/losses/kd.py", "from mmrazor import apis", "mmrazor.apis"),
        ("models/losses/kd.py", "import_module('mmrazor.core.graph')", "core.graph"),
        ("core/odd.py", "from .. import registry", "mmrazor.registry"),
        ("models/__init__.py", "from ..core import graph", "core.graph"),
    ],
)
def test_a_planted_arrow_is_found(
    tmp_path: Path, path: str, text: str, fault: str
) -> None:
    package = toy_package(tmp_path, {path: text})
    faults = table_faults(arrows(package), module_names(package))
    assert len(faults) == 1
    assert faults[0].startswith(f"mmrazor/{path}:1: ")
    assert faults[0].endswith(fault)


def test_a_sound_tree_has_no_fault(tmp_path: Path) -> None:
    package = toy_package(tmp_path, {})
    found, modules = arrows(package), module_names(package)
    assert table_faults(found, modules) == cycles(found, modules) == []
    assert late_imports(found) == []


def test_a_planted_cycle_and_a_late_import_are_found(tmp_path: Path) -> None:
    text = "from . import KD\ndef f():\n    import json\n    import onnx\n"
    package = toy_package(tmp_path, {"models/losses/kd.py": text})
    found, modules = arrows(package), module_names(package)
    assert cycles(found, modules) == [
        "models.losses -> models.losses.kd -> models.losses"
    ]
    assert [line.rpartition(" ")[2] for line in late_imports(found)] == ["json"]


def toy_package(folder: Path, changes: dict[str, str]) -> Path:
    """Write ``TOY`` with ``changes`` and return its root."""
    for name, text in {**TOY, **changes}.items():
        path = folder / "mmrazor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "mmrazor"
