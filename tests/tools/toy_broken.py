"""Data with a fault at a sample, and models that fail; runs import it."""

import os
import signal

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_rank
from mmengine.registry import DATASETS, MODELS
from PIL import Image
from toy_run import ToyDataset, ToyModel

AT = 5


@DATASETS.register_module()
class ToyFiles(BaseDataset):
    """Images of a folder, as a pipeline would read them."""

    def load_data_list(self):
        names = sorted(os.listdir(self.data_root))
        return [{"img_path": f"{self.data_root}/{name}"} for name in names]

    def prepare_data(self, idx):
        results = self.get_data_info(idx)
        image = np.asarray(Image.open(results["img_path"]), dtype=np.float32)
        return {"x": torch.from_numpy(image[0, :2].reshape(6)), "y": idx % 2}


@DATASETS.register_module()
class ToyFaults(ToyDataset):
    """One sample is not as the others; ``rank`` has it alone."""

    def __init__(self, fault, rank=0, **kwargs):
        self.fault = fault if get_rank() == rank else None
        super().__init__(**kwargs)

    def prepare_data(self, idx):
        item = super().prepare_data(idx)
        if idx != AT or self.fault is None:
            return item
        return getattr(self, self.fault)(item)

    def shape(self, item):
        return {**item, "x": item["x"][:5]}

    def label(self, item):
        return {**item, "y": 7}

    def key(self, item):
        return {**item, "y": item["labels"]}

    def memory(self, item):
        raise MemoryError

    def exits(self, item):
        os._exit(3)

    def killed(self, item):
        os.kill(os.getpid(), signal.SIGKILL)

    def stopped(self, item):
        os.kill(os.getpid(), signal.SIGINT)


@MODELS.register_module()
class ToyBug(ToyModel):
    """Has a mistake in its forward."""

    def forward(self, x, y, mode="tensor"):
        return super().forward(x, y, mode)["loss"].nothing
