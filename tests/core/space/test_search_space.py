"""Search spaces: drawing, checking, selecting, fingerprints."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrazor.core.space import KeepChannels, OneOf, SearchSpace

from .strategies import SEEDS, keep_channels, spaces

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace(
        [
            OneOf("backbone.layer1.op", ["k3", "k5"]),
            OneOf("backbone.layer2.op", ["k3", "k5"]),
            KeepChannels("head.out", 4),
        ]
    )


VALUES = {"backbone.layer1.op": "k5", "backbone.layer2.op": "k3", "head.out": [0, 2]}


def test_it_is_an_ordered_mapping(space: SearchSpace) -> None:
    assert list(space) == list(VALUES)
    assert space["head.out"].name == "head.out"
    assert len(space) == 3
    assert "neck" not in space
    assert [choice.name for choice in space.values()] == list(VALUES)


def test_one_choice_may_serve_several_places() -> None:
    shared, other = OneOf("depth", [1, 2]), OneOf("width", [8, 16])
    space = SearchSpace([shared, other, shared])
    assert list(space) == ["depth", "width"]
    assert space["depth"] is shared


def test_two_choices_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="Two Choices are named 'op'.*share one"):
        SearchSpace([OneOf("op", [1]), OneOf("op", [1])])


def test_only_choices_are_taken() -> None:
    with pytest.raises(TypeError, match="'op' is no Choice"):
        SearchSpace(["op"])


@given(spaces(), SEEDS)
def test_sampled_values_fit(space: SearchSpace, seed: int) -> None:
    values = space.sample(np.random.default_rng(seed))
    assert list(values) == list(space)
    assert space.validate(values) == values
    assert space.sample(np.random.default_rng(seed)) == values


@given(spaces(), SEEDS, st.floats(0, 1))
def test_mutated_values_fit(space: SearchSpace, seed: int, prob: float) -> None:
    rng = np.random.default_rng(seed)
    values = space.sample(rng)
    before = space.key(values)
    mutated = space.mutate(values, rng, prob)
    assert space.validate(mutated) == mutated
    assert space.key(values) == before
    assert space.mutate(values, rng, 0) == values
    everywhere = space.mutate(values, rng, 1)
    for name, choice in space.items():
        assert (everywhere[name] != values[name]) == (choice.size() > 1)


def test_prob_is_per_choice() -> None:
    space = SearchSpace([OneOf(f"op{i}", [0, 1]) for i in range(2000)])
    values = dict.fromkeys(space, 0)
    changed = sum(space.mutate(values, np.random.default_rng(0), 0.3).values())
    assert abs(changed - 600) < 90  # a standard deviation is 20


@pytest.mark.parametrize("prob", [-0.1, 1.1, math.nan])
def test_prob_is_a_probability(space: SearchSpace, prob: float) -> None:
    with pytest.raises(ValueError, match=f"prob={prob} must be a probability"):
        space.mutate(VALUES, np.random.default_rng(0), prob)


@given(spaces(), SEEDS)
def test_children_have_the_values_of_a_parent(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = space.sample(rng), space.sample(rng)
    before = space.key(a), space.key(b)
    child = space.crossover(a, b, rng)
    assert space.validate(child) == child
    assert all(child[name] in (a[name], b[name]) for name in space)
    assert (space.key(a), space.key(b)) == before
    assert space.crossover(a, a, rng) == a


def test_both_parents_count_alike() -> None:
    space = SearchSpace([OneOf(f"op{i}", [0, 1]) for i in range(2000)])
    zeros, ones = dict.fromkeys(space, 0), dict.fromkeys(space, 1)
    child = space.crossover(zeros, ones, np.random.default_rng(0))
    assert abs(sum(child.values()) - 1000) < 100  # a standard deviation is 22


def test_what_is_returned_shares_no_lists(space: SearchSpace) -> None:
    values = {**VALUES, "head.out": [0, 2]}
    rng = np.random.default_rng(0)
    returned = [
        space.validate(values),
        space.mutate(values, rng, 0),
        space.crossover(values, values, rng),
    ]
    for found in returned:
        found["head.out"].append(3)
    assert values["head.out"] == [0, 2]


def test_all_faults_are_in_one_error(space: SearchSpace) -> None:
    values = {"backbone.layer1.op": "k9", "head.oot": [0], 3: 1, "head.out": [4]}
    with pytest.raises(ValueError) as caught:
        space.validate(values)
    text = str(caught.value)
    assert text.startswith("The values do not fit this search space of 3 choices. ")
    for part in (
        "It lacks choices ['backbone.layer2.op'].",
        "It has unknown choices ['head.oot', 3]. Near 'head.oot': 'head.out'.",
        "Choice 'backbone.layer1.op' does not allow 'k9'. Pick one of ['k3', 'k5'].",
        "Choice 'head.out' does not allow [4]: there are only 4 channels.",
    ):
        assert part in text


def test_faulty_values_are_refused_everywhere(space: SearchSpace) -> None:
    rng, faulty = np.random.default_rng(0), {**VALUES, "head.out": [9]}
    for call in (
        lambda: space.mutate(faulty, rng, 0.5),
        lambda: space.crossover(VALUES, faulty, rng),
        lambda: space.crossover(faulty, VALUES, rng),
        lambda: space.key(faulty),
        lambda: space.select_(faulty),
    ):
        with pytest.raises(ValueError, match="Choice 'head.out' does not allow"):
            call()


def test_values_must_be_a_mapping(space: SearchSpace) -> None:
    with pytest.raises(TypeError, match="no mapping of choice names to values"):
        space.validate([("op", 1)])


def test_select_all_or_none(space: SearchSpace) -> None:
    space.select_(VALUES)
    assert space.selected() == VALUES
    assert space["head.out"].selected == [0, 2]
    with pytest.raises(ValueError, match="does not allow"):
        space.select_({**VALUES, "backbone.layer1.op": "k3", "head.out": [4]})
    assert space.selected() == VALUES


def test_validate_puts_values_in_order_and_plain_form(space: SearchSpace) -> None:
    turned = dict(reversed(VALUES.items())) | {"head.out": np.array([0, 2])}
    plain = space.validate(turned)
    assert list(plain) == list(space)
    assert plain == VALUES


@given(spaces(max_size=3), SEEDS)
def test_keys_are_equal_where_values_are(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = space.sample(rng), space.sample(rng)
    assert (space.key(a) == space.key(b)) == (a == b)
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in a.items()}
    assert {space.key(a): 1}[space.key(dict(reversed(tuples.items())))] == 1


def test_size_is_a_product() -> None:
    space = SearchSpace([OneOf("a", [1, 2, 3]), KeepChannels("b", 4, min_keep=3)])
    assert space.size() == 3 * (4 + 1)
    assert SearchSpace().size() == 1
    assert repr(space) == "SearchSpace(choices=2, subnets=15)"


def test_a_huge_space_prints() -> None:
    space = SearchSpace([KeepChannels(f"{i}.out", 2048) for i in range(10)])
    # log10(2) * 20480 = 6165.1; Python prints no whole number of that length.
    assert repr(space) == "SearchSpace(choices=10, subnets=10^6165.1)"


def test_fingerprint_is_a_hash_of_the_choices() -> None:
    space = SearchSpace(
        [OneOf("é", ["k3", 5, 0.5, True]), KeepChannels("out", 9, 3, divisor=4)]
    )
    text = (
        r'[["\u00e9","OneOf",["k3",5,0.5,true]],'
        r'["out","KeepChannels",{"counts":[4,8,9],"size":9}]]'
    )
    assert space.fingerprint() == hashlib.sha256(text.encode()).hexdigest()[:8]


def test_fingerprint_does_not_depend_on_the_process(space: SearchSpace) -> None:
    code = (
        "from mmrazor.core.space import *; print(SearchSpace(["
        "OneOf('backbone.layer1.op', ['k3', 'k5']), "
        "OneOf('backbone.layer2.op', ['k3', 'k5']), "
        "KeepChannels('head.out', 4)]).fingerprint())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == space.fingerprint()


def test_fingerprint_does_not_depend_on_what_is_selected(space: SearchSpace) -> None:
    before = space.fingerprint()
    space.select_(VALUES)
    assert space.fingerprint() == before


def _small_choice(name: str) -> st.SearchStrategy[Any]:
    values = st.lists(st.sampled_from([0, 1.0, "a"]), min_size=1, unique=True)
    return values.map(lambda v: OneOf(name, v)) | keep_channels(name, max_size=4)


@st.composite
def _small_space(draw: st.DrawFn) -> SearchSpace:
    names = draw(st.lists(st.sampled_from("ab"), max_size=2, unique=True))
    return SearchSpace([draw(_small_choice(name)) for name in names])


def _meaning(space: SearchSpace) -> list[tuple[str, type, list[Any]]]:
    """Names, kinds and allowed values: kept channels listed by trying them all."""
    found = []
    for name, choice in space.items():
        allowed: list[Any] = []
        if isinstance(choice, OneOf):
            allowed = list(choice.values)
        else:
            for bits in range(2**choice.num_channels):
                kept = [i for i in range(choice.num_channels) if bits >> i & 1]
                try:
                    allowed.append(choice.validate(kept))
                except ValueError:
                    continue
        found.append((name, type(choice), allowed))
    return found


@given(_small_space(), _small_space())
def test_fingerprints_are_equal_where_spaces_are(
    a: SearchSpace, b: SearchSpace
) -> None:
    assert (a.fingerprint() == b.fingerprint()) == (_meaning(a) == _meaning(b))


BASE = [OneOf("a", [1, 2]), KeepChannels("b", 8)]


@pytest.mark.parametrize(
    "choices",
    [
        [],
        BASE[:1],
        BASE[::-1],
        [*BASE, OneOf("c", [1])],
        [OneOf("A", [1, 2]), BASE[1]],
        [OneOf("a", [2, 1]), BASE[1]],
        [OneOf("a", [1, 2.0]), BASE[1]],
        [OneOf("a", [1, "2"]), BASE[1]],
        [BASE[0], KeepChannels("b", 9)],
        [BASE[0], KeepChannels("b", 8, min_keep=2)],
        [BASE[0], KeepChannels("b", 8, divisor=2)],
    ],
    ids=str,
)
def test_any_change_changes_the_fingerprint(choices: list) -> None:
    assert SearchSpace(choices).fingerprint() != SearchSpace(BASE).fingerprint()


def test_other_words_for_the_same_values_do_not_change_it() -> None:
    one, other = KeepChannels("b", 8, divisor=4), KeepChannels("b", 8, 3, divisor=4)
    assert SearchSpace([one]).fingerprint() == SearchSpace([other]).fingerprint()
