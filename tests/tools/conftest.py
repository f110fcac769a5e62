"""Factories that write small configs and run the tools as a user does."""

import copy
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
HERE = str(Path(__file__).parent)
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), HERE]),
    "PYTHON": sys.executable,
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}

sys.path.insert(0, HERE)

from compared_runs import NO_PARTS, assert_same, dumped  # noqa: E402
from run_script import run_script  # noqa: E402


def toy_dict(by_epoch=True, num_workers=0, persistent=False, world_size=1):
    loader = {
        "batch_size": 4 // world_size,
        "num_workers": num_workers,
        "persistent_workers": persistent,
        "sampler": {"type": "DefaultSampler" if by_epoch else "InfiniteSampler"},
        "dataset": {"type": "ToyDataset"},
    }
    val = {
        **loader,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {"type": "ToyDataset", "augment": False},
    }
    optimizer = {"type": "SGD", "lr": 0.1, "momentum": 0.9}
    length = {"max_epochs": 3} if by_epoch else {"max_iters": 18, "val_interval": 6}
    interval = 1 if by_epoch else 5
    return {
        "custom_imports": {"imports": ["toy_run"]},
        "model": {"type": "ToyModel"},
        "train_dataloader": loader,
        "val_dataloader": val,
        "test_dataloader": val,
        "val_evaluator": {"type": "ToyAccuracy"},
        "test_evaluator": {"type": "ToyAccuracy"},
        "train_cfg": {"by_epoch": by_epoch, **length},
        "val_cfg": {},
        "test_cfg": {},
        "optim_wrapper": {"optimizer": optimizer},
        "custom_hooks": [{"type": "KillHook"}, {"type": "EMAHook"}],
        "default_hooks": {
            "checkpoint": {
                "type": "CheckpointHook",
                "interval": interval,
                "by_epoch": by_epoch,
                "save_best": "accuracy",
                "rule": "greater",
            }
        },
        "randomness": {"seed": 7},
    }


def distilled(student):
    """Return the config of an Algorithm, with trained connectors and two losses."""
    return {
        "type": "mmrazor.SingleTeacherDistill",
        "architecture": student,
        "teacher": {"type": "ToyModel", "pretrained": False},
        "distiller": {
            "losses": {
                "kd": {
                    "type": "KLDivergence",
                    "student": "output:last",
                    "teacher": "output:last",
                    "tau": 2.0,
                },
                "hint": {
                    "type": "L2Loss",
                    "student": "output:first",
                    "teacher": "output:first",
                },
            }
        },
    }


def pruned(schedule, importance="L1Importance", **pruner):
    """Return the config of an Algorithm that is pruned while it learns of a teacher."""
    student = {"type": "ToyConvNet"}
    return {
        "type": "mmrazor.Compress",
        "architecture": student,
        "pruner": {
            "type": "Pruner",
            "importance": {"type": importance},
            "budget": {"macs": 0.4},
            "image_size": [8, 8],
            "schedule": schedule,
            **pruner,
        },
        "teacher": {**student, "width": 6, "pretrained": False},
        "distiller": {
            "losses": {
                "kd": {
                    "type": "KLDivergence",
                    "student": "output:last",
                    "teacher": "output:last",
                }
            }
        },
    }


@pytest.fixture
def toy_config(tmp_path):
    """Return a function that writes a toy config, changed by dotted keys."""

    def write(options=None, name="toy.py", distil=False, model=None, **kwargs):
        content = toy_dict(**kwargs)
        if model is not None:
            content["model"] = model
            content["custom_imports"]["imports"].append("toy_prune")
            for stage in ("train", "val", "test"):
                dataset = content[f"{stage}_dataloader"]["dataset"]
                content[f"{stage}_dataloader"]["dataset"] = {
                    **dataset,
                    "type": "ToyImages",
                }
        cfg = Config(content)
        cfg.merge_from_dict(copy.deepcopy(options or {}))
        if distil:
            cfg.model = distilled(cfg.model.to_dict())
        cfg.dump(tmp_path / name)
        return name

    return write


