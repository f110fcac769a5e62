"""A small convolutional network on random images; pruning runs import it."""

import torch
import toy_run  # noqa: F401  (its metric and its hook)
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn


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

    def __init__(self, width=8, dropout=0.5, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
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
