"""Two workers on one Optuna storage, one of them killed, for ``search_scaling.py``."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

Begun = dict[str, Any]


def shared_search(
    cfg: Config,
    start: Callable[[Config, Path], subprocess.Popen[bytes]],
    folder: Path,
    num_subnets: int,
    kill_after: int,
) -> dict[str, Any]:
    """Kill one of two workers within an evaluation, and let the other end the search.

    Args:
        cfg: A search.
        start: Starts a worker with a config and a work folder.
        folder: For all files.
        num_subnets: Of both workers together.
        kill_after: Evaluations that the first worker begins.

    Returns:
        What :func:`accounted` says, what each did, and the seconds until the other
        worker began what the dead one held.

    Raises:
        RuntimeError: If a worker ends otherwise than it should.
    """
    shutil.rmtree(folder, ignore_errors=True)
    storage = folder / "shared.db"
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    cfg.search.searcher = dict(
        type="OptunaSearcher",
        num_subnets=num_subnets,
        storage=f"sqlite:///{storage}",
        heartbeat_s=1,
    )
    folders = [folder / name for name in ("doomed", "other")]
    doomed, other = (start(cfg, one) for one in folders)
    try:
        while len(begun_in(folders[0])) < kill_after:
            if doomed.poll() is not None:
                raise RuntimeError(
                    f"The worker in '{folders[0]}' ended with {doomed.returncode} "
                    f"before it had begun {kill_after} of {num_subnets} evaluations."
                )
            time.sleep(0.005)
        doomed.send_signal(signal.SIGKILL)
        killed_at = time.time()
        codes = doomed.wait(), other.wait()
    finally:
        for worker in (doomed, other):
            worker.kill()
    if codes != (-signal.SIGKILL, 0):
        raise RuntimeError(f"The workers ended with {codes}, not (-9, 0).")
    first, second = (begun_in(one) for one in folders)
    completed = completed_in(storage)
    found = accounted(first, second, completed, num_subnets)
    again = [one["at"] for one in second if one["values"] == first[-1]["values"]]
    after = round(again[0] - killed_at, 2) if again else None
    num = {"begun_by_dead": len(first), "begun_by_other": len(second)}
    return {"subnets": len(completed), **num, "taken_over_after_s": after, **found}


def accounted(
    dead: Sequence[Begun],
    other: Sequence[Begun],
    completed: Sequence[dict[str, Any]],
    num_subnets: int,
) -> dict[str, int]:
    """Return how many Subnets were lost, and how many evaluated twice for no reason.

    Args:
        dead: What the dead worker began, in order; it held the last one.
        other: What the other one began.
        completed: Values of the Subnets that the storage has scores of.
        num_subnets: That were to be evaluated.

    Example:
        >>> a, b, c = ({"values": {"op": name}} for name in "abc")
        >>> accounted([a, b], [b, c], [one["values"] for one in (a, b, c)], 3)
        {'lost': 0, 'twice': 0, 'twice_as_held_by_dead': 1}
        >>> accounted([a, b], [a, c], [one["values"] for one in (a, c)], 3)
        {'lost': 1, 'twice': 1, 'twice_as_held_by_dead': 0}
    """
    times = Counter(_key(one["values"]) for one in (*dead, *other))
    held = _key(dead[-1]["values"])
    kept = {_key(values) for values in completed}
    lost = len(times.keys() - kept) + max(num_subnets - len(kept | times.keys()), 0)
    twice = [key for key, number in times.items() if number > 1]
    by_dead = sum(key == held and times[key] == 2 for key in twice)
    twice_stored = len(completed) - len(kept)
    return {
        "lost": lost,
        "twice": len(twice) - by_dead + twice_stored,
        "twice_as_held_by_dead": by_dead,
    }


def begun_in(folder: Path) -> list[Begun]:
    """Return what a worker has begun; a line that is being written is left out."""
    path = folder / "begun.0.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def completed_in(storage: Path) -> list[dict[str, Any]]:
    """Return the values of all trials that have a score."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{storage}")
    state = optuna.trial.TrialState.COMPLETE
    return [trial.params for trial in study.get_trials(states=[state])]


def _key(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
