# Forward code reads numbers that it stored when it was built: channels, heads, groups.
# Those of torch's own layers are known. For any other module, the numbers that it
# passed to operations while it was traced, and that count channels, tell which of its
# attributes must change: the attribute with the same value.
"""Find the attributes of modules that count channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .attribute_rules import AttributeRule, follow, integers
from .code_numbers import (
    Numbers,
    Sequences,
    changed_numbers,
    counted,
    likeliest,
    new_number,
    passed_together,
)
from .id_flow import Ids, SizeArgument
from .names import owner_of

_Slots = Mapping[str, Mapping[int, list[int]]]
_CONVOLUTIONS = (nn.modules.conv._ConvNd,)
_NORMS = (nn.modules.batchnorm._NormBase,)


def attribute_values(
    model: nn.Module,
    slots: _Slots,
    sizes: list[SizeArgument],
    labels: Ids,
    dropped: Ids,
    rules: Mapping[type, Sequence[AttributeRule]],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return attributes with their new values, and modules to replace.

    Args:
        model: The model at its old size.
        slots: Kept indices of each parameter axis that shrinks.
        sizes: Numbers that code passed and that count ids.
        labels: Class of every id.
        dropped: For every class whether it is dropped.
        rules: How attributes follow from numbers, by the class of the modules.
    """
    passed = counted(sizes, labels, dropped)
    changes, together = changed_numbers(passed), passed_together(passed)
    slots = _by_owner(model, slots)
    modules = dict(model.named_modules())
    touched = {name.rpartition(".")[0] for name in slots} | set(changes)
    attributes: dict[str, dict[str, Any]] = {}
    replaced: dict[str, str] = {}
    for path in sorted(touched):
        module = modules.get(path)
        if module is None:
            continue
        if isinstance(module, nn.MultiheadAttention):
            replaced[path] = "PrunedMultiheadAttention"
            continue
        found = _of_layer(module, path, slots, changes.get(path, {}))
        if found is None:
            own = rules.get(type(module), ())
            found = numbers_of(
                module, changes.get(path, {}), together.get(path, {}), own
            )
            found.update(_named_like_axes(module, path, slots, found))
            _of_children(module, path, changes.get(path, {}), attributes)
            _shapes_of_children(module, path, changes, attributes)
        found = {k: v for k, v in found.items() if getattr(module, k) != v}
        if found:
            attributes.setdefault(path, {}).update(found)
    return attributes, replaced


def _by_owner(model: nn.Module, slots: _Slots) -> _Slots:
    """Name what shrinks as the layers know it, under all names of a shared tensor."""
    first: dict[int, str] = {}
    result: dict[str, dict[int, list[int]]] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        axes = slots.get(first.setdefault(id(tensor), name))
        if axes is not None:
            result.setdefault(".".join(owner_of(name)).lstrip("."), {}).update(axes)
    for name, _ in model.named_buffers():
        if name in slots:
            result.setdefault(".".join(owner_of(name)).lstrip("."), {}).update(
                slots[name]
            )
    return result


def _of_layer(
    module: nn.Module, path: str, slots: _Slots, numbers: Numbers
) -> dict[str, Any] | None:
    """Return the attributes of torch's own layers; None for other modules."""

    def size(leaf: str, axis: int, old: int) -> int:
        kept = slots.get(f"{path}.{leaf}".lstrip("."), {}).get(axis)
        return old if kept is None else len(kept)

    if isinstance(module, _CONVOLUTIONS):
        rows, columns = (size("weight", a, module.weight.shape[a]) for a in (0, 1))
        groups = module.groups
        if groups > 1:
            groups = new_number(numbers, groups, "groups")
        if module.transposed:
            return _channels(rows, columns * groups, groups)
        return _channels(columns * groups, rows, groups)
    if isinstance(module, nn.Linear):
        rows, columns = (size("weight", a, module.weight.shape[a]) for a in (0, 1))
        return {"out_features": rows, "in_features": columns}
    if isinstance(module, _NORMS):
        for leaf in ("weight", "running_mean"):
            if getattr(module, leaf, None) is not None:
                old = len(getattr(module, leaf))
                return {"num_features": size(leaf, 0, old)}
        return numbers_of(module, numbers, {})
    if isinstance(module, nn.GroupNorm):
        return {
            "num_channels": size("weight", 0, module.num_channels),
            "num_groups": new_number(numbers, module.num_groups, "num_groups"),
        }
    if isinstance(module, nn.Embedding):
        return {"embedding_dim": size("weight", 1, module.embedding_dim)}
    return None


