"""The config that trains what a search found, as the plain network that it is."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config, ConfigDict

from ..models.algorithms import Algorithm
from .finetune_config import OF_A_RUN, named_types

# Parts of an Algorithm that make the Architecture smaller, or are in the Subnet.
_DONE = {"architecture", "mutator", "pruner", "quantizer"}


def retrain_config(cfg: Config, subnet: str) -> Config:
    """Return a config with the Subnet in place of the supernet.

    What trains the supernet trains the Subnet: data, schedule, hooks, and a teacher if
    there is one.

    Args:
        cfg: The config of the search: its model has ``architecture`` and ``mutator``.
        subnet: Path of the Subnet file.
    """
    tuned = named_types(ConfigDict(cfg._cfg_dict).to_dict())
    model = tuned["model"]
    small: dict[str, Any] = {
        "type": "mmrazor.SubnetModel",
        "architecture": model["architecture"],
        "mutator": {"type": "NasMutator", **(model.get("mutator") or {})},
        "subnet": subnet,
    }
    kept = inspect.signature(Algorithm).parameters.keys() - _DONE
    parts = {key: value for key, value in model.items() if key in kept}
    if parts:
        small = {"type": "mmrazor.Compress", "architecture": small, **parts}
    tuned["model"] = small
    for key in ("search", *OF_A_RUN):
        tuned.pop(key, None)
    # A backbone for search has a last convolution, which a detector does not use.
    wrapper = {"type": "mmrazor.AlgorithmDDP", "find_unused_parameters": True}
    tuned.setdefault("model_wrapper_cfg", wrapper)
    return Config(tuned)
