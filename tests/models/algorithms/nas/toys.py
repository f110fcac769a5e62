"""Small supernets on vectors, and Algorithms around them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mmrazor.models.mutables import DiffMutableOP, OneHotMutableOP, OneShotMutableOP

FIRST = dict(
    inputs=torch.linspace(-1, 1, 12).view(4, 3), data_samples=torch.tensor([0, 1, 1, 0])
)
SECOND = dict(
    inputs=torch.linspace(2, -1, 12).view(4, 3).sin(),
    data_samples=torch.tensor([1, 1, 0, 0]),
)
KINDS: dict[str, Any] = dict(
    diff=DiffMutableOP, one_hot=OneHotMutableOP, one_shot=OneShotMutableOP
)


class Net(BaseModel):
    """A stem, two places of three layers each, a head."""

    def __init__(self, kind: str = "diff", norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4) if norm else nn.Identity()
        self.first = KINDS[kind]({key: nn.Linear(4, 4) for key in "abc"})
        self.last = KINDS[kind]({key: nn.Linear(4, 4) for key in "abc"})
        self.head = nn.Linear(4, 2)

    def forward(
        self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"
    ) -> Any:
        x = self.norm(self.stem(inputs)).tanh()
        x = self.last(self.first(x).tanh()).tanh()
        logits = self.head(x)
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, torch.as_tensor(data_samples))}
        return logits


def two(model: nn.Module, alpha_lr: float = 0.1, **settings: Any) -> OptimWrapperDict:
    """Return SGD for the weights and for the architecture parameters."""
    named = dict(model.named_parameters())
    alphas = [p for name, p in named.items() if name.endswith(".alpha")]
    weights = [p for name, p in named.items() if not name.endswith(".alpha")]
    return OptimWrapperDict(
        architecture=OptimWrapper(torch.optim.SGD(weights, **{"lr": 0.1, **settings})),
        mutator=OptimWrapper(torch.optim.SGD(alphas, lr=alpha_lr)),
    )
