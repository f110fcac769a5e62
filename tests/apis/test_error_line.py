"""One line for any exception: its sentence, its place in the config, where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from mmrazor.apis.error_line import error_line
from mmrazor.apis.error_origin import config_key, key_of, location
from mmrazor.apis.run_keys import check_keys
from mmrazor.models.losses import KLDivergence


def raised(function, *args):
    """Return what a call raises, with its traceback."""
    with pytest.raises(BaseException) as caught:
        function(*args)
    return caught.value


def built(cfg, spec):
    """Build a part of a config as a run does, which holds the whole."""
    return MODELS.build({"_scope_": "mmrazor", **spec})


def test_sentences_of_ours_stay_as_they_are():
    err = raised(check_keys, {"train_dataloader": {"batch_size": 0}})
    assert error_line(err) == f"error: {err}"


def test_part_of_the_config_is_named():
    cfg = Config({"model": {"losses": {"kd": {"type": "KLDivergence", "tau": 0}}}})
    err = raised(built, cfg, cfg.model.losses.kd)
    assert config_key(err) == "model.losses.kd"
    line = error_line(err)
    assert line.startswith("error: tau is 0; ")
    assert line.endswith("The config has it under model.losses.kd.")
    assert "KLDivergence" in repr(KLDivergence)


def test_the_right_one_of_two_alike_is_named():
    part = {"type": "KLDivergence"}
    config = {"a": {**part, "tau": 1}, "b": [{**part, "tau": 0}], "c": part}
    assert key_of({**part, "tau": 0}, config) == "b.0"
    assert key_of({**part, "tau": 1, "_scope_": "mmrazor"}, config) == "a"
    # what a builder added or took out
    assert key_of({**part, "tau": 1, "more": 2}, {"a": {**part, "tau": 1}}) == "a"
    assert key_of({**part, "tau": 1}, {"a": {**part, "tau": 1, "student": "x"}}) == "a"
    # a part whose type its owner gives
    assert key_of({"type": "Distiller", "losses": 1}, {"d": {"losses": 1}}) == "d"
    assert key_of({"type": "Other"}, config) is None


def test_unforeseen_ones_say_where():
    def mistake():
        return {}["missing"]

    line = error_line(raised(mistake))
    assert "KeyError: missing" in line
    assert "test_error_line.py:" in line
    assert "MMRAZOR_DEBUG=1" in line


def test_place_is_the_users_innermost_line():
    def callback(_):
        raise ValueError("mine")

    err = raised(sorted, [1, 2], None)
    assert "test_error_line.py:" in location(err)
    err = raised(lambda: Config({"a": 1}).merge_from_dict(callback(1)))
    lines = Path(__file__).read_text().splitlines()
    line = 1 + lines.index('        raise ValueError("mine")')
    assert location(err).endswith(f"test_error_line.py:{line}")


@pytest.mark.parametrize(
    "text", ["", "\n\n", "a\nb", "x" * 9000, "[/bold] {0} %s", "a\x85b\u2028c\r\x1e"]
)
def test_always_one_line(text):
    for kind in (KeyError, ValueError, RuntimeError, OSError, AssertionError):
        line = error_line(raised(_throw, kind(text)))
        assert line.startswith("error: ")
        assert len(line.splitlines()) == 1
        assert len(line) < 3000


def _throw(err):
    raise err


def test_objects_that_answer_badly_do_no_harm():
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError("no")

        def __eq__(self, other):
            raise TypeError("no")

        __hash__ = None

    def mistake():
        one = Hostile()
        cfg = Config({"model": {"type": "ToyModel"}})
        spec = {"type": one}
        return built(cfg, spec)

    assert error_line(raised(mistake)).startswith("error: ")
