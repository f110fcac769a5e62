# Flags, branches by the size of an input, heads of training that do not run, momentum
# copies: what no run has shown cannot be followed, and a cut that it does not know of
# would break it later. A copy of what ran follows that; for anything else the channels
# that it may read or make stay.
"""What is done about parameters that no traced run has used."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isqrt, prod
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log
from torch import Tensor, nn

from ..names import is_inside
from .fields import squeezed, varying
from .id_flow import IdFlow, Ids
from .named_parts import is_named
from .names import tensor_named
from .resolve import resolve
from .trace import OpTrace, tensors_in

_ALIKE, _SURELY_ALIKE = 0.5, 0.9
_SHOWN = 8
_BIASED = (nn.Linear, nn.modules.conv._ConvNd)
_POOLED = 64  # elements of a map that is pooled before it is flattened


@dataclass(frozen=True)
class NeverRun:
    """Parts of a model that no traced run has used.

    Args:
        copies: Modules that copy one that ran, by name, and which.
        rest: Names of the other modules, and of single parameters.
    """

    copies: dict[str, str]
    rest: tuple[str, ...]


class _Width(NamedTuple):
    """Channels that a layer takes or gives, which may come joined or flattened."""

    layer: str
    size: int
    takes: bool = False
    joined: bool = False
    flat: bool = False


def never_run(
    model: nn.Module, unused: Sequence[str], called: Collection[str]
) -> NeverRun:
    """Sort parameters that no run has used into modules, and find the copies.

    Args:
        model: The model.
        unused: Names of the parameters.
        called: Names of the modules that were called; others are copied part by part.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> net = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 3)})
        >>> never_run(net, ["b.weight", "b.bias"], ["", "a"])
        NeverRun(copies={}, rest=('b',))
        >>> _ = net["b"].load_state_dict(net["a"].state_dict())
        >>> never_run(net, ["b.weight", "b.bias"], ["", "a"])
        NeverRun(copies={'b': 'a'}, rest=())
    """
    left = set(unused)
    modules = dict(model.named_modules())
    whole = [
        name
        for name, module in modules.items()
        if (inner := _parameters(module, name)) and left.issuperset(inner)
    ]
    ran: dict[type, list[str]] = defaultdict(list)
    for name, module in modules.items():
        inner = _parameters(module, name)
        if name in called and inner and not left.issuperset(inner):
            ran[type(module)].append(name)
    copies: dict[str, str] = {}
    for name in whole:
        if not any(is_inside(name, other) for other in copies):
            twin = _twin(modules, name, ran[type(modules[name])])
            if twin is not None:
                copies[name] = twin
    rest: list[str] = []
    for name in [*whole, *unused]:
        known = any(is_inside(name, other) for other in (*copies, *rest))
        if not known and not any(is_inside(other, name) for other in copies):
            rest.append(name)
    return NeverRun(copies, tuple(rest))


def follow_copies(
    flow: IdFlow,
    model: nn.Module,
    traces: Sequence[OpTrace],
    copies: Mapping[str, str],
) -> None:
    """Let copies keep the channels of what they copy.

    Where another tensor is as wide as what that takes or returns, the copy may have to
    do with either of them; then both stay.

    Args:
        flow: Has followed what ran.
        model: The model.
        traces: Of what ran.
        copies: Names of modules, and of the ones that they copy.
    """
    for name, twin in copies.items():
        _tie_copy(flow, model.get_submodule(name), name, twin)
        flow.noted.twins[name] = twin
    if not copies:
        return
    labels = resolve(flow.noted).labels
    for name, twin in copies.items():
        calls = [of for one in traces for of in one.modules if of.module == twin]
        tensors = [tensor for of in calls for tensor in (*of.taken, *of.returned)]
        ends = _lines_by_width(flow, tensors)
        around = _lines_by_width(flow, _seen_around(traces, name.rpartition(".")[0]))
        reason = (
            f"may meet '{name}', a copy of '{twin}' that no example input runs, which "
            "may be put to another place"
        )
        for width, lines in ends.items():
            both = [ids for ids, _ in [*lines, *around.get(width, [])]]
            if len({labels[ids].tobytes() for ids in both}) > 1:
                flow.noted.frozen += [(ids, reason) for ids in both]


def _tie_copy(flow: IdFlow, module: nn.Module, name: str, twin: str) -> None:
    noted = flow.noted
    for leaf, tensor in chain(module.named_parameters(), module.named_buffers()):
        mine, theirs = f"{name}.{leaf}", f"{twin}.{leaf}".lstrip(".")
        axes = [axis for axis in range(tensor.dim()) if (theirs, axis) in noted.axes]
        if axes:
            flow.of(tensor)  # hands out ids
            noted.copies.add(mine)
        for axis in axes:
            noted.ties.append((_ids(flow, mine, axis), _ids(flow, theirs, axis)))
    noted.sizes += [
        replace(size, module=moved(size.module, twin, name))
        for size in noted.sizes
        if is_inside(size.module, twin) and not is_inside(size.module, name)
    ]


def moved(module: str, twin: str, name: str) -> str:
    """Return what stands in a copy for a module inside of what it copies.

    Example:
        >>> moved('net.conv', 'net', 'ema'), moved('net', 'net', 'ema')
        ('ema.conv', 'ema')
    """
    inner = module[len(twin) :].lstrip(".")
    return f"{name}.{inner}" if inner else name


def keep_what_may_meet(
    flow: IdFlow, model: nn.Module, traces: Sequence[OpTrace], rest: Sequence[str]
) -> list[str]:
    """Freeze parts that never ran, and all channels that they may read or make.

    Nothing is read by parts that no code around them names. For others, those are the
    channels of every tensor that the modules around such a part see (what
    they are called with, what they call others with, what is returned, and what they
    compute), if it is as wide as one of the part's layers, or would be if it was
    flattened or joined with another. A norm follows the channels around it if there is
    only one kind of its width, and a bias the weight beside it.

    Args:
        flow: Has followed what ran.
        model: The model.
        traces: Of what ran.
        rest: Names of modules and parameters.

    Returns:
        The names, without those of biases whose weight is used.
    """
    left: list[str] = []
    known: dict[str, _Lines] = {}
    labels: Ids | None = None
    for name in rest:
        if (line := _line_of_weight(flow, model, name)) is not None:
            flow.of(tensor_named(model, name))
            flow.noted.copies.add(name)
            flow.noted.ties.append((_ids(flow, name, 0), line))
            continue
        left.append(name)
        owner = name.rpartition(".")[0]
        if owner not in known:
            known[owner] = _lines_by_width(flow, _seen_around(traces, owner))
        wide, named = known[owner], is_named(model, name)
        if named and (size := _width_of_norm(model, name)):
            lines = [ids for ids, _ in wide.get(size, [])]
            labels = resolve(flow.noted).labels if labels is None else labels
            if len({labels[ids].tobytes() for ids in lines}) == 1:
                _tie_norm(flow, model.get_submodule(name), name, lines[0])
                continue
        for parameter in _parameters_of(model, name):
            _keep_parameter(flow, model, parameter, name)
        for width in dict.fromkeys(_widths(model, name) if named else ()):
            does = "read" if width.takes else "replaced or joined"
            reason = (
                f"may be {does} by '{width.layer}' ({width.size} channels), which no "
                "example input runs"
            )
            for ids in _meeting(wide, width):
                flow.noted.frozen.append((ids, reason))
    return left


def _keep_parameter(flow: IdFlow, model: nn.Module, name: str, part: str) -> None:
    tensor = tensor_named(model, name)
    flow.of(tensor)  # hands out ids
    for axis in range(tensor.dim()):
        if (name, axis) in flow.noted.axes:
            reason = f"is in '{part}', which no example input runs"
            flow.noted.frozen.append((_ids(flow, name, axis), reason))


def _line_of_weight(flow: IdFlow, model: nn.Module, name: str) -> Ids | None:
    """Return the channels that the weight beside a bias makes, None for other names."""
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    bias = module._parameters.get(leaf)
    if leaf != "bias" or bias is None or not isinstance(module, _BIASED):
        return None
    weight, axis = f"{path}.weight".lstrip("."), 0
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        axis = 1
    found = flow.noted.axes.get((weight, axis))
    return _ids(flow, weight, axis) if found and found[1] == len(bias) else None


def _width_of_norm(model: nn.Module, name: str) -> int:
    """Return the channels of a norm that all its parameters lie along, 0 for others."""
    module = model.get_submodule(name.rpartition(".")[0])
    if name.rpartition(".")[2] in module._parameters:
        return 0
    shapes = {tensor.shape for tensor in model.get_submodule(name).parameters()}
    return next(iter(shapes))[0] if len(shapes) == 1 and len(min(shapes)) == 1 else 0


def _tie_norm(flow: IdFlow, module: nn.Module, name: str, line: Ids) -> None:
    """Let a norm keep the only channels that it can be meant for."""
    for leaf, tensor in chain(module.named_parameters(), module.named_buffers()):
        flow.of(tensor)
        if (f"{name}.{leaf}", 0) in flow.noted.axes:
            flow.noted.copies.add(f"{name}.{leaf}")
            flow.noted.ties.append((_ids(flow, f"{name}.{leaf}", 0), line))


def warn_of(found: NeverRun, unused: int) -> None:
    """Say which parts never ran, and what became of them."""
    if found.copies:
        pairs = [f"'{name}' of '{twin}'" for name, twin in found.copies.items()]
        print_log(
            f"Never run, but copies of what does: {_listed(pairs)}. They keep the same "
            "channels.",
            logger="current",
            level=logging.INFO,
        )
    if found.rest:
        print_log(
            f"{unused} parameters are never run by the example inputs, in "
            f"{_listed([repr(name) for name in found.rest])}. What they may read or "
            "replace keeps its channels; 'unprunable' lists it. To prune it too, give "
            "a list of example inputs that together run all parts, and delete parts "
            "of no use.",
            logger="current",
            level=logging.WARNING,
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _parameters(module: nn.Module, name: str) -> list[str]:
    return [f"{name}.{leaf}".lstrip(".") for leaf, _ in module.named_parameters()]


def _parameters_of(model: nn.Module, name: str) -> list[str]:
    """Return the parameters in a module, or the one of that name."""
    path, _, leaf = name.rpartition(".")
    if leaf in model.get_submodule(path)._parameters:
        return [name]
    return _parameters(model.get_submodule(name), name)


def _ids(flow: IdFlow, name: str, axis: int) -> Ids:
    first, size = flow.noted.axes[name, axis]
    return np.arange(first, first + size)


def _twin(
    modules: Mapping[str, nn.Module], name: str, others: Iterable[str]
) -> str | None:
    """Return which of some modules of a class one is a copy of, None for none."""
    mine = dict(modules[name].named_parameters())
    best, found = _least_likeness(mine), None
    for other in others:
        if is_inside(other, name):
            continue
        theirs = {
            leaf: tensor
            for leaf, tensor in modules[other].named_parameters()
            if not is_inside(f"{other}.{leaf}".lstrip("."), name)
        }
        if {k: v.shape for k, v in mine.items()} != {
            k: v.shape for k, v in theirs.items()
        }:
            continue
        alike = _likeness(mine, theirs)
        if alike > best:
            best, found = alike, other
    return found


def _least_likeness(parameters: Mapping[str, Tensor]) -> float:
    """Return the cosine from which weights are a copy: few are alike by chance.

    That of random weights is about 0, plus or minus one by the root of their number.
    """
    count = sum(tensor.numel() for tensor in parameters.values() if tensor.dim() > 1)
    return min(_SURELY_ALIKE, max(_ALIKE, 4 / max(count, 1) ** 0.5))


def _likeness(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """Return the cosine between weights, each without its mean; 0 for constants."""
    product = first = second = 0.0
    for leaf, tensor in mine.items():
        if tensor.dim() < 2 or not tensor.is_floating_point():
            continue
        a, b = tensor.detach().float(), theirs[leaf].detach().float().to(tensor.device)
        a, b = a - a.mean(), b - b.mean()
        product += float((a * b).sum())
        first += float(a.square().sum())
        second += float(b.square().sum())
    return product / (first * second) ** 0.5 if first and second else 0.0


def _widths(model: nn.Module, name: str) -> Iterator[_Width]:
    """Yield what a part that never ran takes and gives."""
    path, _, leaf = name.rpartition(".")
    parameter = model.get_submodule(path)._parameters.get(leaf)
    if parameter is not None:
        yield from _of_parameter(name, parameter)
    else:
        yield from _takes(model.get_submodule(name), name)
        yield from _gives(model.get_submodule(name), name)


def _takes(module: nn.Module, name: str) -> Iterator[_Width]:
    if isinstance(module, nn.modules.conv._ConvNd):
        yield _Width(name, module.in_channels, takes=True, joined=True)
    elif isinstance(module, nn.Linear):
        yield _Width(name, module.in_features, takes=True, joined=True, flat=True)
    elif isinstance(module, nn.Embedding):
        return
    elif parts := _chain(module, name):
        yield from _takes(*parts[0])
    else:
        yield from _inside(module, name)


def _gives(module: nn.Module, name: str) -> Iterator[_Width]:
    if isinstance(module, nn.modules.conv._ConvNd):
        yield _Width(name, module.out_channels)
    elif isinstance(module, nn.Linear):
        yield _Width(name, module.out_features)
    elif isinstance(module, nn.Embedding):
        yield _Width(name, module.embedding_dim)
    elif parts := _chain(module, name):
        yield from _gives(*parts[-1])
    else:
        yield from _inside(module, name)


def _chain(module: nn.Module, name: str) -> list[tuple[nn.Module, str]]:
    """Return the layers of a chain: of these, the ends alone meet anything else."""
    if not isinstance(module, nn.Sequential):
        return []
    if type(module).forward is not nn.Sequential.forward:
        return []
    return [
        (child, f"{name}.{leaf}")
        for leaf, child in module.named_children()
        if any(True for _ in child.parameters())
    ]


def _inside(module: nn.Module, name: str) -> Iterator[_Width]:
    for leaf, parameter in module.named_parameters(recurse=False):
        yield from _of_parameter(f"{name}.{leaf}", parameter)
    for leaf, child in module.named_children():
        yield from _takes(child, f"{name}.{leaf}")
        yield from _gives(child, f"{name}.{leaf}")


def _of_parameter(name: str, parameter: Tensor) -> Iterator[_Width]:
    for size in parameter.shape:
        yield _Width(name, size, takes=True)


_Lines = Mapping[int, list[tuple[Ids, int]]]


def _seen_around(traces: Sequence[OpTrace], owner: str) -> Iterator[Tensor]:
    """Yield the tensors that the code of a module, or around it, has in hand."""
    for recorded in traces:
        for of in recorded.modules:
            if is_inside(owner, of.module) or is_inside(owner, of.caller):
                yield from (*of.taken, *of.returned)
        for call in recorded.calls:
            if is_inside(owner, call.module):
                yield from tensors_in([call.args, call.kwargs, call.result])


def _lines_by_width(flow: IdFlow, tensors: Iterable[Tensor]) -> _Lines:
    """Return the channels of tensors by their number.

    Returns:
        By number of channels: their ids, and the elements of each in one sample.
    """
    found: dict[int, dict[tuple[bytes, int], tuple[Ids, int]]] = defaultdict(dict)
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        if flow.name_of(tensor) is not None:
            continue
        for field in flow.of(tensor):
            if len(dims := varying(field)) != 1:
                continue
            ids = squeezed(field).numpy()
            inner = (n for d, n in enumerate(field.shape) if d not in (0, dims[0]))
            each = prod(inner)
            found[len(ids)][ids.tobytes(), each] = (ids, each)
    return {size: list(lines.values()) for size, lines in found.items()}


def _meeting(wide: _Lines, width: _Width) -> Iterator[Ids]:
    """Yield the channels that a layer may meet, the likeliest kind of meeting alone."""
    if width.size < 2:
        return
    found = [ids for ids, _ in wide.get(width.size, [])]
    if not found and width.flat:
        for size, lines in wide.items():
            places, rest = divmod(width.size, size)
            pooled = places <= _POOLED and isqrt(places) ** 2 == places
            if not rest:
                found += [ids for ids, each in lines if pooled or places == each]
    if not found and width.joined:
        for size, lines in wide.items():
            if width.size - size in wide:
                found += [ids for ids, _ in lines]
    yield from found
