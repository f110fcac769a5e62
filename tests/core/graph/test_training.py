from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from mmrazor.core.cost import count_cost
from mmrazor.core.graph import channel_graph, example_inputs, slim, trace
from mmrazor.core.graph.training import (
    train_mode_trial,
    training_inputs,
    training_traces,
    unused_parameters,
)
from mmrazor.models.architectures import build_architecture
from mmrazor.models.pruners import cost_table
from tests.tiny_models import segmentor

AUXILIARY = dict(
    type="FCNHead",
    in_channels=16,
    in_index=2,
    channels=8,
    num_convs=1,
    concat_input=False,
    num_classes=3,
    norm_cfg=dict(type="BN"),
    align_corners=False,
    loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4),
)


class Twofold(BaseModel):
    """A trunk, a head, and another head that training alone runs."""

    def __init__(self, broken: str = "") -> None:
        super().__init__()
        self.trunk = nn.Linear(4, 6)
        self.head = nn.Linear(6, 2)
        self.extra = nn.Linear(6, 3)
        self.broken = broken

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"):
        hidden = self.trunk(inputs).relu()
        if mode != "loss":
            return self.head(hidden)
        if self.broken and (not self.training or self.broken != "in eval mode"):
            raise KeyError("gt_masks")
        loss = self.head(hidden).sum() + self.extra(hidden).square().sum()
        return {"loss": loss}


def inputs_of(mode: str = "tensor") -> dict[str, Any]:
    return {"inputs": torch.rand(1, 4), "data_samples": ["a"], "mode": mode}


def test_a_head_of_training_shrinks_with_what_it_reads() -> None:
    model = Twofold()
    graph = channel_graph(model, inputs_of())
    (group,) = [group for group in graph.groups if group.name == "trunk.out"]
    assert ("extra.weight", 1) in [(slot.name, slot.axis) for slot in group.slots]
    # It costs parameters, and no MACs.
    cost = cost_table(graph).cost({"trunk.out": 4})
    assert cost.macs == 4 * 4 + 4 * 2
    assert cost.params == (4 * 4 + 4) + (4 * 2 + 2) + (4 * 3 + 3)
    small = slim(model, graph.cuts({"trunk.out": [0, 2, 3, 5]}))
    expected = model.extra.weight[:, [0, 2, 3, 5]]
    assert torch.equal(small.extra.weight, expected)
    small(**inputs_of("loss"))["loss"].backward()


def test_other_inputs_may_be_named_or_left_out() -> None:
    model = Twofold()
    for also, found in (([], False), ([inputs_of("loss")], True)):
        graph = channel_graph(model, inputs_of(), also=also)
        names = [slot.name for slot in graph["trunk.out"].slots]
        assert ("extra.weight" in names) is found


def test_auxiliary_head_of_a_segmentor() -> None:
    pytest.importorskip("mmcv")
    model = build_architecture(segmentor(auxiliary_head=AUXILIARY))
    inputs = example_inputs(model, (64, 64), batch_size=2)
    graph = channel_graph(model, inputs)
    names = [group.name for group in graph.groups]
    assert "auxiliary_head.convs.0.conv.out" in names
    assert graph.unprunable["decode_head.conv_seg.out"] == "is an output of the network"
    assert "auxiliary_head.conv_seg.out" in graph.unprunable
    kept = {group.name: range(0, group.size, 2) for group in graph.groups}
    small = slim(model, graph.cuts(kept))
    table, counts = cost_table(graph), {name: len(k) for name, k in kept.items()}
    assert table.cost(counts).macs == count_cost(small, inputs).macs
    assert table.cost(counts).params == count_cost(small, inputs).params
    losses = small.train()(**training_inputs(model, inputs))
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert small.auxiliary_head.convs[0].conv.weight.grad is not None


def test_nothing_is_run_twice_without_need() -> None:
    model, inputs = Twofold(), inputs_of()
    recorded = trace(model, inputs)
    assert unused_parameters(model, recorded) == ["extra.weight", "extra.bias"]
    assert len(training_traces(model, inputs, recorded)) == 1
    model.extra = nn.Identity()
    assert training_traces(model, inputs, recorded) == []
    assert training_inputs(model, inputs_of("loss")) is None
    assert training_inputs(model, {"inputs": torch.rand(1, 4)}) is None
    assert training_inputs(nn.Linear(4, 2), inputs_of()) is None
    assert training_inputs(model, (torch.rand(1, 4),)) is None


def test_losses_that_run_in_train_mode_alone() -> None:
    model = Twofold(broken="in eval mode").eval()
    graph = channel_graph(model, inputs_of())
    assert "extra.weight" in [slot.name for slot in graph["trunk.out"].slots]
    assert not model.training


