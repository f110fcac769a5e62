"""Checkpoints of wrapped models, and of models with children of such names."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmrazor.core.hooks import CheckCheckpointHook
from mmrazor.core.hooks.check_checkpoint_hook import WrongCheckpointError


def hooked(model, state):
    checkpoint = {"state_dict": state}
    CheckCheckpointHook().after_load_checkpoint(
        SimpleNamespace(model=model), checkpoint
    )
    return checkpoint["state_dict"]


@pytest.mark.parametrize("child", ["fc", "module", "architecture"])
@pytest.mark.parametrize("prefix", ["", "module.", "architecture."])
def test_names_are_those_of_the_model(child, prefix):
    model = nn.ModuleDict({child: nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    own = model.state_dict()
    stored = {prefix + name: value for name, value in own.items()}
    assert list(hooked(model, stored)) == list(own)


def test_some_names_of_a_wrapper_are_not_enough():
    model = nn.ModuleDict({"head": nn.Linear(2, 1), "fc": nn.Linear(2, 2)})
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    state["step"] = torch.zeros(1)
    with pytest.raises(WrongCheckpointError, match="lacks 4 of 4 weights"):
        hooked(model, state)
