"""Distributed runs under each launcher, on gloo."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.dist
TOOLS = Path(__file__).resolve().parents[2] / "tools"

# Two tasks on one machine, told where they are as Slurm does.
SRUN = """#!/usr/bin/env bash
echo "$@" > srun.txt
while [[ "$1" == -* || "$1" == debug ]]; do shift; done
export SLURM_NTASKS=2 SLURM_NODELIST=node1
for rank in 0 1; do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" > "task$rank.txt" 2>&1 &
done
wait %1 && wait %2
"""
SCONTROL = "#!/usr/bin/env bash\necho 127.0.0.1\n"


@pytest.mark.parametrize("launcher", ["slurm", "mpi"])
def test_launchers_on_a_cpu(toy_config, run_ranks, tmp_path, launcher):
    """Synchronised batch norm, which torch has for GPUs only, is left out there."""
    norm = {"model.norm": "SyncBatchNorm", "train_cfg.max_epochs": 1}
    config = toy_config(norm, world_size=2)
    run_ranks("train.py", config, "--work-dir", "w", launcher=launcher)
    assert (tmp_path / "w/epoch_1.pth").is_file()
    assert "GPU number: 2" in (tmp_path / "output0.txt").read_text()


@pytest.mark.slow
def test_slurm_scripts(toy_config, run_tool, tmp_path, free_port):
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "MASTER_PORT": free_port,
        "GPUS": "2",
        "GPUS_PER_NODE": "0",
        "SRUN_ARGS": "--mem=1G --time=1",
    }
    config = toy_config({"train_cfg.max_epochs": 1}, world_size=2)
    run_tool("slurm_train.sh", "debug", "job", config, "--work-dir", "w", **env)
    checkpoint = "w/epoch_1.pth"
    args = ("debug", "job", config, checkpoint, "--out", "metrics.json")
    run_tool("slurm_test.sh", *args, **env)
    assert (tmp_path / "metrics.json").is_file()
    called = (tmp_path / "srun.txt").read_text()
    assert called.startswith("-p debug --job-name=job --ntasks=2 --cpus-per-task=5")
    assert "--mem=1G --time=1" in called
    assert "--gres" not in called


@pytest.mark.parametrize("script", sorted(path.name for path in TOOLS.glob("*_*.sh")))
def test_scripts_say_how_they_are_used(run_tool, script):
    assert "usage: " in run_tool(script, code=2)
