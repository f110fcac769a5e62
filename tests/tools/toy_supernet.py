"""A supernet of a small convolutional network and its search; runs import it."""

import functools
import os
import signal

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import METRICS
from toy_prune import ToyImages
from toy_run import ToyAccuracy

from mmrazor.registry import MODELS

CONV = {
    "type": "torch.nn.Conv2d",
    "in_channels": "{in_channels}",
    "out_channels": "{out_channels}",
}
KERNELS = {"k1": {"kernel_size": 1}, "k5": {"kernel_size": 5, "padding": 2}}
CANDIDATES = {"k3": "original", **{k: {**CONV, **v} for k, v in KERNELS.items()}}
SUPERNET = {
    "type": "mmrazor.SPOS",
    "architecture": {"type": "ToyConvNet"},
    "mutator": {
        "type": "NasMutator",
        "places": {
            "first": {"type": "OneShotMutableOP", "candidates": CANDIDATES},
            "second": {"type": "OneShotMutableOP", "candidates": CANDIDATES},
            "norm2": {
                "type": "OneShotMutableOP",
                "candidates": {"bn": "original", "none": {"type": "torch.nn.Identity"}},
            },
        },
    },
}
SEARCHER = {
    "type": "EvolutionSearcher",
    "population": 4,
    "generations": 3,
    "top_k": 2,
    "mutation": 2,
    "crossover": 1,
    "mutation_prob": 0.5,
}
SEARCH = {
    "searcher": SEARCHER,
    "budget": {"macs": (6000, 110000)},
    "metric": "accuracy",
    "calibrate_bn": 8,
}


@METRICS.register_module()
class SearchedAccuracy(ToyAccuracy):
    """Dies at the call that ``TOY_KILL_AT`` names; ``odd`` counts, or all, fail."""

    calls = 0

    def __init__(self, fails=None, **kwargs):
        super().__init__(**kwargs)
        self.fails = fails

    def compute_metrics(self, results):
        SearchedAccuracy.calls += 1
        if str(self.calls) == os.environ.get("TOY_KILL_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails == "all" or (self.fails == "odd" and sum(results) % 2):
            raise ValueError(f"{self.fails} numbers of hits fail")
        return super().compute_metrics(results)


def save_supernet(path, model=None):
    """Write the weights of a supernet: trained, or random ones of another model."""
    state = trained() if model is None else MODELS.build(model).state_dict()
    torch.save({"state_dict": state}, path)


@functools.cache
def trained():
    """Return the weights of the supernet after a few steps on all images."""
    torch.manual_seed(0)
    model = MODELS.build(SUPERNET)
    images = ToyImages(augment=False)
    items = [images[i] for i in range(24)]
    batch = {name: [item[name] for item in items] for name in items[0]}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        model.train_step(batch, OptimWrapper(optimizer))
    return model.state_dict()
