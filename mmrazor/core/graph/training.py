# What a model runs in training alone (auxiliary heads, mostly) reads channels too. It
# costs nothing later, but a pruned model that cannot be trained is of no use.
"""The forward pass of training, where it runs more than inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from ..forward import as_in_training, call_model, examples_of, keeping_state
from .failing import Run
from .trace import OpTrace, TraceError, running_plain, tensors_in, trace


def training_inputs(model: nn.Module, inputs: Any) -> dict[str, Any] | None:
    """Return what an OpenMMLab model takes in ``loss`` mode, from its other inputs.

    Args:
        model: Any module.
        inputs: What it is called with.

    Returns:
        ``None`` for plain torch models, for inputs without data samples, and if
        ``inputs`` are in ``loss`` mode already.
    """
    if not isinstance(model, BaseModel) or not isinstance(inputs, Mapping):
        return None
    if inputs.get("data_samples") is None or inputs.get("mode") in (None, "loss"):
        return None
    return {**inputs, "mode": "loss"}


def unused_parameters(model: nn.Module, *traces: OpTrace) -> list[str]:
    """Return the names of the parameters that no operation of some traces took.

    Example:
        >>> import torch
        >>> pair = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2)])
        >>> unused_parameters(pair, trace(pair[0], torch.ones(1, 2)))
        ['1.weight', '1.bias']
    """
    used = {
        id(tensor)
        for recorded in traces
        for call in recorded.calls
        for tensor in tensors_in([call.args, call.kwargs])
    }
    return [name for name, p in model.named_parameters() if id(p) not in used]


def training_traces(
    model: nn.Module, inputs: Any, recorded: OpTrace, others: Sequence[OpTrace] = ()
) -> list[OpTrace]:
    """Trace the forward of training if it may run what inference does not.

    That is the ``loss`` mode of an OpenMMLab model whose inputs have data samples, and
    train mode with the same inputs for any other.

    Args:
        model: The model.
        inputs: What it was traced with, or a list of such inputs.
        recorded: The first of these traces.
        others: The rest of them.

    Returns:
        Traces of what ran in training; none if inference uses all parameters.
    """
    unused = unused_parameters(model, recorded, *others)
    found: list[OpTrace] = []
    refusal: TraceError | None = None
    for example in examples_of(inputs):
        extra = training_inputs(model, example)
        # some losses run in train mode alone, and some parts of a model too
        for training in (True,) if extra is None else (False, True):
            if not unused:
                break
            try:
                with keeping_state(model):
                    given = example if extra is None else extra
                    found.append(trace(model, given, training=training))
            except TraceError as err:
                refusal = refusal or err
            else:
                unused = unused_parameters(model, recorded, *others, *found)
    if unused and refusal is not None and not found:
        first = examples_of(inputs)[0]
        mode = first.get("mode") if isinstance(first, Mapping) else None
        loss = training_inputs(model, first) is not None
        print_log(
            f"{len(unused)} parameters, such as '{unused[0]}', are not used in "
            f"{mode or 'eval'} mode, and {'loss' if loss else 'train'} mode does not "
            f"run on the example inputs: {refusal}",
            logger="current",
            level=logging.WARNING,
        )
    return found


def train_mode_trial(model: nn.Module, inputs: Any) -> Run | None:
    """Return a function that runs a model in train mode, and leaves it as it was.

    Args:
        model: A plain torch model; it has to pass itself.
        inputs: What it is called with, or a list of such inputs: those that it does not
            run on in train mode (for want of labels, perhaps) are left out.
    """
    passed: list[Any] = []
    for example in examples_of(inputs):
        try:
            _run_in_training([example], model)
        except Exception as err:  # noqa: BLE001 - user code may raise anything
            text = str(err).splitlines()[0] if str(err) else ""
            print_log(
                f"{type(model).__name__} does not run in train mode on the example "
                f"inputs ({type(err).__name__}: {text}): pruned, it is checked in eval "
                "mode alone.",
                logger="current",
                level=logging.INFO,
            )
        else:
            passed.append(example)
    return partial(_run_in_training, passed) if passed else None


def _run_in_training(examples: Sequence[Any], model: nn.Module) -> None:
    for inputs in examples:
        with running_plain(model), keeping_state(model), as_in_training(model):
            call_model(model, inputs)
