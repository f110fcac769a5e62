"""A network and images that stop being finite; runs that must end import it."""

import torch
from mmengine.registry import DATASETS, MODELS
from toy_prune import ToyConvNet, ToyImages


@DATASETS.register_module()
class ToyNanImages(ToyImages):
    """One image of the second half holds NaN once it has been seen ``after`` times."""

    def __init__(self, after=1, **kwargs):
        self.left = after
        super().__init__(**kwargs)

    def prepare_data(self, idx):
        item = super().prepare_data(idx)
        if self.augment and idx == 13:
            self.left -= 1
            if self.left < 0:
                item["inputs"] = item["inputs"] * float("nan")
        return item


@MODELS.register_module()
class ToyNan(ToyConvNet):
    """At the training step ``at`` something in it is no longer finite.

    Args:
        how: ``layer`` (its output), ``term`` (of the loss), ``constant`` (a term
            without a gradient), ``overflow`` (of a term), ``gradient`` (of a finite
            loss), ``statistics`` (of a norm, in a finite step).
        at: The first step of it.
        last: The last one.
    """

    def __init__(self, how, at, last=99, **kwargs):
        super().__init__(dropout=0.0, **kwargs)
        self.how, self.at, self.last_step, self.steps = how, at, last, 0
        self.norm2.register_forward_hook(self.spoilt)

    def spoilt(self, module, inputs, output):
        if self.now == "layer":
            return output * float("nan")

    @property
    def now(self):
        due = self.training and self.at <= self.steps <= self.last_step
        return self.how if due else None

    def forward(self, inputs, data_samples=None, mode="tensor"):
        self.steps += mode == "loss"
        found = super().forward(inputs, data_samples, mode)
        if mode != "loss":
            return found
        found = {"loss_task": found["loss"]}
        weight = self.last.weight
        if self.now == "term":
            found["loss_aux"] = torch.log(weight.sum() * 0 - 1)
        if self.now == "constant":
            found["loss_constant"] = torch.tensor(float("inf"))
        if self.now == "overflow":
            found["loss_huge"] = (weight.square().sum() + 1) * 3e38 * 3e38
        if self.now == "gradient":
            found["loss_root"] = torch.sqrt(weight * 0).sum()
        if self.now == "statistics":
            self.norm.running_var.data[0] = float("inf")
        return found
