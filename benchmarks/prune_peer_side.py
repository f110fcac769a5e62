"""The side of Torch-Pruning (Fang et al., 2023): installed aside, called by its names.

It prunes in place, has no check of what it made, and is told which layers make the
output and how large a share of every layer's channels goes. Of a budget of MACs it
knows nothing: the share that meets it is looked for before anything is timed.
"""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from prune_peer_models import Subject, float_sum, output_layers
from torch import nn

from mmrazor.core.cost import count_cost

REQUIREMENTS = Path(__file__).with_name("peers.txt")
_STEPS = 7


def peer_module(
    folder: Path, name: str = "torch_pruning", requirements: Path = REQUIREMENTS
) -> ModuleType:
    """Import a peer, from a folder of its own where it is installed if missing."""
    if not (folder / name).is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--target", str(folder), "-r", str(requirements)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module(name)


class Peer:
    """Prunes copies of a model with Torch-Pruning.

    Args:
        folder: Where it is, or will be.
        case: The model.
    """

    def __init__(self, folder: Path, case: Subject) -> None:
        self.module = peer_module(folder)
        self.case = case

    def copy(self) -> nn.Module:
        """Return a copy to prune."""
        return copy.deepcopy(self.case.model)

    def pruner(self, model: nn.Module, share: float, **importance: Any) -> Any:
        """Build the dependency graph of a model.

        Args:
            model: A copy.
            share: Of the channels of every layer that goes.
            **importance: For its group magnitude importance.
        """
        kind = self.module.importance.GroupMagnitudeImportance
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.module.pruner.BasePruner(
                model,
                self.case.inputs,
                importance=kind(p=2, **importance),
                global_pruning=False,
                pruning_ratio=share,
                ignored_layers=output_layers(model),
            )

    def prune(self, model: nn.Module, share: float) -> nn.Module:
        """Prune a copy in place, in one step."""
        self.pruner(model, share).step()
        return model

    def probe(self, share: float = 0.3) -> None:
        """Prune, and run forward and backward; raise whatever goes wrong."""
        model = self.prune(self.copy(), share)
        float_sum(model(*self.case.inputs)).backward()

    def share_for(self, macs: float) -> float:
        """Return the smallest share found that leaves at most so many MACs."""
        low, high = 0.0, 1.0
        share = 0.3  # (1 - share) squared is near a half
        for _ in range(_STEPS):
            model = self.prune(self.copy(), share)
            if count_cost(model, self.case.inputs).macs > macs:
                low = share
            else:
                high = share
            share = (low + high) / 2
        return high

    def dropped(self, share: float) -> dict[str, list[int]]:
        """Return which outputs of the first layer of every group go, by its name.

        The importance is the sum of squared weights of all convolutions and linear
        layers that make or read a channel.
        """
        model = self.copy()
        types = [nn.modules.conv._ConvNd, nn.Linear]
        names = {module: name for name, module in model.named_modules()}
        pruner = self.pruner(model, share, group_reduction="sum", target_types=types)
        found = {}
        for group in pruner.step(interactive=True):
            dependency, indices = group[0]
            found[names[dependency.target.module]] = [int(index) for index in indices]
            group.prune()
        return found


def run_without_gradients(model: nn.Module, inputs: tuple[Any, ...]) -> object:
    """Run the plain forward pass."""
    with torch.no_grad():
        return model(*inputs)
