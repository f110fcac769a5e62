"""What a trace keeps of large tensors, and that counting from it misses nothing."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from mmrazor.core.cost import count_cost
from mmrazor.core.graph import trace
from mmrazor.core.graph.stand_ins import _SMALL, StandIns


class Reusing(nn.Module):
    """Changes features in place, by views too, and writes into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.register_buffer("table", torch.zeros(2 * _SMALL))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu_()
        x.transpose_(2, 3)
        self.table.add_(1)
        return x.mul_(2) + self.table[0]


def test_one_object_stands_for_one_tensor() -> None:
    model, x = Reusing(), torch.rand(1, 3, 64, 64)
    recorded = trace(model, x)
    calls = {call.name.removeprefix("aten::"): call for call in recorded.calls}
    features = calls["convolution"].result
    assert features.is_meta
    assert features.shape == (1, 8, 64, 64)
    assert calls["relu"].args[0] is features
    assert calls["relu"].result is features
    turned = calls["transpose"].result
    assert turned.stride() == (8 * 64 * 64, 64 * 64, 1, 64)
    assert calls["mul"].args[0] is turned
    last = recorded.calls[-1]
    assert last.args[0] is turned
    assert list(recorded.outputs()) == [last.result]
    assert last.result.is_meta
    assert not recorded.output.is_meta  # what the model returned is there
    assert recorded.output.shape == last.result.shape


def test_what_the_model_holds_stands_for_itself() -> None:
    model, x = Reusing(), torch.rand(1, 3, 64, 64)
    calls = trace(model, x).calls
    assert calls[0].args[0] is x
    assert calls[0].args[1] is model.conv.weight
    written = [call for call in calls if call.args[0] is model.table]
    assert written[0].result is model.table
    assert len(written) == 2  # written to, and read


def test_a_new_tensor_with_the_same_id_is_another() -> None:
    stand_ins = StandIns()
    first = torch.zeros(2 * _SMALL)
    old = stand_ins.of_result(first, (), {})
    assert stand_ins.of([1, first])[1] is old
    number = id(first)
    del first
    for _ in range(100):  # until one gets the id
        second = torch.ones(2 * _SMALL)
        if id(second) == number:
            break
        kept = second
        del kept
    assert stand_ins.of(second) is second
    assert stand_ins.of_result(second, (), {}) is not old


def test_small_tensors_and_indices_are_kept() -> None:
    stand_ins = StandIns()
    for value in (torch.zeros(4), torch.arange(2 * _SMALL), 3, None):
        assert stand_ins.of_result(value, (), {}) is value
    pair = stand_ins.of_result((torch.zeros(2), torch.zeros(2 * _SMALL)), (), {})
    assert [part.is_meta for part in pair] == [False, True]


MODELS = {
    "convolutions": lambda: torchvision.models.shufflenet_v2_x0_5(weights=None),
    "attention": lambda: torchvision.models.VisionTransformer(64, 8, 2, 2, 16, 32),
    "windows": lambda: torchvision.models.SwinTransformer(
        [4, 4], 16, [1, 1], [2, 4], [4, 4]
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_count_from_a_trace_is_that_of_a_run(name: str) -> None:
    model, x = MODELS[name]().eval(), torch.rand(1, 3, 64, 64)
    assert count_cost(model, x, trace(model, x)) == count_cost(model, x)


class Composite(nn.Module):
    """Runs an operation whole that is not counted as such."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.fc(x)


def test_what_a_trace_does_not_tell_is_run() -> None:
    model, x = Composite(), torch.rand(2, 6)
    recorded = trace(model, x)
    assert count_cost(model, x, recorded).macs == 2 * 6 * 4


def test_what_is_not_counted_is_listed_from_a_trace_too() -> None:
    def forward(x: Tensor) -> Tensor:
        return torch.fft.rfft(x).real

    model = nn.Module()
    model.forward = forward  # type: ignore[method-assign]
    x = torch.rand(2, 8)
    expected = count_cost(model, x)
    assert expected.uncounted
    assert count_cost(model, x, trace(model, x)) == expected
