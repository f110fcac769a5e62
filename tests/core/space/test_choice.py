"""Choices: what they allow, draw and write, and what they say of the rest."""

from __future__ import annotations

import inspect
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.core import space as door
from mmrazor.core.space import Choice, KeepChannels, OneOf

from .strategies import SCALARS, SEEDS, choices


def plain_types(value: object) -> bool:
    if isinstance(value, list):
        return {type(index) for index in value} <= {int}
    return type(value) in (bool, int, float, str)


def test_every_class_is_abstract_or_final() -> None:
    classes = [c for c in vars(door).values() if inspect.isclass(c)]
    assert len(classes) == len(door.__all__)
    for cls in classes:
        assert inspect.isabstract(cls) or not cls.__subclasses__(), cls
    with pytest.raises(TypeError, match="abstract"):
        Choice("op", 1)  # type: ignore[abstract]


@given(choices(), SEEDS)
def test_sampled_values_are_allowed_and_plain(choice: Choice, seed: int) -> None:
    value = choice.sample(np.random.default_rng(seed))
    assert choice.validate(value) == value
    assert plain_types(value)


@given(choices(), SEEDS)
def test_same_seed_same_value(choice: Choice, seed: int) -> None:
    first, second = (choice.sample(np.random.default_rng(seed)) for _ in range(2))
    assert first == second


@given(choices(), SEEDS)
def test_a_mutated_value_is_another_and_allowed(choice: Choice, seed: int) -> None:
    rng = np.random.default_rng(seed)
    value = choice.sample(rng)
    before = list(value) if isinstance(value, list) else value
    mutated = choice.mutate(value, rng)
    assert choice.validate(mutated) == mutated
    assert plain_types(mutated)
    assert (mutated != value) == (choice.size() > 1)
    assert value == before


@given(choices(), SEEDS)
def test_data_and_back(choice: Choice, seed: int) -> None:
    value = choice.sample(np.random.default_rng(seed))
    data = choice.to_data(value)
    assert isinstance(data, dict) == isinstance(choice, KeepChannels)
    assert choice.from_data(data) == value


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("min_keep", [1, 2, 3, 9])
@pytest.mark.parametrize("divisor", [1, 2, 3, 8])
def test_keep_channels_allows_what_the_rule_says(
    size: int, min_keep: int, divisor: int
) -> None:
    choice = KeepChannels("out", size, min_keep=min_keep, divisor=divisor)
    allowed = set()
    for bits in range(2**size):
        kept = [i for i in range(size) if bits >> i & 1]
        fine = len(kept) >= min_keep and len(kept) % divisor == 0
        if fine or len(kept) == size:
            allowed.add(tuple(kept))
            assert choice.validate(kept) == kept
        else:
            with pytest.raises(ValueError, match="'out' does not allow"):
                choice.validate(kept)
    assert choice.size() == len(allowed)
    assert choice.counts() == sorted({len(kept) for kept in allowed})

    rng = np.random.default_rng(0)
    drawn = {tuple(choice.sample(rng)) for _ in range(60)}
    value = choice.selected
    for _ in range(60):
        value = choice.mutate(value, rng)
        drawn.add(tuple(value))
    assert drawn <= allowed
    assert {len(kept) for kept in drawn} == set(choice.counts())


def test_how_many_are_kept_is_drawn_evenly_and_so_is_which() -> None:
    choice, rng = KeepChannels("out", 8, divisor=2), np.random.default_rng(0)
    drawn = [choice.sample(rng) for _ in range(4000)]
    counts = Counter(map(len, drawn))
    channels = Counter(index for kept in drawn for index in kept)
    # 1000 of each with a standard deviation of 27; a channel is kept with
    # probability (2 + 4 + 6 + 8) / 4 / 8 = 5/8.
    assert all(abs(counts[n] - 1000) < 110 for n in (2, 4, 6, 8))
    assert all(abs(channels[i] - 2500) < 120 for i in range(8))


def test_mutation_changes_as_few_channels_as_it_must() -> None:
    choice, rng = KeepChannels("out", 16), np.random.default_rng(0)
    value = list(range(0, 16, 2))
    for _ in range(200):
        mutated = choice.mutate(value, rng)
        changed = len(set(value) ^ set(mutated))
        assert changed == (abs(len(mutated) - 8) or 2)


def test_mutation_of_one_of_is_even() -> None:
    choice, rng = OneOf("op", ["a", "b", "c", "d"]), np.random.default_rng(0)
    drawn = Counter(choice.mutate("b", rng) for _ in range(3000))
    assert set(drawn) == {"a", "c", "d"}
    assert all(abs(count - 1000) < 110 for count in drawn.values())


def test_many_subsets_are_counted_exactly() -> None:
    assert KeepChannels("out", 2048).size() == 2**2048 - 1
    assert KeepChannels("out", 64, min_keep=64).size() == 1


@given(st.lists(SCALARS, min_size=1, max_size=6, unique=True), SCALARS)
def test_one_of_allows_its_values_and_no_other(values: list, other: object) -> None:
    choice = OneOf("op", values)
    for value in values:
        found = choice.validate(value)
        assert found == value
        assert type(found) is type(value)
    booleans = [v for v in values if isinstance(v, bool) == isinstance(other, bool)]
    if other not in booleans:
        with pytest.raises(ValueError, match="'op' does not allow"):
            choice.validate(other)


