"""CalibrateHook and QuantScheduleHook: what they refuse."""

from types import SimpleNamespace

import pytest
from torch import nn

from mmrazor.core.hooks import CalibrateHook, QuantScheduleHook


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CalibrateHook(batches=0), "batches=0: calibrate on at least one"),
        (lambda: QuantScheduleHook(freeze_bn_at=-1), "freeze_bn_at=-1: times are"),
    ],
)
def test_wrong_numbers_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("model", [nn.Linear(1, 1)])
def test_a_model_without_a_quantizer_is_refused(model):
    runner = SimpleNamespace(model=model, hooks=[], epoch=0)
    with pytest.raises(TypeError, match="CalibrateHook needs an Algorithm with quant"):
        CalibrateHook().before_train(runner)
    with pytest.raises(TypeError, match="QuantScheduleHook needs .* not Linear"):
        QuantScheduleHook().before_train_iter(runner, 0)


def test_observers_that_never_begin_need_not_be_kept():
    assert QuantScheduleHook().keeps_observing
    assert not QuantScheduleHook(freeze_observers_at=0).keeps_observing
