# What a model runs in training alone (auxiliary heads, mostly) reads channels too. It
# costs nothing later, but a pruned model that cannot be trained is of no use.
"""The forward pass of training, where it runs more than inference."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from .trace import OpTrace, TraceError, tensors_in, trace


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


def unused_parameters(model: nn.Module, recorded: OpTrace) -> list[str]:
    """Return the names of the parameters that no operation of a trace took.

    Example:
        >>> import torch
        >>> pair = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2)])
        >>> unused_parameters(pair, trace(pair[0], torch.ones(1, 2)))
        ['1.weight', '1.bias']
    """
    used = {
        id(tensor)
        for call in recorded.calls
        for tensor in tensors_in([call.args, call.kwargs])
    }
    return [name for name, p in model.named_parameters() if id(p) not in used]


def training_traces(model: nn.Module, inputs: Any, recorded: OpTrace) -> list[OpTrace]:
    """Trace the training forward if it may run what inference does not.

    Args:
        model: The model.
        inputs: What it was traced with.
        recorded: That trace.

    Returns:
        One trace or none.
    """
    extra = training_inputs(model, inputs)
    unused = unused_parameters(model, recorded) if extra is not None else []
    if not unused:
        return []
    refusal: TraceError | None = None
    for training in (False, True):  # some losses run in train mode alone
        try:
            return [trace(model, extra, training=training)]
        except TraceError as err:
            refusal = refusal or err
    print_log(
        f"{len(unused)} parameters, such as '{unused[0]}', are not used in "
        f"{inputs['mode']} mode, and loss mode does not run on the example inputs: "
        f"{refusal} They keep their size; if training uses them, leave the parts that "
        "they read out of the pruning.",
        logger="current",
        level=logging.WARNING,
    )
    return []