def _channels(inputs: int, outputs: int, groups: int) -> dict[str, Any]:
    return {"in_channels": inputs, "out_channels": outputs, "groups": groups}


def numbers_of(
    module: nn.Module,
    numbers: Numbers,
    together: Sequences,
    rules: Sequence[AttributeRule] = (),
) -> dict[str, Any]:
    """Return attributes with a value that counts channels and has to change.

    Args:
        module: At its old size.
        numbers: What the numbers that it passes may become.
        together: What the numbers that it passes in one call become.
        rules: How attributes of its class follow from numbers.
    """
    changed: dict[str, Any] = {}
    for name, value in integers(module):
        if isinstance(value, int):
            if value in numbers:
                changed[name] = new_number(numbers, value, name)
        elif tuple(value) in together:
            changed[name] = list(together[tuple(value)])
        else:
            new = [new_number(numbers, v, name) for v in value]
            if new != list(value):
                changed[name] = new
    follow(rules, module, numbers, changed)
    return changed


# What a module reads of its children when it reshapes what they return.
_WIDTHS = ("embed_dims", "embed_dim", "out_channels", "num_features", "dim", "channels")


def _of_children(
    module: nn.Module,
    path: str,
    numbers: Numbers,
    attributes: dict[str, dict[str, Any]],
) -> None:
    """Change widths that a module reads from its children, not from itself."""
    own = {value for value in vars(module).values() if isinstance(value, int)}
    for value, options in numbers.items():
        if value in own:
            continue
        for name, child in module.named_modules():
            if not name or type(child).__module__.startswith("torch.nn"):
                continue
            for width in _WIDTHS:
                new = likeliest(options, value, width)
                if vars(child).get(width) == value and new != value:
                    place = f"{path}.{name}".lstrip(".")
                    attributes.setdefault(place, {}).setdefault(width, new)


def _shapes_of_children(
    module: nn.Module,
    path: str,
    changes: Mapping[str, Numbers],
    attributes: dict[str, dict[str, Any]],
) -> None:
    """Change sequences of numbers that a module reads from its children.

    A method of theirs that it calls passes their shapes to operations in its name.
    """
    numbers = changes.get(path, {})
    for name, child in module.named_children():
        place = f"{path}.{name}".lstrip(".")
        if place in changes or type(child).__module__.startswith("torch.nn"):
            continue
        for key, value in integers(child):
            if isinstance(value, (list, tuple)):
                new = [new_number(numbers, v, key) for v in value]
                if new != list(value):
                    attributes.setdefault(place, {}).setdefault(key, new)


def _named_like_axes(
    module: nn.Module, path: str, slots: _Slots, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``in_channels`` and the like of layers that are none of torch's own."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() < 2:
        if isinstance(weight, Tensor) and weight.dim() == 1:
            kept = slots.get(f"{path}.weight".lstrip("."), {}).get(0)
            if kept is not None:
                return {
                    name: _resized(getattr(module, name), len(weight), len(kept))
                    for name in (
                        "normalized_shape",
                        "num_features",
                        "num_channels",
                        "dim",
                    )
                    if name in vars(module) and name not in known
                }
        return {}
    axes = slots.get(f"{path}.weight".lstrip("."), {})
    result = {}
    for axis, names in (
        (0, ("out_channels", "out_features")),
        (1, ("in_channels", "in_features")),
    ):
        old = weight.shape[axis]
        for name in names:
            if axis in axes and getattr(module, name, None) == old:
                result[name] = len(axes[axis])
    return result


def _resized(value: Any, old: int, new: int) -> Any:
    if isinstance(value, (tuple, list)):
        return [new if v == old else v for v in value]
    return new if value == old else value
