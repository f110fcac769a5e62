# Code that passes `self.dim // self.num_heads` or `self.width // 2` to an operation
# keeps the number it passes nowhere. Which attribute it comes from is not seen in a
# trace; a rule says so, and running the small model tells whether the rule is right.
"""How attributes of modules follow from the numbers that their code passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from .code_numbers import Numbers, likeliest, new_number

# Numbers that never count channels, whatever value they have.
NEVER_WIDTHS = frozenset(
    [
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "output_padding",
        "window_size",
        "shift_size",
        "patch_size",
        "num_classes",
        "input_resolution",
        "img_size",
        "image_size",
        "out_indices",
        "num_layers",
        "num_stages",
        "depth",
        "depths",
        "num_levels",
        "num_points",
        "feat_size",
        "start_level",
        "end_level",
        "num_ins",
        "num_outs",
        "init_out_size",
        "sampling_ratio",
        "_version",
        "dropout",
        "p",
        "eps",
        "momentum",
        "training",
        "stacked_convs",
        "num_convs",
        "strides",
        "num_base_priors",
        "in_index",
        "num_queries",
    ]
)
_MOST_PARTS = 16


@dataclass(frozen=True)
class AttributeRule:
    """Where an attribute's new value comes from, if not from a number of its own value.

    Args:
        name: The attribute.
        how: ``stays``: it counts no channels, though a number that does is equal to
            it. ``multiple``: it is ``factor`` times a number that is passed, or a
            multiple of the attribute named. ``share``: a number that is passed is
            ``factor`` times the attribute.
        factor: A number, or the name of another attribute.
    """

    name: str
    how: Literal["stays", "multiple", "share"]
    factor: int | str = 1


def integers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that may count channels: numbers, and sequences of them."""
    for name, value in vars(module).items():
        if name in NEVER_WIDTHS or name.startswith("__") or isinstance(value, bool):
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        if values and all(type(v) is int for v in values):
            yield name, value


def follow(
    rules: Sequence[AttributeRule],
    module: nn.Module,
    numbers: Numbers,
    changed: dict[str, Any],
) -> None:
    """Apply rules to what was found of a module's attributes without them.

    Args:
        rules: Of the module's class.
        module: At its old size.
        numbers: What the numbers that it passes may become.
        changed: New values of attributes; corrected in place.
    """
    for rule in rules:
        old = vars(module).get(rule.name)
        if old is None:
            continue
        if rule.how == "stays":
            changed.pop(rule.name, None)
            continue
        values = list(old) if isinstance(old, (list, tuple)) else [old]
        new = [_followed(rule, value, module, numbers, changed) for value in values]
        if new != values:
            changed[rule.name] = new if isinstance(old, (list, tuple)) else new[0]


def _followed(
    rule: AttributeRule,
    value: int,
    module: nn.Module,
    numbers: Numbers,
    changed: Mapping[str, Any],
) -> int:
    if isinstance(rule.factor, str):
        unit = vars(module).get(rule.factor)
        if not isinstance(unit, int) or unit < 1 or value % unit:
            return value
        return value // unit * changed.get(rule.factor, unit)
    if rule.how == "multiple":
        part, rest = divmod(value, rule.factor)
        if rest or part not in numbers:
            return value
        return rule.factor * likeliest(numbers[part], part, rule.name)
    total = value * rule.factor
    new, rest = divmod(new_number(numbers, total, rule.name), rule.factor)
    return value if rest else new


Place = tuple[nn.Module, Numbers, Mapping[str, Any]]


def possible_rules(places: Sequence[Place]) -> list[AttributeRule]:
    """Return the rules that could hold for the modules of one class.

    Args:
        places: Modules of the class, with the numbers that change in them and the
            attributes that change without a rule.
    """
    found: dict[AttributeRule, None] = {}
    for place in places:
        for rule in _of_place(*place):
            if all(_fits(rule, *other) for other in places):
                found[rule] = None
    for _, _, changed in places:
        for name in changed:
            found[AttributeRule(name, "stays")] = None
    return list(found)


def _of_place(
    module: nn.Module, numbers: Numbers, changed: Mapping[str, Any]
) -> Iterator[AttributeRule]:
    for name, value in integers(module):
        if name in changed:
            continue
        for other, new in changed.items():
            if isinstance(new, int) and vars(module)[other] > 1:
                yield AttributeRule(name, "multiple", other)
        for number in sorted(numbers, reverse=True):
            for v in _values(value):
                if number > 1 and v > number and v // number <= _MOST_PARTS:
                    yield AttributeRule(name, "multiple", v // number)
                if v > 1 and number > v and number // v <= _MOST_PARTS:
                    yield AttributeRule(name, "share", number // v)


def _fits(
    rule: AttributeRule,
    module: nn.Module,
    numbers: Numbers,
    changed: Mapping[str, Any],
) -> bool:
    """Tell whether a module could follow a rule: its numbers are what that says."""
    value = vars(module).get(rule.name)
    if value is None or rule.name in changed:
        return value is not None
    if isinstance(rule.factor, str):
        unit = vars(module).get(rule.factor)
        return isinstance(unit, int) and all(v % unit == 0 for v in _values(value))
    if rule.how == "share":
        return any(v * rule.factor in numbers for v in _values(value))
    return any(
        v % rule.factor == 0 and v // rule.factor in numbers for v in _values(value)
    )


def _values(value: Any) -> set[int]:
    return set(value) if isinstance(value, (list, tuple)) else {value}
