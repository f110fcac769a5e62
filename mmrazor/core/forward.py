"""Run one forward pass without leaving traces on the model."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

Inputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model with a tensor, a tuple of arguments or a dict of keyword arguments.

    Example:
        >>> call_model(nn.Identity(), {"input": torch.tensor([1.0])})
        tensor([1.])
    """
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(inputs)


def examples_of(inputs: Any) -> list[Any]:
    """List example inputs: a list holds several, anything else is one.

    Args:
        inputs: What one forward pass takes (a tensor, a tuple of arguments, a dict of
            keyword arguments), or a list of such inputs.

    Raises:
        ValueError: If the list is empty.

    Example:
        >>> examples_of((1, 2)), examples_of([1, 2])
        ([(1, 2)], [1, 2])
    """
    if not isinstance(inputs, list):
        return [inputs]
    if not inputs:
        raise ValueError(
            "The list of example inputs is empty. Give at least one: a tensor, a tuple "
            "of arguments or a dict of keyword arguments."
        )
    return inputs


def unwrapped(model: Any) -> Any:
    """Return a model without the distributed wrapper that it may be in.

    Example:
        >>> unwrapped(nn.Identity())
        Identity()
    """
    return model.module if is_model_wrapper(model) else model


def eager_module(model: Any) -> nn.Module:
    """Return the module of ``torch.nn`` that a caller means, checked to be one.

    A compiled module (``torch.compile``) is the one that it was made from. What is left
    of scripting or exporting is a fixed program: it has no Python code to follow, and
    its widths cannot be changed.

    Args:
        model: What a public function was given.

    Raises:
        TypeError: If it, or a module in it, is a TorchScript or exported program, or
            if it is no module.

    Example:
        >>> eager_module(nn.Identity())
        Identity()
    """
    kind = type(model).__name__
    if kind == "OptimizedModule" and isinstance(model, nn.Module):
        return eager_module(model._orig_mod)
    program = _program_kind(model)
    if program:
        raise TypeError(
            f"The model is of type {kind}: {program}, whose layers cannot be seen or "
            "changed. Pass the nn.Module that it was made from, and script or export "
            "what comes out."
        )
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"The model is of type {kind}, no torch.nn.Module. Pass the module itself, "
            "such as that which your code trains."
        )
    for name, module in model.named_modules():
        program = _program_kind(module)
        if program:
            raise TypeError(
                f"Module '{name}' of {kind} is of type {type(module).__name__}: "
                f"{program}, whose layers cannot be seen or changed. Build the model "
                "with the nn.Module that it was made from in its place."
            )
    return model


def _program_kind(model: Any) -> str:
    """Say what kind of fixed program something is; nothing if it is none."""
    if isinstance(model, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        return "a TorchScript program"
    # By name and mark: torch.export is not imported for this.
    marks = getattr(model, "meta", None) if isinstance(model, nn.Module) else None
    exported = isinstance(marks, dict) and "inline_constraints" in marks
    if exported or type(model).__name__ == "ExportedProgram":
        return "a program of torch.export"
    return ""


def map_tensors(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return nested values with every tensor in them replaced.

    Args:
        value: Tensors in mappings, lists, tuples and named tuples; anything else is
            handed on.
        function: From a tensor to what replaces it.

    Example:
        >>> map_tensors({"a": [torch.zeros(2), 3]}, lambda tensor: tensor.numel())
        {'a': [2, 3]}
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, function) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(map_tensors(item, function) for item in value)
    return value


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode under ``no_grad``; afterwards it is as it was.

    What code puts into its modules as it runs (tables for another image size, caches,
    further modules) goes with the modes.
    """
    before = [(module.training, _contents(module)) for module in model.modules()]
    forget_caches_(model)
    if any(training for training, _ in before):
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        # Not train(): some hosts override it to keep norms frozen.
        for _, contents in before:
            for live, old in contents:
                live.clear()
                live.update(old)


def _contents(module: nn.Module) -> list[tuple[Any, Any]]:
    return [(table, copy.copy(table)) for table in _tables(module)]


def _tables(module: nn.Module) -> list[Any]:
    """Return where a module keeps what belongs to it; its attributes last."""
    inner = (module._parameters, module._buffers, module._modules)
    own = vars(module)
    # dicts that code fills as it runs, such as biases by device
    kept = [value for value in own.values() if type(value) is dict]
    return [*kept, *inner, module._non_persistent_buffers_set, own]


def forget_caches_(model: nn.Module) -> None:
    """Let modules forget what they computed from their parameters and kept.

    Attention with biases of places keeps them by device in eval mode and forgets them
    in ``train()``; so that is called if a dict of tensors is found. Modes stay.
    """
    modules = list(model.modules())
    if not any(_has_cache(module) for module in modules):
        return
    modes = [module.training for module in modules]
    model.train()
    model.eval()
    for module, training in zip(modules, modes, strict=True):
        module.training = training


def _has_cache(module: nn.Module) -> bool:
    return any(
        type(value) is dict
        and name not in _TORCH
        and any(isinstance(item, Tensor) for item in value.values())
        for name, value in vars(module).items()
    )


_TORCH = frozenset(vars(nn.Module()))


@contextmanager
def as_in_training(model: nn.Module) -> Iterator[None]:
    """Put a model into train mode; modes and ``requires_grad`` come back.

    Batch norms use their running statistics and dropout is off, so that one image is
    enough, nothing is averaged in, and little is random.
    """
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.train()  # hosts freeze stages here
    quiet = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
    for module in modes:
        if isinstance(module, quiet):
            module.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, wants in wanted.items():
            parameter.requires_grad_(wants)


@contextmanager
def keeping_state(model: nn.Module) -> Iterator[None]:
    """Undo what runs change in parameters, buffers and random states.

    Within it the random numbers are the same every time.
    """
    tensors = {id(t): t for t in chain(model.parameters(), model.buffers())}
    before = [(t, t.data, t.detach().clone()) for t in tensors.values()]
    devices = {t.device for t in tensors.values() if t.is_cuda}
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for tensor, data, values in before:
            if not torch.equal(data, values):
                data.copy_(values)
            if tensor.data_ptr() != data.data_ptr():
                tensor.data = data


@contextmanager
def without_fused_layers() -> Iterator[None]:
    """Keep transformer layers from fusing themselves into one opaque operation."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return device and dtype of the first floating-point parameter or buffer."""
    for group in (model.parameters(), model.buffers()):
        for tensor in group:
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.get_default_dtype()
