"""Source strings: grammar, round trip, errors."""

import pytest
import torch

from mmrazor.core.capture import Source, SourceError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("output:backbone.layer4", Source("output", "backbone.layer4")),
        ("input:head.fc", Source("input", "head.fc")),
        ("param:neck.weight", Source("param", "neck.weight")),
        ("call:torch.nn.functional.relu", Source("call", "torch.nn.functional.relu")),
        ("output:neck[1]", Source("output", "neck", (1,))),
        ("output:neck[-1][out]", Source("output", "neck", (-1, "out"))),
        ("output:head#3", Source("output", "head", (), 3)),
        ("output:head[0]#3", Source("output", "head", (0,), 3)),
        ("output:", Source("output", "")),
    ],
)
def test_parse_and_back(text, expected):
    assert Source.parse(text) == expected
    assert str(expected) == text
    assert Source.parse(str(expected)) == expected


def test_call_before_index_means_the_same():
    assert Source.parse("output:head#3[0]") == Source.parse("output:head[0]#3")


@pytest.mark.parametrize(
    "text", ["backbone", "outputs:a", "output:a b", "output:a[", "output:a[]", "", None]
)
def test_malformed(text):
    with pytest.raises(SourceError, match="is not a source. Write KIND:PATH"):
        Source.parse(text)


def test_two_calls():
    with pytest.raises(SourceError, match="names two calls"):
        Source.parse("output:a#1#2")


def test_pick_and_replace():
    source = Source.parse("output:a[1][x]")
    value = (1, {"x": 2, "y": 3})
    assert source.pick(value) == 2
    assert source.replaced(value, 9) == (1, {"x": 9, "y": 3})
    assert value == (1, {"x": 2, "y": 3})


def test_index_out_of_range():
    with pytest.raises(
        SourceError, match=r"cannot take \[2\] of a tuple of 2: .*tensor"
    ):
        Source.parse("output:neck[2]").pick((torch.zeros(1), None))
