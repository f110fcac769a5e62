# Cuts hold kept indices alone. The names and shapes that they were made from, beside
# them in the file, tell a subnet of ResNet-18 from one of ResNet-34, and a narrow
# network from a wide one, before anything is built.
"""Tell whether cuts belong to a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from .cuts import Cuts
from .slim import is_replaceable_by
from .widths import attribute_faults, weight_faults

Shapes = Mapping[str, Sequence[int]]
_SHOWN = 4


def shapes_of(model: nn.Module, cuts: Cuts) -> dict[str, list[int]]:
    """Return the shape of every parameter, and of the buffers that are cut.

    Example:
        >>> shapes_of(nn.Linear(4, 2), Cuts())
        {'weight': [2, 4], 'bias': [2]}
    """
    buffers = dict(model.named_buffers(remove_duplicate=False))
    cut = {name: buffers[name] for name in cuts.slots if name in buffers}
    tensors = {**dict(model.named_parameters()), **cut}
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def misfits(model: nn.Module, cuts: Cuts, shapes: Shapes | None = None) -> list[str]:
    """Say why cuts do not belong to a model; an empty list if they do.

    Names must agree, and so must sizes along the axes that are cut. Other sizes, such
    as the number of classes, may differ.

    Args:
        model: The model to cut.
        cuts: What stays of it.
        shapes: :func:`shapes_of` the model that the cuts were made from; without them
            a wider or deeper model may pass.

    Example:
        >>> cuts = Cuts({'weight': {0: [1]}}, {'': {'out_features': 1}})
        >>> misfits(nn.Linear(4, 2), cuts), misfits(nn.ReLU(), cuts)
        ([], ['it lacks 1 of the tensors that are cut (weight)', \
'it lacks 1 of the modules that change (out_features)'])
    """
    own: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    own.update(model.named_buffers(remove_duplicate=False))
    faults = [
        _listing("it lacks {} of the tensors that are cut", _lacking(own, cuts)),
        _listing("{} have another size", _resized(own, cuts, shapes or {}), "; "),
        _listing("it lacks {} of the modules that change", _strange(model, cuts)),
    ]
    if not any(faults):
        wrong = attribute_faults(model, cuts) or weight_faults(model, cuts)
        faults.append(_listing("{} of its numbers are wrong", wrong, "; "))
    if shapes is not None:
        gone = [name for name in shapes if name not in {**own, **cuts.slots}]
        new = [name for name, _ in model.named_parameters() if name not in shapes]
        faults.append(_listing("it lacks {} other tensors", gone))
        faults.append(_listing("it has {} that are unknown there", new))
    return [fault for fault in faults if fault]


def _lacking(own: Mapping[str, Tensor], cuts: Cuts) -> list[str]:
    return [name for name in cuts.slots if name not in own]


def _resized(own: Mapping[str, Tensor], cuts: Cuts, shapes: Shapes) -> list[str]:
    faults = []
    for name, axes in cuts.slots.items():
        tensor = own.get(name)
        if tensor is None:
            continue
        shape, wanted = list(tensor.shape), list(shapes.get(name, tensor.shape))
        for axis, kept in axes.items():
            if axis >= len(shape) or axis >= len(wanted) or not kept:
                faults.append(f"{name} is {shape} in the model, but axis {axis} is cut")
            elif shape[axis] != wanted[axis]:
                faults.append(f"{name} is {shape} in the model and was {wanted}")
            elif not 0 <= min(kept) <= max(kept) < shape[axis]:
                faults.append(
                    f"{name} is {shape} in the model, and index {max(kept)} of axis "
                    f"{axis} is to be kept"
                )
            else:
                continue
            break
    return faults


def _strange(model: nn.Module, cuts: Cuts) -> list[str]:
    modules = dict(model.named_modules())
    faults = [
        f"{path}.{name}".lstrip(".")
        for path, attributes in cuts.attributes.items()
        for name in attributes
        if not hasattr(modules.get(path), name)
    ]
    for path, kind in cuts.replaced.items():
        if not is_replaceable_by(modules.get(path) if path else None, kind):
            faults.append(f"{path} ({kind})")
    return faults


def _listing(text: str, names: Iterable[str], separator: str = ", ") -> str:
    names = list(names)
    if not names:
        return ""
    more = f"{separator}..." if len(names) > _SHOWN else ""
    return f"{text.format(len(names))} ({separator.join(names[:_SHOWN])}{more})"
