"""A network, data and hooks that use every source of randomness; runs import it."""

import os
import random
import signal

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn


@DATASETS.register_module()
class ToyDataset(BaseDataset):
    """Random vectors, augmented by all three generators."""

    def __init__(self, length=24, augment=True, **kwargs):
        self.length = length
        self.augment = augment
        super().__init__(**kwargs)

    def load_data_list(self):
        rng = np.random.default_rng(0)
        return [
            {"x": rng.normal(size=6).astype(np.float32), "y": i % 2}
            for i in range(self.length)
        ]

    def prepare_data(self, idx):
        item = self.get_data_info(idx)
        x = torch.from_numpy(item["x"])
        if self.augment:
            x = x * random.uniform(0.5, 1.5) + np.random.normal() + torch.randn(6)
        return {"x": x, "y": item["y"]}


@MODELS.register_module()
class ToyModel(BaseModel):
    """Two layers with dropout; ``frozen`` switches off what depends on the batch."""

    def __init__(
        self, dropout=0.5, frozen=False, norm="BatchNorm1d", data_preprocessor=None
    ):
        super().__init__(data_preprocessor)
        self.first = nn.Linear(6, 8)
        self.norm = getattr(nn, norm)(8)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(8, 2)
        self.frozen = frozen

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            self.norm.eval()
        return self

    def forward(self, x, y, mode="tensor"):
        x = torch.stack(list(x))
        y = torch.as_tensor(y, device=x.device)
        if mode == "loss":
            x = x * np.random.uniform(0.9, 1.1) if not self.frozen else x
        logits = self.last(self.drop(self.norm(self.first(x)).relu()))
        if mode == "loss":
            return {"loss": nn.functional.cross_entropy(logits, y)}
        return [{"hit": bool(hit)} for hit in logits.argmax(1) == y]


@METRICS.register_module()
class ToyAccuracy(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample["hit"] for sample in data_samples]

    def compute_metrics(self, results):
        return {"accuracy": 100 * sum(results) / len(results)}


@HOOKS.register_module()
class KillHook(Hook):
    """Die as if the machine did, at the step that ``TOY_KILL_AT`` names."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if str(runner.iter) == os.environ.get("TOY_KILL_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
