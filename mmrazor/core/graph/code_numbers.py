# A number that code passes to an operation counts the elements along one dim. The same
# number may be passed for another dim as well (as many heads as a head is wide); then
# the place of the dim and the name of the attribute tell which is which.
"""What becomes of the numbers that code passes to operations."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from .id_flow import Ids, SizeArgument

# (new number, whether there is a further dim inside of the one it counts), how often
Options = Counter[tuple[int, bool]]
Numbers = Mapping[int, Options]
# numbers passed in one call, in order, and what they become
Sequences = Mapping[tuple[int, ...], tuple[int, ...]]

_WIDTH = re.compile(r"dim|width|size|channel|feature|embed|planes|hidden|mid|shape")
_COUNT = re.compile(r"head|group|num|parts|radix|split")


#: Numbers that code passed, with what each becomes.
Counted: TypeAlias = Sequence[tuple[SizeArgument, int]]


def counted(sizes: Sequence[SizeArgument], labels: Ids, dropped: Ids) -> Counted:
    """Return for each number how many of the ids that it counts are left.

    Args:
        sizes: Numbers that code passed and that count ids.
        labels: Class of every id.
        dropped: For every class whether it is dropped.
    """
    result = []
    for size in sizes:
        gone = dropped[labels[size.ids]]
        others = tuple(d for d in range(gone.ndim) if d != size.dim)
        line = gone.all(axis=others) if others else gone
        result.append((size, int(np.count_nonzero(~line))))
    return result


def changed_numbers(numbers: Counted) -> dict[str, dict[int, Options]]:
    """Return for each module and number, which numbers it may become, how often."""
    result: dict[str, dict[int, Options]] = defaultdict(lambda: defaultdict(Counter))
    for size, new in numbers:
        outer = size.dim < size.ids.ndim - 1
        result[size.module][size.value][new, outer] += 1
    return {
        module: {
            value: options
            for value, options in values.items()
            if any(new != value for new, _ in options)
        }
        for module, values in result.items()
    }


def passed_together(
    numbers: Counted,
) -> dict[str, dict[tuple[int, ...], tuple[int, ...]]]:
    """Return for each module what several numbers passed in one call become."""
    calls: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for size, new in numbers:
        calls[size.module, size.call].append((size.value, new))
    result: dict[str, dict[tuple[int, ...], tuple[int, ...]]] = defaultdict(dict)
    for (module, _), pairs in calls.items():
        old, new_ones = zip(*pairs, strict=True)
        if len(old) > 1 and old != new_ones:
            result[module][old] = new_ones
    return result


def new_number(numbers: Numbers, value: int, name: str) -> int:
    """Return what a number becomes; itself if it does not change."""
    options = numbers.get(value)
    return likeliest(options, value, name) if options else value


def likeliest(options: Options, old: int, name: str) -> int:
    """Return what a number becomes: what is seen most often, of what fits its name.

    Args:
        options: See :data:`Options`.
        old: The number.
        name: Name of the attribute that holds it.

    Example:
        >>> options = Counter({(2, True): 1, (4, False): 1})  # 4 heads of width 4
        >>> likeliest(options, 4, 'num_heads'), likeliest(options, 4, 'head_dim')
        (2, 4)
    """
    fitting = options
    if _WIDTH.search(name):
        fitting = Counter({k: n for k, n in options.items() if not k[1]})
    elif _COUNT.search(name):
        fitting = Counter({k: n for k, n in options.items() if k[1]})
    totals: Counter[int] = Counter()
    for (new, _), times in (fitting or options).items():
        totals[new] += times
    # one that changed if there is a choice
    return max(totals, key=lambda new: (totals[new], new != old, new))
