"""Taylor and Fisher scores against gradients taken in another way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from mmrazor.apis.gradient_importance import (
    batch_size_for,
    calibrated,
    reads_gradients,
)
from mmrazor.core.graph import channel_graph
from mmrazor.models.pruners import (
    FisherImportance,
    ImportanceError,
    L1Importance,
    TaylorImportance,
    cost_table,
)


class Net(BaseModel):
    """Two readers of the same channels, with a gate of ones on them."""

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.read = nn.Conv2d(6, 4, 3)
        self.also = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Any = None,
        mode: str = "tensor",
        gate: Tensor | None = None,
    ) -> Any:
        x = self.norm(self.make(inputs)).relu()
        x = x if gate is None else x * gate.view(1, -1, 1, 1)
        y = self.read(x).mean((2, 3)) + self.also(x).amax((2, 3))
        logits = self.head(y.relu())
        if mode == "tensor":
            return logits
        labels = torch.as_tensor(data_samples)
        return {"loss": functional.cross_entropy(logits, labels)}


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    nn.init.normal_(net.norm.running_mean)
    return net.eval()


def batches(size: int, num: int = 3) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "inputs": torch.randn(size, 3, 8, 8, generator=generator),
            "data_samples": [i % 2] * size,
        }
        for i in range(num)
    ]


def graph_of(net: Net):
    return channel_graph(net, {"inputs": torch.randn(1, 3, 8, 8)})


def test_fisher_is_the_squared_gradient_of_a_gate_added_up(net: Net) -> None:
    data, graph = batches(size=1), graph_of(net)
    group = graph["make.out"]
    expected = torch.zeros(6)
    for batch in data:
        gate = torch.ones(6, requires_grad=True)
        net(**batch, mode="loss", gate=gate)["loss"].backward()
        expected += gate.grad.square()
    net.zero_grad()
    counted = []
    found = calibrated(
        dict(type="FisherImportance", normalize=None),
        graph,
        data,
        lambda: counted.append(1),
    )
    assert len(counted) == 3
    assert isinstance(found, FisherImportance)
    torch.testing.assert_close(found(group).float(), expected)
    # By default divided by the MACs that one channel saves.
    saved = 8 * 8 * 9 * 3 + 6 * 6 * 9 * 4 + 8 * 8 * 4
    assert cost_table(graph).savings({})["make.out"].macs == saved
    by_macs = calibrated("mmrazor.FisherImportance", graph, data)
    torch.testing.assert_close(by_macs(group).float(), expected / saved)
    given = dict(type="FisherImportance", normalize="activations")
    by_memory = calibrated(given, graph, data)
    torch.testing.assert_close(by_memory(group).float(), expected / (8 * 8))
    assert all(parameter.grad is None for parameter in net.parameters())


class Odd(Net):
    """A depthwise layer, and channels that only a norm reads before they are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.lone = nn.Conv2d(3, 5, 1)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Any = None,
        mode: str = "tensor",
        gate: Tensor | None = None,
    ) -> Any:
        scale = 1 if gate is None else gate.view(1, -1, 1, 1)
        x = self.deep(self.norm(self.make(inputs)).relu() * scale).relu() * scale
        lone = self.lone(inputs).sigmoid().sum((1, 2, 3))
        logits = self.head(self.read(x).mean((2, 3))) + lone[:, None] * torch.ones(2)
        if mode == "tensor":
            return logits
        return {"loss": (logits * torch.arange(2.0)).square().mean()}


def test_depthwise_layers_read_and_what_nothing_reads_is_frozen() -> None:
    torch.manual_seed(0)
    net, data = Odd().eval(), batches(size=1)
    graph, expected = graph_of(net), torch.zeros(6)
    for batch in data:
        gate = torch.ones(6, requires_grad=True)
        net(**batch, mode="loss", gate=gate)["loss"].backward()
        expected += gate.grad.square()
    net.zero_grad()
    assert "lone.out" in [group.name for group in graph.groups]
    found = calibrated(dict(type="FisherImportance", normalize=None), graph, data)
    torch.testing.assert_close(found(graph["make.out"]).float(), expected)
    assert "read by no convolution" in graph.unprunable["lone.out"]


def test_taylor_is_the_mean_over_batches(net: Net) -> None:
    data, graph = batches(size=4), graph_of(net)
    expected = torch.zeros(6)
    for batch in data:
        net.zero_grad()
        net(**batch, mode="loss")["loss"].backward()
        effect = net.make.weight * net.make.weight.grad
        expected += effect.abs().sum((1, 2, 3)).detach() / len(data)
    net.zero_grad()
    found = calibrated("TaylorImportance", graph, data)
    torch.testing.assert_close(found(graph["make.out"]).float(), expected)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.training


def test_which_importances_read_gradients() -> None:
    for given in ("TaylorImportance", TaylorImportance(), "FisherImportance"):
        assert reads_gradients(given)
    assert reads_gradients(FisherImportance())
    for given in ("L1Importance", L1Importance()):
        assert not reads_gradients(given)
    assert reads_gradients(dict(type="mmrazor.FisherImportance"))
    assert batch_size_for("FisherImportance", 8) == 1
    assert batch_size_for("TaylorImportance", 8) == 8
    with pytest.raises(ValueError, match="Near names: TaylorImportance"):
        reads_gradients("TaylerImportance")


def test_faults(net: Net) -> None:
    graph = graph_of(net)
    with pytest.raises(ValueError, match="There is no batch"):
        calibrated("TaylorImportance", graph, [])
    bad = [{**batches(1)[0], "inputs": torch.full((1, 3, 8, 8), torch.nan)}]
    with pytest.raises(ValueError, match="loss of training batch 0 is nan"):
        calibrated("TaylorImportance", graph, bad)
    plain = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(
        ValueError, match="Sequential is a plain torch module, which has"
    ):
        calibrated("TaylorImportance", channel_graph(plain, torch.rand(1, 3)), [])
    found = calibrated("TaylorImportance", graph, batches(1))
    other = channel_graph(plain, torch.rand(1, 3)).groups[0]
    with pytest.raises(ImportanceError, match=r"Group '0.out' was not scored"):
        found(other)
