from __future__ import annotations

from mmrazor.apis.prune_source import subnet_of_both
from mmrazor.core.space import Subnet


def test_two_subnets_become_one() -> None:
    first = Subnet(
        "00000001",
        {"a.out": [0, 2, 5, 7], "b.out": [1, 3]},
        {
            "slots": {"a.weight": {"0": "0 2 5 7"}, "b.weight": {"0": "1 3"}},
            "attributes": {"a": {"out_features": 4}, "b": {"out_features": 2}},
            "replaced": {},
            "shapes": {"a.weight": [8, 4], "b.weight": [4, 4]},
        },
        {"macs": 48},
    )
    second = Subnet(
        "00000002",
        {"a.out": [1, 3], "c.out": [0]},
        {
            "slots": {"a.weight": {"0": "1 3", "1": "0 2"}},
            "attributes": {"a": {"out_features": 2}},
            "replaced": {},
            "shapes": {"a.weight": [4, 4]},
        },
        {"macs": 12},
    )
    both = subnet_of_both(first, second)
    assert both.space == "00000001"
    assert both.choices == {"a.out": [2, 7], "b.out": [1, 3]}
    assert both.slots == {
        "slots": {"a.weight": {"0": "2 7", "1": "0 2"}, "b.weight": {"0": "1 3"}},
        "attributes": {"a": {"out_features": 2}, "b": {"out_features": 2}},
        "replaced": {},
        "shapes": {"a.weight": [8, 4], "b.weight": [4, 4]},
    }
    assert both.cost == {"macs": 12}
