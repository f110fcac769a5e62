"""What the values of a run are computed from, and what is computed from them."""

from __future__ import annotations

from .flow import Call, Flow
from .functions import WEIGHTED


def from_inputs(flow: Flow) -> set[int]:
    """Return the values that depend on the input of the model."""
    given = {value for call in flow.calls for value in call.inputs}
    found = given - flow.makers.keys() - flow.names.keys()
    for call in flow.calls:
        if any(value in found for value in call.inputs):
            found.update(call.outputs)
    return found


def from_products(flow: Flow, moving: set[int]) -> set[int]:
    """Return the values that are computed from results of layers with weights."""
    found: set[int] = set()
    for call in flow.calls:
        weighted = call.kind in WEIGHTED and call.inputs[0] in moving
        if weighted or any(value in found for value in call.inputs):
            found.update(call.outputs)
    return found


def to_products(flow: Flow) -> set[int]:
    """Return the values that layers with weights or products are computed from."""
    found: set[int] = set()
    for call in reversed(flow.calls):
        product = call.kind in WEIGHTED or call.kind == "matmul"
        if product or any(value in found for value in call.outputs):
            found.update(call.inputs)
    return found


def to_softmax(flow: Flow) -> set[int]:
    """Return the values that a softmax alone reads, added to others or not."""
    found: set[int] = set()

    def leads(call: Call) -> bool:
        if getattr(call.func, "__name__", "") == "softmax":
            return True
        return call.kind in ("move", "add") and not found.isdisjoint(call.outputs)

    for call in reversed(flow.calls):
        for value in call.outputs:
            users = flow.users.get(value, [])
            alone = bool(users) and value not in flow.results
            if alone and all(leads(user) for user, _ in users):
                found.add(value)
    return found
