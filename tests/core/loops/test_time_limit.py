"""What takes too long is interrupted, and nothing else."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from mmrazor.core.loops.time_limit import TimeLimitError, time_limit


@pytest.mark.parametrize("wait", [time.sleep, threading.Event().wait])
def test_waiting_is_interrupted(wait):
    begin = time.monotonic()
    with (
        pytest.raises(TimeLimitError, match="took longer than 0.05 s"),
        time_limit(0.05),
    ):
        wait(20)
    assert time.monotonic() - begin < 10


def count_for_ever():
    number = 0
    while True:
        number += 1


def test_counting_is_interrupted():
    with pytest.raises(TimeLimitError), time_limit(0.05):
        count_for_ever()


def test_what_is_in_time_is_not():
    with time_limit(0.05):
        done = True
    time.sleep(0.1)
    assert done
    with time_limit(None):
        time.sleep(0.01)


def test_the_alarm_of_somebody_else_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    timer = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with time_limit(5):
            pass
        assert signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
        time.sleep(0.4)
        assert rung == [1]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_only_the_main_thread_can_be_interrupted():
    found = []

    def run():
        try:
            with time_limit(1):
                pass
        except ValueError as err:
            found.append(str(err))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "in the main thread alone" in found[0]
