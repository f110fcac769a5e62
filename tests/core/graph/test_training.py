from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmrazor.core.cost import count_cost
from mmrazor.core.graph import channel_graph, example_inputs, slim, trace
from mmrazor.core.graph.training import (
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
