"""Find the layer that a NaN comes from, by repeating the step that gave it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# What models were seen to raise on NaN, and on being run once more.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _Enough(Exception):
    """The forward passes of the step are done."""


@torch.no_grad()
def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Tell whether there is neither NaN nor infinity, waiting for a device once.

    Example:
        >>> all_finite([torch.ones(2), torch.tensor([1.0, float('nan')])])
        False
    """
    alike = defaultdict(list)
    for tensor in tensors:
        values = tensor.coalesce().values() if tensor.is_sparse else tensor
        if values.numel() and (values.is_floating_point() or values.is_complex()):
            alike[values.device, values.dtype].append(values)
    # Norms are cheap; squares of large numbers overflow, and are looked at once more.
    return all(
        bool(torch.stack(torch._foreach_norm(values)).isfinite().all())
        or all(bool(value.isfinite().all()) for value in values)
        for values in alike.values()
    )


def find_origin(
    model: Any, batch: Any, optim_wrapper: Any
) -> tuple[dict[str, float], str]:
    """Repeat the forward passes of a training step and see where NaN begins.

    Nothing is stepped. Statistics of norms take the batch in once more.

    Args:
        model: What is trained, without a distributed wrapper.
        batch: Of that step, before preprocessing.
        optim_wrapper: That of the run.

    Returns:
        The terms of the loss that are not finite, and half a sentence on the layer,
        which is empty if no module gives anything but finite numbers.
    """
    terms: dict[str, float] = {}
    found: list[str] = []
    handles = []
    for name, module in _modules(model):
        handles.append(
            module.register_forward_hook(_watching(name, found), with_kwargs=True)
        )
    try:
        with _without_steps(optim_wrapper), _hearing_losses(model, terms):
            model.train_step(batch, optim_wrapper)
    except _FAULTS:
        pass  # what was found until then tells more of an error raised in any case
    finally:
        for handle in handles:
            handle.remove()
    return terms, found[0] if found else ""


def _modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    yield from model.named_modules()
    teacher = getattr(getattr(model, "teacher", None), "model", None)
    if isinstance(teacher, nn.Module):  # it is outside the module tree
        for name, module in teacher.named_modules():
            yield f"teacher.{name}", module


def _watching(name: str, found: list[str]) -> Any:
    def watch(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        losses = isinstance(output, Mapping) and any("loss" in str(k) for k in output)
        if found or losses or not name or all_finite(_tensors(output)):
            return
        why, whole = "", all_finite(_tensors([args, kwargs]))
        if not whole and name.rpartition(".")[2] == "data_preprocessor":
            found.append("; the batch itself holds nan or infinity")
            return
        if not whole:
            why = ", and so is its input"
        for key, value in module.named_parameters(recurse=False):
            if not all_finite([value]):
                why = f", and so is its {key}"
        found.append(
            f"; the output of '{name}' ({type(module).__name__}) is the first that is "
            f"nan or infinite{why}"
        )

    return watch


@contextmanager
def _without_steps(optim_wrapper: Any) -> Iterator[None]:
    """Let a training step end where it would step an optimizer."""

    def enough(*_: Any, **__: Any) -> None:
        raise _Enough

    def nothing(*_: Any, **__: Any) -> None:
        return None

    parts = [optim_wrapper]
    if hasattr(optim_wrapper, "values"):
        parts = list(optim_wrapper.values())
    stand_ins = {"step": enough, "update_params": enough}
    stand_ins |= {"backward": nothing, "zero_grad": nothing}
    for part in parts:
        vars(part).update(stand_ins)
    try:
        with contextlib.suppress(_Enough):
            yield
    finally:
        for part in parts:
            for name in stand_ins:
                vars(part).pop(name, None)


@contextmanager
def _hearing_losses(model: Any, terms: dict[str, float]) -> Iterator[None]:
    """Note the terms of the loss that are not finite, and use no wrapper."""
    parse, wrapper = model.parse_losses, getattr(model, "_wrapper", None)

    def parse_losses(losses: Mapping[str, Any]) -> Any:
        for name, value in losses.items():
            if "loss" in name and not all_finite(_tensors(value)):
                first = next(v for v in _tensors(value) if not all_finite([v]))
                terms.setdefault(name, float(first.detach().float().mean()))
        return parse(losses)

    vars(model)["parse_losses"] = parse_losses
    if wrapper is not None:
        vars(model)["_wrapper"] = None
    try:
        yield
    finally:
        vars(model).pop("parse_losses", None)
        if wrapper is not None:
            vars(model)["_wrapper"] = wrapper


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
