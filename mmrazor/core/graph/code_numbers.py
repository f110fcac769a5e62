# A number that code passes to an operation counts the elements along one dim. The same
# number may be passed for another dim as well (as many heads as a head is wide); then
# the place of the dim and the name of the attribute tell which is which.
"""What becomes of the numbers that code passes to operations."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from .id_flow import Ids, SizeArgument

# (new number, whether there is a further dim inside of the one it counts), how often
Options = Counter[tuple[int, bool]]
Numbers = Mapping[int, Options]

_WIDTH = re.compile(r"dim|width|size|channel|feature|embed|planes|hidden|mid|shape")
_COUNT = re.compile(r"head|group|num|parts|radix|split")


def changed_numbers(
    sizes: list[SizeArgument], labels: Ids, dropped: Ids
) -> dict[str, dict[int, Options]]:
    """Return for each module and number, which numbers it may become, how often.

    Args:
        sizes: Numbers that code passed and that count ids.
        labels: Class of every id.
        dropped: For every class whether it is dropped.
    """
    result: dict[str, dict[int, Options]] = defaultdict(lambda: defaultdict(Counter))
    for size in sizes:
        gone = dropped[labels[size.ids]]
        others = tuple(d for d in range(gone.ndim) if d != size.dim)
        line = gone.all(axis=others) if others else gone
        outer = size.dim < gone.ndim - 1
        result[size.module][size.value][int((~line).sum()), outer] += 1
    return {
        module: {
            value: options
            for value, options in numbers.items()
            if any(new != value for new, _ in options)
        }
        for module, numbers in result.items()
    }


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