@pytest.fixture(scope="session")
def forkserver():
    """Return a context whose processes have imported what every run imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["imported_by_runs"])
    kept = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    process = context.Process(target=os.getpid)  # starts the server
    process.start()
    process.join()
    for name, value in kept.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    return context


def start_script(server, command, folder, env):
    """Return a running process and the file that its output goes to."""
    log = folder / f"output{env.get('LOG', '')}.txt"
    arguments = (command, str(folder), env, str(log))
    process = server.Process(target=run_script, args=arguments)
    process.start()
    return process, log


@pytest.fixture
def start_ranks(tmp_path, forkserver, free_port):
    """Return a function that starts a tool in two processes, as a launcher does."""
    names = {
        "pytorch": ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
        "slurm": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
        "mpi": ("OMPI_COMM_WORLD_" + name for name in ("RANK", "LOCAL_RANK", "SIZE")),
    }

    def start(tool, *args, launcher="pytorch"):
        command = [str(ROOT / "tools" / tool), *map(str, args)]
        command += ["--launcher", launcher]
        keys = tuple(names[launcher])
        started = []
        for rank in "01":
            env = dict(zip(keys, (rank, rank, "2"), strict=True))
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port}
            env |= {"SLURM_NODELIST": "node[1-2]", "LOG": rank}
            started.append(start_script(forkserver, command, tmp_path, env))
        return started

    return start


@pytest.fixture
def run_ranks(start_ranks):
    """Return a function that runs a tool in two processes, which end well."""

    def run(tool, *args, **kwargs):
        for process, log in start_ranks(tool, *args, **kwargs):
            process.join(120)
            assert process.exitcode == 0, log.read_text()

    return run


@pytest.fixture
def run_failing_ranks(start_ranks):
    """Return a function that returns what two processes wrote, which both fail."""

    def run(tool, *args):
        started = start_ranks(tool, *args)
        for process, _ in started:
            process.join(120)
        assert [process.exitcode for process, _ in started] == [1, 1]
        return [log.read_text() for _, log in started]

    return run


@pytest.fixture
def run_tool(tmp_path, request):
    """Return a function that runs a tool in ``tmp_path`` and returns its output.

    The tool gets a process of its own, from a server that saves it the imports;
    shell scripts, and all with ``fresh=True``, start as in a user's terminal.
    """

    def run(tool, *args, code=0, fresh=False, wait=120, **env):
        command = [str(ROOT / "tools" / tool), *map(str, args)]
        if fresh or tool.endswith(".sh"):
            program = "bash" if tool.endswith(".sh") else sys.executable
            done = subprocess.run(
                [program, *command],
                cwd=tmp_path,
                env={**os.environ, **ENVIRONMENT, **env},
                capture_output=True,
                text=True,
                timeout=wait,
                check=False,
            )
            output, found = done.stdout + done.stderr, done.returncode
        else:
            server = request.getfixturevalue("forkserver")
            process, log = start_script(server, command, tmp_path, env)
            process.join(wait)
            output, found = log.read_text(), process.exitcode
        assert code is None or found == code, output
        return output

    return run


@pytest.fixture
def weights(tmp_path):
    """Return a function that reads all tensors of a checkpoint in ``tmp_path``."""

    def read(path):
        stored = torch.load(tmp_path / path, weights_only=False)
        found = {f"model {k}": v for k, v in stored["state_dict"].items()}
        found |= {f"ema {k}": v for k, v in stored.get("ema_state_dict", {}).items()}
        for number, state in stored.get("optimizer", {}).get("state", {}).items():
            tensors = {k: v for k, v in state.items() if torch.is_tensor(v)}
            found |= {f"{k} {number}": v for k, v in tensors.items()}
        return found

    return read


@pytest.fixture
def killed_and_resumed(run_tool, weights, tmp_path):
    """Return a function that compares runs killed at some steps with a whole one."""

    def check(config, kills, last):
        run_tool("train.py", config, "--work-dir", "whole")
        whole = weights(f"whole/{last}")
        for at in kills:
            folder = f"cut{at}"
            kill = {"TOY_KILL_AT": str(at)}
            run_tool("train.py", config, "--work-dir", folder, code=-9, **kill)
            run_tool("train.py", config, "--work-dir", folder, "--resume")
            assert_same(whole, weights(f"{folder}/{last}"))
            files = [tmp_path / name / "subnet.yaml" for name in ("whole", folder)]
            assert files[0].read_text() == files[1].read_text()
        return whole

    return check


@pytest.fixture
def kill_points(run_tool):
    """Return a function that runs a tool and spreads points at which to kill it.

    Half of the points are at writes, also between two of one set, half at steps.
    """

    def spread(number, *command):
        output = run_tool(*command, wait=600, KILL="")
        counts = json.loads(re.search(r"^events: (.*)$", output, re.MULTILINE)[1])
        points = []
        for kind, many in (("write", number // 2), ("step", number - number // 2)):
            places = [round((i + 0.5) * counts[kind] / many) for i in range(many)]
            if kind == "write" and many > 2:
                places[-1] = counts[kind] - 1  # in the last set, when all else is done
            points += [f"{kind}:{max(place, 1)}" for place in places]
        return points

    return spread


@pytest.fixture
def one_and_two_processes(toy_config, run_tool, run_ranks, tmp_path):
    """Return a function that trains on one process and on two, which end alike.

    It returns what the first of the two ended with, and what the one did.
    """

    def run(model):
        model["architecture"].update(NO_PARTS)

        def config(name, world_size):
            hooks = [{"type": "EMAHook"}, {"type": "DumpHook"}]
            kwargs = {"by_epoch": False, "world_size": world_size, "model": model}
            return toy_config({"custom_hooks": hooks}, name, **kwargs)

        run_tool("train.py", config("one.py", 1), "--work-dir", "one")
        run_ranks("train.py", config("two.py", 2), "--work-dir", "two")
        first, second = (dumped(tmp_path / "two", rank) for rank in (0, 1))
        assert_same(first, second)
        return first, dumped(tmp_path / "one", 0)

    return run


@pytest.fixture
def free_port():
    """Return a port of this machine that nobody listens on, as a string."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
