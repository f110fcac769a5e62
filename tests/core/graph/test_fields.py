from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrazor.core.graph.fields import (
    broadcast_to,
    compacted,
    line_field,
    reshaped,
    squeezed,
    varying,
    with_last,
    without_last,
)


def test_line_lies_along_one_dim() -> None:
    field = line_field(torch.tensor([5, 6, 7]), (2, 3, 4), 1)
    assert field.shape == (2, 3, 4)
    assert varying(field) == (1,)
    assert field[1, :, 3].tolist() == [5, 6, 7]
    assert squeezed(field).tolist() == [5, 6, 7]


def test_a_dim_of_size_one_does_not_vary() -> None:
    assert varying(torch.arange(3)[:, None]) == (0,)
    assert varying(line_field(torch.arange(1), (2, 1), 1)) == ()


def test_a_large_map_takes_the_memory_of_a_line() -> None:
    field = line_field(torch.arange(64), (32, 64, 512, 512), 1)
    assert field.untyped_storage().nbytes() == 64 * 8
    moved = field.permute(0, 2, 3, 1).reshape(32, 512 * 512, 64)
    assert moved.untyped_storage().nbytes() == 64 * 8


def test_compacted_sees_what_is_equal() -> None:
    rows = torch.tensor([[1, 1], [2, 2]])
    assert varying(rows) == (0, 1)
    assert varying(compacted(rows)) == (0,)
    assert torch.equal(compacted(rows), rows)
    assert varying(compacted(torch.zeros(2, 3))) == ()


@pytest.mark.parametrize(
    ("old", "dim", "new", "inside"),
    [
        ((2, 12, 5), 1, (2, 3, 4, 5), (1, 2)),  # heads
        ((2, 3, 4), 1, (2, 12), (1,)),  # flattened
        ((2, 3, 4), 2, (6, 4), (1,)),
        ((2, 3, 4), 0, (6, 4), (0,)),
        ((1, 8, 1), 1, (8,), (0,)),
        ((2, 8), 1, (2, 1, 8, 1), (2,)),
        ((6, 8), 0, (2, 3, 8), (0, 1)),
    ],
)
def test_reshaped(
    old: tuple[int, ...], dim: int, new: tuple[int, ...], inside: tuple[int, ...]
) -> None:
    field = line_field(torch.arange(old[dim]), old, dim)
    result = reshaped(field, new)
    assert torch.equal(result, field.reshape(new))
    assert varying(result) == inside


@st.composite
def shapes(draw: st.DrawFn) -> tuple[list[int], int, list[int]]:
    """Return a shape, a dim of it, and another shape with as many elements."""
    factors = draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=6))

    def grouped() -> list[int]:
        result = [1]
        for factor in factors:
            if draw(st.booleans()):
                result.append(factor)
            else:
                result[-1] *= factor
        return result

    old = grouped()
    return old, draw(st.integers(0, len(old) - 1)), grouped()


@given(shapes())
@settings(max_examples=200)
def test_reshaped_equals_reshape(case: tuple[list[int], int, list[int]]) -> None:
    old, dim, new = case
    field = line_field(torch.arange(old[dim]) + 7, old, dim)
    result = reshaped(field, new)
    assert torch.equal(result, field.reshape(new))
    # nothing varies that does not have to
    for place in varying(result):
        first = result.narrow(place, 0, 1)
        assert not torch.equal(result, first.expand(result.shape))


def test_dims_at_the_end() -> None:
    field = line_field(torch.arange(4), (2, 4, 5, 6), 1)
    short = without_last(field, 2)
    assert torch.equal(short, field[..., 0, 0])
    assert with_last(short, 2).shape == (2, 4, 1, 1)
    assert without_last(field, 0) is field


def test_broadcast() -> None:
    field = line_field(torch.arange(4), (1, 4, 1), 1)
    wide = broadcast_to(field, (2, 4, 3))
    assert wide.shape == (2, 4, 3)
    assert varying(wide) == (1,)
    assert broadcast_to(wide, (2, 4, 3)) is wide
