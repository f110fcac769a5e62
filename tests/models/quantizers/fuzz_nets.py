"""Random small networks with what makes quantization go wrong unnoticed.

A network is a list of steps on a feature map, made from plain data, so that hypothesis
can make it small. Layers are drawn from a pool: a step may use a layer again, a layer
with the weight or the bias of another one, or the weight of another one by a call of a
function. Norms are skipped, shared or read by others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 6
TIED = ("tied weight", "tied bias", "functional", "transposed", "scaled", "einsum")
KINDS = (
    *TIED,
    "conv",
    "again",
    "pointwise",
    "depthwise",
    "attention",
    "lstm",
    "gru",
    "rnn",
    "pool",
)


@dataclass(frozen=True)
class Step:
    """One step of a network.

    Args:
        kind: One of ``KINDS``.
        source: Which earlier layer is taken again or tied, counted from the last.
        norm: ``none``; ``own`` behind it; ``shared`` with the first one; ``skipped`` by
            a branch; ``late``, behind the activation.
        relu: Whether an activation follows.
        join: How what went in comes back: ``none``, ``add``, ``cat`` or ``mul``.
    """

    kind: str
    source: int = 0
    norm: str = "none"
    relu: bool = True
    join: str = "none"


STEPS = st.builds(
    Step,
    kind=st.sampled_from(KINDS),
    source=st.integers(0, 3),
    norm=st.sampled_from(["none", "own", "own", "shared", "skipped", "late"]),
    relu=st.booleans(),
    join=st.sampled_from(["none", "none", "add", "cat", "mul"]),
)
NETS = st.lists(STEPS, min_size=1, max_size=6)


class RandomNet(nn.Module):
    """A network of steps on images of three channels.

    Args:
        steps: The steps.
        seed: Of its numbers.
    """

    def __init__(self, steps: list[Step], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.steps = steps
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(WIDTH)
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for step in steps:
            self.layers.append(self._layer(step))
            self.norms.append(nn.BatchNorm2d(WIDTH))
        self.joints = nn.ModuleList(nn.Conv2d(2 * WIDTH, WIDTH, 1) for _ in steps)
        self.head = nn.Linear(WIDTH, 5)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 2.5)
                nn.init.normal_(module.bias, 0, 0.2)
        self.eval()

    def _layer(self, step: Step) -> nn.Module:
        kind = step.kind
        if kind == "again":
            return self._earlier(step)
        if kind in ("lstm", "gru", "rnn"):
            types: dict[str, Any] = dict(lstm=nn.LSTM, gru=nn.GRU, rnn=nn.RNN)
            return types[kind](WIDTH, WIDTH, batch_first=True)
        if kind == "attention":
            return nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        if kind == "pointwise":
            return nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
        if kind == "depthwise":
            return nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)
        if kind == "pool":
            return nn.MaxPool2d(3, 1, 1)
        layer = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        if kind == "tied weight":
            layer.weight = self._earlier(step).weight
        if kind == "tied bias":
            layer.bias = self._earlier(step).bias
        return layer

    def _earlier(self, step: Step) -> Any:
        """Return an earlier plain convolution; the stem has another shape."""
        convs = [
            layer
            for layer in self.layers
            if isinstance(layer, nn.Conv2d)
            and layer.weight.shape == (WIDTH, WIDTH, 3, 3)
            and layer.bias is not None
        ]
        if not convs:
            return nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        return convs[-1 - step.source % len(convs)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(self.stem(x)).relu()
        for step, layer, norm, joint in zip(
            self.steps, self.layers, self.norms, self.joints, strict=True
        ):
            y = self._normed(step, self._called(step, layer, x), norm)
            y = self._read_again(step, layer, x, y)
            if step.join == "add":
                y = y + x
            elif step.join == "cat":
                y = joint(torch.cat([x, y], 1))
            elif step.join == "mul":
                y = y * x.mean((2, 3), keepdim=True).sigmoid()
            x = y
        return self.head(x.mean((2, 3)))

    def _called(self, step: Step, layer: Any, x: Tensor) -> Tensor:
        if step.kind in ("lstm", "gru", "rnn", "attention"):
            tokens = x.flatten(2).transpose(1, 2)
            if step.kind == "attention":
                tokens = layer(tokens, tokens, tokens, need_weights=False)[0]
            else:
                tokens = layer(tokens)[0]
            return tokens.transpose(1, 2).unflatten(2, x.shape[2:])
        return layer(x)

    def _read_again(self, step: Step, layer: Any, x: Tensor, y: Tensor) -> Tensor:
        """Read the parameters of a layer once more, behind its norm."""
        if step.kind == "functional":
            return y + F.conv2d(x, layer.weight, padding=1)
        if step.kind == "transposed":
            return F.conv2d(y, layer.weight.transpose(0, 1), padding=1)
        if step.kind == "scaled":
            return y + layer.bias.view(-1, 1, 1) * x
        if step.kind == "einsum":
            return torch.einsum("oi,bihw->bohw", layer.weight[:, :, 1, 1], y)
        return y

    def _normed(self, step: Step, y: Tensor, norm: nn.Module) -> Tensor:
        if step.norm == "skipped":
            return (norm(y).relu() if step.relu else norm(y)) + y
        if step.norm == "late":
            return norm(y.relu())
        if step.norm == "own":
            y = norm(y)
        if step.norm == "shared":
            y = self.first_norm(y)
        return y.relu() if step.relu else y
