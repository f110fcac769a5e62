"""Every config binds; every README command exists; the small ones train a step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmrazor import compat
from mmrazor.apis import build_architecture
from mmrazor.apis.run_config import run_config
from mmrazor.apis.runner import build_runner
from tests.configs.binding import faults_of

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    path for path in ROOT.glob("configs/**/*.py") if "_base_" not in path.parts
)
DISTILL = [path for path in CONFIGS if "distill" in path.relative_to(ROOT).parts]
READMES = sorted(ROOT.glob("configs/**/README.md"))
SMALL = [
    path
    for path in CONFIGS
    if path.stem.endswith(("_scenes", "_cifar10", "_fashion_mnist"))
]
# A step of a supernet is another: see test_nas_configs.py. So is one from what an
# earlier stage leaves: see test_combined_configs.py.
PLAIN = [
    path
    for path in SMALL
    if "nas" not in path.relative_to(ROOT).parts
    and not path.stem.startswith(("combined_r18_distill", "combined_r18_qat"))
]


def test_every_config_binds():
    faults = []
    for path in CONFIGS:
        name = path.relative_to(ROOT)
        faults += [f"{name}: {f}" for f in faults_of(Config.fromfile(str(path)))]
    assert len(CONFIGS) >= 19
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"optim_wrapper.optimizer.learning_rate": 1},
            "takes no \\['learning_rate'\\]",
        ),
        ({"model.neck.type": "GlobalAveragePolling"}, "no registry has 'GlobalAver"),
        ({"model.distiller.losses.kd.temperature": 1}, "takes no \\['temperature'\\]"),
    ],
)
def test_a_fault_is_found(change, text):
    distill = "model.distiller" in next(iter(change))
    kind = "r34-r18_distill" if distill else "r18_student"
    cfg = Config.fromfile(
        str(ROOT / f"configs/distill/mmcls/kd/kd_{kind}_1xb128-30e_cifar10.py")
    )
    cfg.merge_from_dict(change)
    (fault,) = faults_of(cfg)
    assert re.search(text, fault)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_readme_commands_name_files(path):
    named = re.findall(r"\b(?:tools|configs)/[\w./-]+\.(?:py|sh)\b", path.read_text())
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", DISTILL, ids=lambda path: path.stem)
def test_top_comment_names_its_own_command(path):
    comment = path.read_text().partition("_base_")[0]
    assert f"python tools/train.py {path.relative_to(ROOT)}\n" in comment
    assert "# Expected: " in comment


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_small_config_trains_a_step(path, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_data)
    cfg = run_config(path, work_dir=tmp_path)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    teacher = cfg.model.get("teacher")
    for part in (teacher, cfg.model.get("architecture")):
        if part is not None and part.get("checkpoint"):
            write_weights(part)
    runner = build_runner(cfg)
    loader = runner.build_dataloader(cfg.train_dataloader)
    optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    pruner = getattr(runner.model, "pruner", None)
    if pruner is not None:
        vars(pruner).update(driven=True)  # as its hook would
    batch = next(iter(loader))
    if getattr(runner.model, "quantizer", None) is not None:
        runner.model.calibrate_([batch])  # as its hook would
    before = {name: p.clone() for name, p in runner.model.named_parameters()}
    log = runner.model.train_step(batch, optim_wrapper)
    assert all(torch.isfinite(value).all() for value in log.values())
    changed = [n for n, p in runner.model.named_parameters() if not p.equal(before[n])]
    assert len(changed) > len(before) / 2
    distilled = [value for name, value in log.items() if "distill.loss" in name]
    assert bool(distilled) == (teacher is not None)
    assert all(value > 0 for value in distilled)


def write_weights(part) -> None:
    """Write random weights where training a part's own config would leave them."""
    source = Config.fromfile(str(compat.find_config(part.cfg_path)))
    name = Path(part.cfg_path).stem
    last = f"work_dirs/{name}/epoch_{source.train_cfg.max_epochs}.pth"
    assert part.checkpoint == last
    model = build_architecture(part.cfg_path)
    Path(last).parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), last)
