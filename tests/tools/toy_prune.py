"""A small convolutional network on random images; pruning runs import it."""

import torch
import toy_run  # noqa: F401  (its metric and its hook)
from mmengine.dataset import BaseDataset
from mmengine.dist import get_rank
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import DATASETS, HOOKS, MODELS
from torch import nn

from mmrazor.models.pruners import Importance


@DATASETS.register_module()
class ToyImages(BaseDataset):
    """Random images; the label says whether the red is above its mean."""

    def __init__(self, length=24, augment=True, **kwargs):
        self.length = length
        self.augment = augment
        super().__init__(**kwargs)

    def load_data_list(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(self.length, 3, 8, 8, generator=generator)
        return [{"x": image, "y": int(image[0].mean() > 0)} for image in images]

    def prepare_data(self, idx):
        item = self.get_data_info(idx)
        noise = 0.1 * torch.randn(3, 8, 8) if self.augment else 0.0
        return {"inputs": item["x"] + noise, "data_samples": item["y"]}


@MODELS.register_module()
class ToyConvNet(BaseModel):
    """Two convolutions with norms, dropout and a linear layer."""

    def __init__(
        self, width=8, dropout=0.5, norm="BatchNorm2d", data_preprocessor=None
    ):
        super().__init__(data_preprocessor)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = getattr(nn, norm)(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = getattr(nn, norm)(width)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(width, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        x = inputs if torch.is_tensor(inputs) else torch.stack(list(inputs))
        x = self.norm(self.first(x)).relu()
        x = self.norm2(self.second(x)).relu()
        logits = self.last(self.drop(x.mean((2, 3))))
        if mode == "tensor":
            return logits
        labels = torch.as_tensor(data_samples, device=logits.device)
        if mode == "loss":
            return {"loss": nn.functional.cross_entropy(logits, labels)}
        return [{"hit": bool(hit)} for hit in logits.argmax(1) == labels]


@MODELS.register_module()
class RankImportance(Importance):
    """Another opinion in every process."""

    def __call__(self, group):
        scores = torch.arange(group.size, dtype=torch.float64)
        return scores if get_rank() == 0 else scores.flip(0)


@HOOKS.register_module()
class DumpHook(Hook):
    """Write what this process's model, average and optimizer are in the end."""

    priority = "LOWEST"

    def after_train(self, runner):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        average = next(h for h in runner.hooks if isinstance(h, EMAHook)).ema_model
        state = runner.optim_wrapper.optimizer.state_dict()["state"]
        momenta = {str(n): v["momentum_buffer"] for n, v in state.items()}
        tensors = {"model": model.state_dict(), "ema": average.state_dict()}
        path = f"{runner.work_dir}/rank{get_rank()}.pt"
        torch.save({**tensors, "momentum": momenta}, path)
