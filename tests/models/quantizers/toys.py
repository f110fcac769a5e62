"""Networks whose quantized forward is written by hand, and a hand that quantizes.

``by_hand(x, q, w)`` of a toy does what its forward does; ``q(name, tensor)`` stands
where ONNX Runtime has an activation in integers, ``w(weight)`` where it has a weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrazor.models.quantizers import Quantizer, calibrate_
from mmrazor.models.quantizers.numeric import fake_quantized, scale_and_zero_point
from mmrazor.models.quantizers.settings import QuantSettings

WEIGHT = QuantSettings(granularity="channel", narrow=True)
ACTIVATION = QuantSettings(symmetric=False, signed=False)


class Hand:
    """Sees a float run, then rounds: 8 bits by the least and the greatest number."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Tensor]] = {}
        self.rounds = False

    def q(self, name: str, x: Tensor) -> Tensor:
        if not self.rounds:
            self.seen.setdefault(name, []).append(x.detach().flatten())
            return x
        seen = torch.cat(self.seen[name])
        pair = scale_and_zero_point(seen.min(), seen.max(), ACTIVATION)
        return fake_quantized(x, *pair, ACTIVATION)

    def w(self, weight: Tensor, axis: int = 0) -> Tensor:
        if not self.rounds:
            return weight
        rows = weight.detach().movedim(axis, 0).flatten(1)
        pair = scale_and_zero_point(rows.amin(1), rows.amax(1), WEIGHT)
        return fake_quantized(weight, *pair, WEIGHT, axis)

    @torch.no_grad()
    def run(self, net: nn.Module, x: Tensor) -> Tensor:
        net.by_hand(x, self.q, self.w)
        self.rounds = True
        return net.by_hand(x, self.q, self.w)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*(shape or (2, 3, 8, 8)), generator=torch.manual_seed(seed))


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms statistics and factors that matter; return it in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            size = module.running_mean.shape
            module.running_mean.copy_(torch.randn(size, generator=generator) / 4)
            module.running_var.copy_(torch.rand(size, generator=generator) + 0.5)
            if module.weight is not None:
                module.weight.data = torch.randn(size, generator=generator)
                module.bias.data = torch.randn(size, generator=generator) / 4
    return model.eval()


def calibrated(model: nn.Module, *batches: Tensor, **kwargs) -> Quantizer:
    quantizer = Quantizer(**kwargs)
    quantizer.prepare_(model, batches[0])
    calibrate_(model, quantizer, batches)
    return quantizer


