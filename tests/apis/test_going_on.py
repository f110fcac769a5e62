"""Lines that stopped tools end with, and the signals that stop them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mmrazor.apis import going_on as module
from mmrazor.apis.going_on import going_on, stoppable

ROOT = Path(__file__).resolve().parents[2]


def command_in(line: str) -> list[str]:
    """Return the words of the command in a line."""
    return shlex.split(line.partition(": ")[2].partition("; ")[0])


@pytest.mark.parametrize(
    ("tool", "given", "expected"),
    [
        ("train.py", "net.py --work-dir run", "net.py --work-dir run --resume"),
        ("train.py", "net.py --resume --amp", "net.py --amp --resume"),
        ("train.py", "--resume=auto net.py", "net.py --resume"),
        ("train.py", "net.py --cfg-options a=1 b=2", None),
        ("search.py", "net.py --resume w.pth", "net.py w.pth --resume"),
        ("sensitivity.py", "--no-resume net.py w.pth", "net.py w.pth"),
        ("sensitivity.py", "net.py --no-res --out o", "net.py --out o"),
        ("quickstart.py", "--restart --seed 3", "--seed 3"),
        ("prepare_data.py", "scenes", "scenes"),
        ("prune.py", "net.py --budget macs=0.5", "net.py --budget macs=0.5"),
        ("export.py", "net.py 'my run/a b.pth'", "net.py 'my run/a b.pth'"),
    ],
)
def test_the_command_that_goes_on(tool: str, given: str, expected: str | None) -> None:
    line = going_on(f"tools/{tool}", shlex.split(given))
    expected = f"{given} --resume" if expected is None else expected
    assert command_in(line) == ["python", f"tools/{tool}", *shlex.split(expected)]
    assert "\n" not in line


def test_tools_that_write_at_the_end_do_not_speak_of_going_on() -> None:
    one_shot = {
        *("compare.py", "export.py", "get_flops.py", "print_config.py", "prune.py"),
        *("quantize.py", "show_channels.py", "sparsify.py", "test.py"),
    }
    resumable = set(module._TOOLS)
    assert {path.name for path in (ROOT / "tools").glob("*.py")} == one_shot | resumable
    for name in one_shot:
        assert "nothing of its result was written" in going_on(name, ["net.py"])
    for name in resumable:
        assert "nothing" not in going_on(name, ["net.py"])


def test_a_checkpoint_to_resume_from_stays_valid() -> None:
    assert "as before" not in going_on("train.py", ["net.py", "--resume", "auto"])
    for words in (["--resume", "old/iter_5.pth"], ["--resume=old/iter_5.pth"]):
        line = going_on("train.py", ["net.py", *words])
        assert command_in(line) == ["python", "train.py", "net.py", "--resume"]
        assert line.endswith(f"with {' '.join(words)} as before")


def test_ranks_are_started_by_their_launcher() -> None:
    for words in (["--launcher", "pytorch"], ["--launcher=slurm"]):
        assert "by the launcher" in going_on("train.py", ["net.py", *words])
    assert "by the launcher" not in going_on("train.py", ["a", "--launcher", "none"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_keyboard_interrupt_and_remembered(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:
        os.kill(os.getpid(), number)
    assert stop.requested
    assert signal.getsignal(number) is before


def test_the_same_stop_may_come_twice() -> None:
    with stoppable() as stop:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # as launchers send it
        assert stop.requested


def in_a_child(job: Callable[[], object]) -> int:
    """Return the exit code of a forked process that does a job; 1 if the job ends."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            job()
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_one_that_comes_later_ends_a_process_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped_twice() -> None:
        with stoppable():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                os.kill(os.getpid(), signal.SIGINT)

    assert in_a_child(stopped_twice) == 1
    monkeypatch.setattr(module, "_SAME_STOP_S", 0.0)
    assert in_a_child(stopped_twice) == module.EXIT_CODE


def test_forked_workers_end_by_the_signals_too() -> None:
    with stoppable() as stop:
        end = in_a_child(lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert end == -signal.SIGTERM
    assert not stop.requested