def test_values_of_numpy_and_torch_become_plain() -> None:
    torch = pytest.importorskip("torch")
    kernel = OneOf("kernel", np.array([3, 5, 7]))
    assert kernel.values == (3, 5, 7)
    assert plain_types(kernel.validate(np.int64(5)))
    assert OneOf("width", [0.5, 1]).validate(1.0) == 1
    keep = KeepChannels("out", np.int64(4))
    for given_ in (np.array([0, 3]), torch.tensor([0, 3]), (0, 3), range(0, 4, 3)):
        keep.selected = given_
        assert keep.selected == [0, 3]
        assert plain_types(keep.selected)


def test_true_is_not_one() -> None:
    with pytest.raises(ValueError, match="does not allow True"):
        OneOf("kernel", [1, 3]).validate(True)
    with pytest.raises(ValueError, match="does not allow 1"):
        OneOf("bias", [True, False]).validate(1)
    with pytest.raises(ValueError, match="ascending indices is wanted"):
        KeepChannels("out", 4).validate([False, True])


def test_selected_begins_with_the_first_or_all_and_stays_on_errors() -> None:
    op, keep = OneOf("op", ["a", "b"]), KeepChannels("out", 3, divisor=2)
    assert (op.selected, keep.selected) == ("a", [0, 1, 2])
    op.selected, keep.selected = "b", [0, 2]
    with pytest.raises(ValueError, match="'op' does not allow 'c'"):
        op.selected = "c"
    with pytest.raises(ValueError, match="'out' does not allow"):
        keep.selected = [0]
    assert (op.selected, keep.selected) == ("b", [0, 2])


def test_lists_are_not_shared() -> None:
    keep, given_ = KeepChannels("out", 4), [0, 1]
    keep.selected = given_
    given_.append(2)
    keep.selected.append(3)
    assert keep.selected == [0, 1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([0, 9], r"allow \[0, 9\]: there are only 8 channels"),
        ([0, 1, 2], r"it keeps 3\. Keep \[4, 8\] of the channels 0 to 7"),
        ([], r"it keeps 0\. Keep \[4, 8\]"),
        ([3, 2, 1, 0], "a list of ascending indices is wanted"),
        ([0, 0, 1, 2], "a list of ascending indices is wanted"),
        ([-1, 0, 1, 2], "a list of ascending indices is wanted"),
        ([0.0, 1.0, 2.0, 3.0], "a list of ascending indices is wanted"),
        (4, "allow 4: a list of ascending indices is wanted"),
        (None, "allow None: a list"),
        (list(range(5000)), r"\.\.\. \(5000 in all\): there are only 8 channels"),
    ],
)
def test_faults_of_kept_channels_are_named(value: object, text: str) -> None:
    choice = KeepChannels("conv.out", 8, divisor=4)
    with pytest.raises(ValueError, match=f"^Choice 'conv.out' does not.*{text}"):
        choice.validate(value)
    with pytest.raises(ValueError, match=f"^Choice 'conv.out' does not.*{text}"):
        choice.mutate(value, np.random.default_rng(0))


@pytest.mark.parametrize("value", ["k4", 4, None, ["k3"], {"keep": [0]}])
def test_faults_of_one_of_are_named(value: object) -> None:
    choice = OneOf("op", ["k3", "k5"])
    with pytest.raises(
        ValueError, match=r"^Choice 'op' does not allow .*\. Pick one of \['k3', 'k5'\]"
    ):
        choice.validate(value)
    with pytest.raises(ValueError, match="Choice 'op' does not allow"):
        choice.mutate(value, np.random.default_rng(0))


@pytest.mark.parametrize(
    "data", [None, [0, 1], {}, {"keep": 3}, {"keep": [1, 0]}, {"keep": [0], "x": 1}]
)
def test_faulty_data_is_named(data: object) -> None:
    with pytest.raises(ValueError, match="Choice 'out': .* is no value. Write a text"):
        KeepChannels("out", 4).from_data(data)


def test_data_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'op' does not allow \[0\]"):
        OneOf("op", ["a"]).from_data({"keep": [0]})
    with pytest.raises(ValueError, match="'out' does not allow 2"):
        KeepChannels("out", 4).from_data(2)
    with pytest.raises(ValueError, match="'out' does not allow"):
        KeepChannels("out", 4).to_data([5])


@pytest.mark.parametrize(
    "values",
    [[], "abc", [1, 1], [1, True], [1, 1.0], [None], [[3]], [float("nan")], ["a", 2j]],
)
def test_one_of_needs_different_plain_values(values: list) -> None:
    with pytest.raises(ValueError, match="'op' cannot have the values.*Give a list"):
        OneOf("op", values)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (4, 0, 1), (4, 1, 0), (4.0, 1, 1)])
def test_keep_channels_needs_whole_numbers_from_1(numbers: tuple) -> None:
    size, min_keep, divisor = numbers
    with pytest.raises(ValueError, match=f"'out': size={size}.*each at least 1"):
        KeepChannels("out", size, min_keep, divisor)


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_name_is_a_text(name: object) -> None:
    with pytest.raises(ValueError, match="cannot be named"):
        OneOf(name, ["a"])
    with pytest.raises(ValueError, match="cannot be named"):
        KeepChannels(name, 3)


def test_printing_explains() -> None:
    assert repr(OneOf("op", ["a", "b"])) == "OneOf('op', ['a', 'b'], selected='a')"
    keep = KeepChannels("out", 3)
    assert repr(keep) == "KeepChannels('out', 3, selected=[0, 1, 2])"
