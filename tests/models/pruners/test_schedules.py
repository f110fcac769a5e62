"""Schedules against their formulas."""

import pytest

from mmrazor.models.pruners import CubicSchedule, LinearSchedule
from mmrazor.models.pruners.schedules import build_schedule


@pytest.mark.parametrize("time", range(100, 501, 25))
def test_formulas(time):
    # Zhu and Gupta (2017), equation 1, with s_i = 0, s_f = 0.6, n * dt = 400:
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3
    cubic = 0.6 + (0 - 0.6) * (1 - (time - 100) / 400) ** 3
    assert 0.6 * CubicSchedule(100, 500, 25).share(time) == pytest.approx(cubic)
    linear = 0.6 * (time - 100) / 400
    assert 0.6 * LinearSchedule(100, 500, 25).share(time) == pytest.approx(linear)


@pytest.mark.parametrize("kind", [LinearSchedule, CubicSchedule])
def test_times_and_ends(kind):
    schedule = kind(begin=3, end=10, interval=3)
    assert [t for t in range(20) if schedule.is_due(t)] == [3, 6, 9, 10]
    assert [schedule.share(t) for t in (0, 3, 10, 15)] == [0.0, 0.0, 1.0, 1.0]
    shares = [schedule.share(t) for t in range(3, 11)]
    assert shares == sorted(shares)
    assert [schedule.next_due(t) for t in (0, 3, 6, 7, 10, 11)] == [
        *(6, 6, 6, 9, 10),
        None,
    ]


def test_once():
    schedule = LinearSchedule(begin=5, end=5)
    assert [(t, schedule.share(t)) for t in range(9) if schedule.is_due(t)] == [(5, 1)]
    assert schedule.next_due(0) == 5


def test_default_interval_is_a_tenth():
    assert CubicSchedule(begin=0, end=2000).interval == 200
    assert CubicSchedule(begin=0, end=3).interval == 1


@pytest.mark.parametrize(
    "arguments",
    [
        dict(begin=5, end=4),
        dict(begin=-1, end=4),
        dict(begin=0.5, end=4),
        dict(begin=0, end=4, interval=0),
        dict(begin=True, end=4),
    ],
)
def test_bad_times(arguments):
    with pytest.raises(ValueError, match="whole numbers with 0 <= begin <= end"):
        LinearSchedule(**arguments)


def test_build():
    built = build_schedule(dict(type="mmrazor.CubicSchedule", begin=0, end=8))
    assert isinstance(built, CubicSchedule)
    assert build_schedule(built) is built
    assert build_schedule(None) is None
    with pytest.raises(ValueError, match=r"'L1Importance' is no schedule.*Cubic"):
        build_schedule(dict(type="L1Importance", begin=0, end=8))
    with pytest.raises(TypeError, match=r"schedule='cubic' is no config.*end="):
        build_schedule("cubic")