def conv(num_in: int, num_out: int, size: int = 3, **kwargs) -> nn.Conv2d:
    return nn.Conv2d(num_in, num_out, size, padding=size // 2, **kwargs)


class Chain(nn.Module):
    """conv-bn-relu twice, max-pool between, a linear layer on flat rows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 4, bias=False), nn.BatchNorm2d(4)
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv(4, 6), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.fc(x.flatten(1))

    def by_hand(self, x, q, w):
        def folded(layer, norm):
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            old = 0 if layer.bias is None else layer.bias
            bias = (old - norm.running_mean) * factor + norm.bias
            return w(layer.weight * factor.view(-1, 1, 1, 1)), bias

        x = F.conv2d(q("x", x), *folded(self.conv1, self.bn1), padding=1)
        x = F.max_pool2d(q("relu1", x.relu()), 2)
        x = F.conv2d(x, *folded(self.conv2, self.bn2), padding=1)
        x = q("relu2", x.relu()).reshape(len(x), -1)
        return F.linear(x, w(self.fc.weight), self.fc.bias)


class Residual(nn.Module):
    """A sum in place, then relu in place; the stem is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = conv(3, 4), conv(4, 4), conv(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.last = conv(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.conv2(self.relu(self.conv1(x)))
        y += x
        return self.last(self.relu(y))

    def by_hand(self, x, q, w):
        x = q("stem", F.conv2d(q("x", x), w(self.stem.weight), self.stem.bias, 1, 1))
        y = F.conv2d(x, w(self.conv1.weight), self.conv1.bias, 1, 1)
        y = F.conv2d(q("r", y.relu()), w(self.conv2.weight), self.conv2.bias, 1, 1)
        y = q("sum", (q("y", y) + x).relu())
        return q("last", F.conv2d(y, w(self.last.weight), self.last.bias))


class Concat(nn.Module):
    """Branches, one of them depthwise, joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 6), conv(6, 6, groups=6)
        self.last = conv(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        return self.last(torch.cat([x, F.relu6(self.two(x))], dim=1))

    def by_hand(self, x, q, w):
        x = q("1", F.conv2d(q("x", x), w(self.one.weight), self.one.bias, 1, 1))
        weight = w(self.two.weight)
        y = F.conv2d(x, weight, self.two.bias, padding=1, groups=6)
        x = q("cat", torch.cat([x, q("2", y.clamp(0, 6))], 1))
        return q("last", F.conv2d(x, w(self.last.weight), self.last.bias))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.up = conv(3, 8), conv(8, 2, 1), conv(2, 8, 1)
        self.last = conv(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = self.up(self.down(F.adaptive_avg_pool2d(x, 1)).relu())
        return self.last(x * gate.sigmoid())

    def by_hand(self, x, q, w):
        x = q("s", F.conv2d(q("x", x), w(self.stem.weight), self.stem.bias, 1, 1))
        gate = q("mean", F.adaptive_avg_pool2d(x, 1))
        gate = q("d", F.conv2d(gate, w(self.down.weight), self.down.bias).relu())
        gate = q("u", F.conv2d(gate, w(self.up.weight), self.up.bias))
        x = q("mul", x * q("gate", gate.sigmoid()))
        return q("last", F.conv2d(x, w(self.last.weight), self.last.bias))


class SharedHead(nn.Module):
    """One head on two levels; what decodes its boxes stays in float."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = conv(3, 4), conv(4, 4, stride=2)
        self.head = nn.Sequential(conv(4, 4), nn.ReLU(), conv(4, 4, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        one = self.stem(x)
        return [self.boxes(level) for level in (one, self.down(one))]

    def boxes(self, level: Tensor) -> Tensor:
        centre, size = self.head(level).chunk(2, 1)
        size = size.exp() * 2
        return torch.cat([centre - size / 2, centre + size / 2], 1)

    def by_hand(self, x, q, w):
        one = q("1", F.conv2d(q("x", x), w(self.stem.weight), self.stem.bias, 1, 1))
        two = q("2", F.conv2d(one, w(self.down.weight), self.down.bias, 2, 1))
        boxes = []
        for level in (one, two):
            y = F.conv2d(level, w(self.head[0].weight), self.head[0].bias, padding=1)
            y = F.conv2d(q("h", y.relu()), w(self.head[2].weight), self.head[2].bias)
            centre, size = q("o", y).chunk(2, 1)
            size = size.exp() * 2
            boxes.append(torch.cat([centre - size / 2, centre + size / 2], 1))
        return boxes


class Functional(nn.Module):
    """Weights without a layer: a parameter, and one that a forward standardises."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.raw = nn.Parameter(torch.randn(2, 4, 1, 1))

    def standard(self) -> Tensor:
        return (self.raw - self.raw.mean()) / self.raw.std()

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, padding=1)
        x.relu_()  # what it returns is not used
        return F.conv2d(x, self.standard())

    def by_hand(self, x, q, w):
        x = F.conv2d(q("x", x), w(self.kernel), padding=1).relu()
        return q("last", F.conv2d(q("relu", x), w(self.standard())))


class Attention(nn.Module):
    """``nn.MultiheadAttention`` between linear layers, on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.attention(x, x, x, need_weights=False)[0])

    def by_hand(self, x, q, w):
        x = q("e", F.linear(q("x", x), w(self.embed.weight), self.embed.bias))
        layer, heads = self.attention, []
        for part in range(3):
            weight = layer.in_proj_weight.chunk(3)[part]
            y = F.linear(x, w(weight), layer.in_proj_bias.chunk(3)[part])
            heads.append(y.unflatten(2, (2, 4)).transpose(1, 2))
        query, key, value = heads
        query = q("q", query * 4**-0.5)
        key, value = q("k", key), q("v", value)
        scores = q("scores", query @ key.transpose(-2, -1))
        mixed = q("mixed", q("soft", scores.softmax(-1)) @ value)
        mixed = mixed.transpose(1, 2).flatten(2)
        mixed = F.linear(mixed, w(layer.out_proj.weight), layer.out_proj.bias)
        return F.linear(q("out", mixed), w(self.head.weight), self.head.bias)


ON_IMAGES = (Chain, Residual, Concat, SqueezeExcite, SharedHead, Functional)
