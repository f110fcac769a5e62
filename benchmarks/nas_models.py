"""The two sides of ``nas_cost.py``: our supernets, and Once-for-All's.

Each says how a Subnet is drawn, selected, counted and trained, and makes the plain
network of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from kd_models import batch, optimizer
from prune_peer_side import peer_module
from torch import nn

from mmrazor import count_cost, example_inputs
from mmrazor.core.searchers import CostLimits
from mmrazor.models.algorithms import SPOS

REQUIREMENTS = Path(__file__).with_name("peers_nas.txt")
BACKBONES = {
    "shufflenetv2": dict(type="mmrazor.SearchableShuffleNetV2"),
    "mobilenetv2": dict(type="mmrazor.SearchableMobileNetV2"),
}
_WIDTHS = {"shufflenetv2": 1024, "mobilenetv2": 1728}
Step = Callable[[], object]


class Side(Protocol):
    """What is measured of a supernet."""

    def drawn(self) -> Any:
        """Return a Subnet by chance."""

    def select(self, subnet: Any) -> object:
        """Run as this Subnet from now on."""

    def check(self, subnet: Any) -> object:
        """Find what the Subnet costs, and whether that is within a budget."""

    def macs(self, subnet: Any) -> int:
        """Return what :meth:`check` finds."""

    def real_macs(self, subnet: Any) -> int:
        """Count the plain network by running it."""

    def supernet_step(self, subnet: Any) -> Step:
        """Return a training step: draw, select this Subnet, train it."""

    def plain_step(self, subnet: Any) -> Step:
        """Return a training step of a new plain network of the Subnet."""


class Ours:
    """A supernet trained by SPOS.

    Args:
        name: Of the backbone.
        size: Images in a batch.
        pixels: Their height and width.
        counted: Height and width of the image for which costs are counted.
    """

    def __init__(self, name: str, size: int, pixels: int, counted: int) -> None:
        self.algorithm = SPOS(_classifier(name)).train()
        self.data = batch(size, pixels)
        self.optimizer = optimizer(self.algorithm)
        self.inputs = example_inputs(
            self.algorithm.architecture, image_size=(counted, counted)
        )
        self.space_cost = self.algorithm.space_cost(self.inputs)
        self.rng = np.random.default_rng(0)
        self.limits = CostLimits(
            self.costs, {"macs": 0.9, "params": 0.9}, self.space_cost.range()
        )

    def costs(self, values: dict[str, Any]) -> dict[str, int]:
        """Return MACs and parameters, as a search does."""
        cost = self.space_cost.cost(values)
        return {"macs": cost.macs, "params": cost.params}

    def drawn(self) -> dict[str, Any]:
        """Return values of all Choices."""
        return self.algorithm.space.sample(self.rng)

    def select(self, subnet: dict[str, Any]) -> object:
        """Select the values."""
        return self.algorithm.select_(subnet)

    def check(self, subnet: dict[str, Any]) -> bool:
        """Hold MACs and parameters against a budget."""
        return self.limits(subnet)

    def macs(self, subnet: dict[str, Any]) -> int:
        """Return the MACs by arithmetic."""
        return self.space_cost.cost(subnet).macs

    def real_macs(self, subnet: dict[str, Any]) -> int:
        """Return the MACs of the plain network; parameters must agree as well."""
        cost = count_cost(self.algorithm.subnet_model(subnet), self.inputs)
        assert cost.params == self.space_cost.cost(subnet).params
        return cost.macs

    def supernet_step(self, subnet: dict[str, Any]) -> Step:
        """Return the step of the runner; what it draws is replaced by this Subnet."""

        def step() -> object:
            own = type(self.algorithm).drawn
            self.algorithm.drawn = lambda: (own(self.algorithm), subnet)[1]
            return self.algorithm.train_step(self.data, self.optimizer)

        return step

    def plain_step(self, subnet: dict[str, Any]) -> Step:
        """Return the step of the runner for the plain network."""
        model = self.algorithm.subnet_model(subnet).train()
        wrapper = optimizer(model)
        return lambda: model.train_step(self.data, wrapper)


def _classifier(name: str) -> dict[str, Any]:
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=BACKBONES[name],
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(
            type="mmpretrain.LinearClsHead", num_classes=1000, in_channels=_WIDTHS[name]
        ),
        data_preprocessor=dict(type="mmpretrain.ClsDataPreprocessor", num_classes=1000),
    )


class OnceForAll:
    """Once-for-All's MobileNetV3 supernet (Cai et al., 2020), by its own functions.

    Args:
        folder: Where the package is, or will be.
        size, pixels, counted: As for :class:`Ours`.
    """

    def __init__(self, folder: Path, size: int, pixels: int, counted: int) -> None:
        peer_module(folder, "ofa", REQUIREMENTS)
        networks = import_module("ofa.imagenet_classification.elastic_nn.networks")
        predictors = import_module("ofa.nas.efficiency_predictor")
        self.net = networks.OFAMobileNetV3(
            ks_list=[3, 5, 7],
            expand_ratio_list=[3, 4, 6],
            depth_list=[2, 3, 4],
            dropout_rate=0,
        ).train()
        self.counter = predictors.Mbv3FLOPsModel(self.net)
        self.counted = counted
        generator = torch.Generator().manual_seed(0)
        self.images = torch.rand(size, 3, pixels, pixels, generator=generator)
        self.labels = torch.arange(size) % 1000
        self.optimizer = _sgd(self.net)
        random.seed(0)  # it draws by the random module

    def drawn(self) -> dict[str, list[int]]:
        """Return kernels, expansions and depths."""
        return self.net.sample_active_subnet()

    def select(self, subnet: dict[str, list[int]]) -> object:
        """Set the active Subnet."""
        return self.net.set_active_subnet(**subnet)

    def check(self, subnet: dict[str, list[int]]) -> bool:
        """Hold the MACs, in millions, against a limit."""
        return self._efficiency(subnet) <= 330

    def macs(self, subnet: dict[str, list[int]]) -> int:
        """Return the MACs that its counter finds."""
        return round(1e6 * self._efficiency(subnet))

    def real_macs(self, subnet: dict[str, list[int]]) -> int:
        """Return the MACs of the plain network, counted by running it."""
        image = torch.zeros(1, 3, self.counted, self.counted)
        return count_cost(self._plain(subnet).eval(), image).macs

    def supernet_step(self, subnet: dict[str, list[int]]) -> Step:
        """Return a step of the supernet: draw, select, train."""

        def step() -> object:
            self.net.sample_active_subnet()
            self.net.set_active_subnet(**subnet)
            return self._train(self.net, self.optimizer)

        return step

    def plain_step(self, subnet: dict[str, list[int]]) -> Step:
        """Return the same step of the plain network."""
        model = self._plain(subnet).train()
        own = _sgd(model)
        return lambda: self._train(model, own)

    def _efficiency(self, subnet: dict[str, list[int]]) -> float:
        return self.counter.get_efficiency({**subnet, "image_size": self.counted})

    def _plain(self, subnet: dict[str, list[int]]) -> nn.Module:
        self.net.set_active_subnet(**subnet)
        return self.net.get_active_subnet(preserve_weight=True)

    def _train(self, model: nn.Module, own: torch.optim.Optimizer) -> object:
        loss = nn.functional.cross_entropy(model(self.images), self.labels)
        own.zero_grad()
        loss.backward()
        own.step()
        return loss.item()


def _sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
