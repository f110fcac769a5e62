"""Settings of quantization: integers by hand, merging, and what is refused."""

import pytest

from mmrazor.models.quantizers import QuantSettings


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        (dict(), -128, 127),
        (dict(narrow=True), -127, 127),
        (dict(signed=False), 0, 255),
        (dict(reduce=True), -64, 63),
        (dict(reduce=True, narrow=True), -63, 63),
        (dict(reduce=True, signed=False), 0, 127),
        (dict(bits=4), -8, 7),
        (dict(bits=4, signed=False, symmetric=False), 0, 15),
        (dict(bits=2), -2, 1),
        (dict(bits=2, narrow=True), -1, 1),
        (dict(bits=3, reduce=True, signed=False), 0, 3),
    ],
)
def test_integers_by_hand(given, least, most):
    settings = QuantSettings(**given)
    assert (settings.quant_min, settings.quant_max) == (least, most)
    assert settings.num_levels == len(range(least, most + 1))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (dict(bits=1), "bits is a whole number from 2 to 8"),
        (dict(bits=9), "bits is a whole number from 2 to 8"),
        (dict(bits=8.0), "bits is a whole number"),
        (dict(bits=True), "bits is a whole number"),
        (dict(symmetric=1), "symmetric is True or False"),
        (dict(granularity="row"), "one of .'tensor', 'channel', 'group'."),
        (dict(granularity="group"), "group_size is a whole number from 1"),
        (dict(granularity="group", group_size=0), "group_size is a whole number"),
        (dict(group_size=8), "group_size goes with granularity='group'"),
        (dict(signed=False, narrow=True), "narrow goes with signed=True"),
        (dict(bits=2, reduce=True), "reduce leaves no range of 2 bits"),
        (dict(bits=1, signed=None), "signed is True or False; bits is a whole"),
    ],
)
def test_what_is_refused(given, match):
    with pytest.raises(ValueError, match=match):
        QuantSettings(**given)


def test_a_config_is_merged_over_a_default():
    default = QuantSettings(bits=4, granularity="group", group_size=32)
    assert QuantSettings.of(None, default) == default
    assert QuantSettings.of(default, QuantSettings()) is default
    assert QuantSettings.of(dict(bits=3), default).group_size == 32
    # The size goes with its granularity, and with a word of the user it stays wrong.
    channel = QuantSettings.of(dict(granularity="channel"), default)
    assert channel == QuantSettings(bits=4, granularity="channel")
    with pytest.raises(ValueError, match="group_size goes with"):
        QuantSettings.of(dict(granularity="channel", group_size=32), default)
    with pytest.raises(ValueError, match="'symetric' is no setting.*'symmetric' is"):
        QuantSettings.of(dict(symetric=True))
    with pytest.raises(
        ValueError, match=r"'observer' is no setting of quantization\. "
    ):
        QuantSettings.of(dict(observer=dict(type="MinMaxObserver")))
    with pytest.raises(TypeError, match="are a dict, such as .* not 8"):
        QuantSettings.of(8)
