# Learning Efficient Convolutional Networks through Network Slimming (Liu et al., 2017,
# arXiv:1708.06519). The authors add the subgradient to the scales' gradients by hand;
# here the penalty is one of the losses, which is the same and shows in the log.
"""Network Slimming: an L1 penalty on the scales of norms picks the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ....registry import MODELS
from ..base import Algorithm


def scale_penalty(scales: Sequence[Tensor]) -> Tensor:
    """Return the sum of absolute values of scales, equation 1 of the paper.

    Args:
        scales: Scales of norm layers, each of shape ``(C,)``.

    Example:
        >>> float(scale_penalty([torch.tensor([1., -2.]), torch.tensor([0.5])]))
        3.5
    """
    return torch.stack([scale.abs().sum() for scale in scales]).sum()


@MODELS.register_module()
class NetworkSlimming(Algorithm):
    """Train with a penalty on the scales of prunable norms, then prune by them.

    The loss is ``task + sparsity_weight * sum |gamma|`` (equation 1) until the pruner
    has reached its budget, and the task's own from then on. A schedule with ``begin``
    equal to ``end`` prunes once, as in the paper.

    Args:
        architecture: As for :class:`~mmrazor.models.algorithms.Algorithm`.
        pruner: Config of the pruner; it needs a schedule, and its importance is
            ``BNScaleImportance`` if none is given.
        sparsity_weight: Factor of the penalty, ``lambda`` in the paper, at least 0;
            there 1e-4 for VGG and 1e-5 for ResNet and DenseNet on CIFAR.
        **kwargs: As for ``Algorithm``: ``teacher``, ``distiller`` and so on.

    Raises:
        ValueError: If the pruner has no schedule, the weight is negative, or no
            prunable norm has a scale.
    """

    def __init__(
        self,
        architecture: Any,
        pruner: dict,
        sparsity_weight: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        if sparsity_weight < 0:
            raise ValueError(f"sparsity_weight={sparsity_weight} must be at least 0.")
        settings = {"importance": {"type": "BNScaleImportance"}, **pruner}
        super().__init__(architecture, pruner=settings, **kwargs)
        if self.pruner.schedule is None:
            raise ValueError(
                "NetworkSlimming prunes after a training that makes scales small. Give "
                "pruner=dict(..., schedule=dict(type='LinearSchedule', begin=80, "
                "end=80, by_epoch=True))."
            )
        self.sparsity_weight = sparsity_weight
        self.scale_names = self.pruner.slots_of_role(self.architecture, "scale")
        if not self.scale_names:
            raise ValueError(
                f"No prunable channel of {type(self.architecture).__name__} passes a "
                "norm with a scale. Prune by another importance, with "
                "type='mmrazor.Compress'."
            )

    def scales(self) -> list[nn.Parameter]:
        """Return the scales that the penalty is on."""
        named = dict(self.architecture.named_parameters())
        return [named[name] for name in self.scale_names]

    def forward(self, *args: Any, mode: str = "tensor", **kwargs: Any) -> Any:
        """Run the Architecture; in ``loss`` mode add the penalty until it is pruned."""
        outputs = super().forward(*args, mode=mode, **kwargs)
        if mode != "loss" or self.pruner.finished:
            return outputs
        penalty = self.sparsity_weight * scale_penalty(self.scales())
        return {**outputs, "loss_sparsity": penalty}
