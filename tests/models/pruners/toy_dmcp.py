"""A small network with what makes expected costs and soft reading hard."""

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F

from tests.core.graph.checking import with_random_values

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(BaseModel):
    """A residual stream that one layer both makes and reads, depthwise, a concat."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.tied = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.wide = nn.Conv2d(6, 4, 1)
        self.depth = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.head = nn.Linear(10, 3)
        with_random_values(self)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = self.norm(self.stem(inputs)).relu()
        x = x + self.tied(x).relu()
        y = self.depth(self.wide(x).relu()).relu()
        logits = self.head(torch.cat([x, y], 1).mean((2, 3)))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.tensor(data_samples))}
        return logits