def test_training_that_does_not_run_is_said() -> None:
    model = Twofold(broken="always")
    lines = []

    def note(text: str, **kwargs: Any) -> None:
        lines.append((text, kwargs["level"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmrazor.core.graph.training.print_log", note)
        graph = channel_graph(model, inputs_of())
    ((text, level),) = lines
    assert level == 30
    assert "2 parameters, such as 'extra.weight', are not used in tensor mode" in text
    assert "KeyError: 'gt_masks'" in text
    assert graph.groups == []
    assert graph.unprunable["trunk.out"] == (
        "may be read by 'extra' (6 channels), which no example input runs"
    )


class Auxiliary(nn.Module):
    """A plain network with a head that train mode alone runs.

    Args:
        norm: Follows the stem.
    """

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.norm = norm or nn.BatchNorm2d(8)
        self.neck, self.head = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 2, 1)
        self.aux = nn.Sequential(nn.Conv2d(8, 5, 1), nn.Flatten(), nn.Linear(80, 2))
        self.register_buffer("seen", torch.zeros(()))
        self.momentum = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, x: Tensor) -> Any:
        stem = self.norm(self.stem(x)).relu()
        out = self.head(self.neck(stem).relu())
        if not self.training:
            return out
        self.seen += 1
        self.momentum.mul_(0.9)
        self.last = functional.dropout(stem) * random.random() * np.random.rand()
        return out, self.aux(stem)


def image_of(size: int = 4) -> Tensor:
    return torch.rand(1, 3, size, size)


def test_train_mode_of_a_plain_model_is_followed() -> None:
    model = Auxiliary().eval()
    graph = channel_graph(model, image_of())
    places = {slot.name: slot.axis for slot in graph["stem.out"].slots}
    assert places["aux.0.weight"] == 1
    assert graph["aux.0.out"].size == 5  # a group of its own, flattened to 80
    kept = {group.name: range(group.size // 2) for group in graph.groups}
    small = slim(model, graph.cuts(kept)).train()
    assert (small.aux[0].out_channels, small.aux[2].in_features) == (2, 32)
    out, aux = small(torch.rand(2, 3, 4, 4))
    (out.sum() + aux.sum()).backward()


def test_following_training_leaves_a_model_and_the_world_as_they_were() -> None:
    model = Auxiliary().eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    attributes, x = set(vars(model)), image_of()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    train_mode_trial(model, x)
    assert len(training_traces(model, x, trace(model, x))) == 1
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert set(vars(model)) == attributes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])


class Choosy(nn.Module):
    """A norm that is none of torch's own and wants more than one image."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) < 2:
            raise ValueError("Expected more than 1 value per channel when training")
        return x


def test_a_plain_model_that_does_not_train_is_pruned_and_it_is_said() -> None:
    model = Auxiliary(Choosy()).eval()
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mmrazor.core.graph.training.print_log",
            lambda text, **kwargs: lines.append((text, kwargs["level"])),
        )
        graph = channel_graph(model, image_of())
        assert train_mode_trial(model, image_of()) is None
    (text, level), (said, info) = lines
    assert (level, info) == (30, 20)
    assert "5 parameters, such as 'momentum', are not used in eval mode" in text
    assert "Expected more than 1 value" in text
    assert "does not run in train mode" in said
    assert [group.name for group in graph.groups] == ["neck.out"]
    assert "may be read by 'aux.0'" in graph.unprunable["stem.out"]
    two = torch.rand(2, 3, 4, 4)
    assert "stem.out" in [group.name for group in channel_graph(model, two).groups]


def test_a_trial_in_train_mode_raises_what_the_small_model_raises() -> None:
    model = Auxiliary().eval()
    trial = train_mode_trial(model, [image_of(), image_of(4)])
    assert trial is not None
    trial(model)
    model.aux[0] = nn.Conv2d(7, 5, 1)
    with pytest.raises(RuntimeError, match="expected input"):
        trial(model)


class Cached(Twofold):
    """Has a table for inference that training computes anew, in loss mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(3, 6))

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"):
        hidden = self.trunk(inputs).relu()
        if self.training:
            hidden = hidden + self.table[torch.tensor([0])]
        if mode == "loss":
            return {"loss": self.extra(hidden).sum()}
        return self.head(hidden)


def test_loss_mode_is_followed_in_train_mode_if_parts_are_left() -> None:
    graph = channel_graph(Cached(), inputs_of())
    slots = {(slot.name, slot.axis) for slot in graph["trunk.out"].slots}
    assert {("extra.weight", 1), ("table", 1)} <= slots
    small: Any = slim(Cached(), graph.cuts({"trunk.out": [0, 2]}))
    small.train()(**inputs_of("loss"))["loss"].backward()
