"""Settings of a quantization: budgets for methods, bits that were chosen."""

import pytest
from mmengine.config import Config

from mmrazor.apis.quantize_options import one_or_several
from mmrazor.apis.quantize_settings import settings_of, with_bits, with_budget
from mmrazor.models.quantizers import MixedPrecision

HALF = dict(size_bytes=0.5)


def test_chosen_bits_stand_last_and_lists_are_gone():
    settings = dict(
        backend="generic",
        weight=dict(bits=[8, 4, 2], granularity="tensor"),
        activation=dict(bits=8),
        edges=dict(weight=dict(bits=[4, 8])),
        overrides={
            "a:conv": dict(weight=dict(symmetric=False), activation=dict(bits=6)),
            "b": dict(weight=dict(bits=[6, 3])),
        },
    )
    found = with_bits(settings, {"a:conv": 2, "b:conv": 3})
    assert found == dict(
        backend="generic",
        weight=dict(bits=8, granularity="tensor"),
        activation=dict(bits=8),
        edges=dict(weight=dict(bits=8)),
        overrides={
            "b": dict(weight=dict(bits=6)),
            "a:conv": dict(
                weight=dict(symmetric=False, bits=2), activation=dict(bits=6)
            ),
            "b:conv": dict(weight=dict(bits=3)),
        },
    )
    assert list(found["overrides"]) == ["b", "a:conv", "b:conv"]
    assert settings["weight"]["bits"] == [8, 4, 2]
    assert settings["overrides"]["b"] == dict(weight=dict(bits=[6, 3]))


def test_a_budget_goes_to_the_method_that_searches():
    given = ["GPTQ", dict(type="mmrazor.MixedPrecision", budget=dict(size_bytes=9e9))]
    found = with_budget(given, HALF)
    assert found == ["GPTQ", dict(type="mmrazor.MixedPrecision", budget=HALF)]
    assert given[1]["budget"] == dict(size_bytes=9e9)
    assert with_budget("MixedPrecision", HALF) == [
        dict(type="MixedPrecision", budget=HALF)
    ]
    method = MixedPrecision(HALF)
    assert with_budget(method, None) == [method]
    assert with_budget(given, None) == given
    for methods in ([], "GPTQ"):
        with pytest.raises(ValueError, match="no method searches any.*--method mixed"):
            with_budget(methods, HALF)


def test_several_bits_of_a_command_are_a_list():
    bits = one_or_several([8, 4])
    cfg = Config(dict(model=dict(quantizer=dict(weight=dict(bits=8)))))
    assert settings_of(cfg, None, bits, None, ())["weight"] == dict(bits=[8, 4])
    assert settings_of(cfg, None, one_or_several([4]), None, ())["weight"] == dict(
        bits=4
    )
