from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmrazor.core.graph import channel_graph
from mmrazor.core.graph.trace import trace


class InPlace(nn.Module):
    """Changes the shape of what an operation returned."""

    def __init__(self, change: str, *dims: int) -> None:
        super().__init__()
        self.change, self.dims = change, dims

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        getattr(y, self.change)(*self.dims)
        return y * 2


@pytest.mark.parametrize("size", [3, 300], ids=["small", "large"])
@pytest.mark.parametrize(
    ("change", "dims"),
    [
        ("transpose_", (0, 1)),
        ("t_", ()),
        ("squeeze_", ()),
        ("unsqueeze_", (0,)),
    ],
)
def test_results_keep_the_shape_that_they_had(change, dims, size) -> None:
    given = (2, size, 80) if change == "transpose_" else (2, 100 * size)
    if change == "squeeze_":
        given = (2, 1, 100 * size)
    calls = trace(InPlace(change, *dims), torch.rand(given)).calls
    assert [call.name.split("::")[1] for call in calls] == [
        *("add", change.rstrip("_"), "mul")
    ]
    assert tuple(calls[0].result.shape) == given
    assert tuple(calls[1].args[0].shape) == given
    changed = tuple(getattr(torch.rand(given), change)(*dims).shape)
    assert tuple(calls[1].result.shape) == tuple(calls[2].args[0].shape) == changed
    assert calls[1].args[0] is calls[0].result


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
def test_recurrent_layers_with_the_batch_first(kind: type[nn.RNNBase]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 8)
            self.l = kind(8, 6, batch_first=True)
            self.o = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.o(self.l(self.a(x))[0])

    graph = channel_graph(Net(), torch.rand(2, 5, 3))
    assert graph.sizes()["a.out"] == 8


def test_inference_mode_hides_no_products() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)
            self.fast = False

        def forward(self, x: Tensor) -> Tensor:
            with torch.inference_mode(self.fast):
                return self.b(torch.einsum("bi,oi->bo", x, self.a.weight).relu())

    net = Net()
    plain = channel_graph(net, torch.rand(2, 4))
    net.fast = True
    fast = channel_graph(net, torch.rand(2, 4))
    assert plain.sizes() == fast.sizes() == {"a.out": 8}
    assert plain.products() == fast.products()
