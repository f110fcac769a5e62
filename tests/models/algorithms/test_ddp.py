"""The distributed wrapper in two gloo processes."""

import os
import sys

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from mmrazor.models.algorithms import AlgorithmDDP, SingleTeacherDistill

pytestmark = pytest.mark.dist
INPUTS = torch.arange(8.0).view(4, 2) / 8


class Net(BaseModel):
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(width)
        self.body = nn.Linear(2, width)
        self.fc = nn.Linear(width, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        logits = self.fc(self.body(inputs))
        if mode == "loss":
            return {"loss": F.cross_entropy(logits, inputs.argmax(1))}
        return logits


class TwoForwards(SingleTeacherDistill):
    """A method with a step of its own: two passes, gradients averaged on the last."""

    def train_step(self, data, optim_wrapper):
        with optim_wrapper.optim_context(self):
            first, _ = self.parse_losses(self.run(data, sync=False))
            optim_wrapper.backward(first)
            last, log = self.parse_losses(self.run(data))
            optim_wrapper.backward(last)
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        return log


KINDS = {kind.__name__: kind for kind in (SingleTeacherDistill, TwoForwards)}


def build(kind):
    connector = dict(type="LinearConnector", in_features=4, out_features=8)
    torch.manual_seed(0)
    hint = dict(
        type="L2Loss",
        student="output:body",
        teacher="output:body",
        student_connector=connector,
    )
    return kind(Net(4), Net(8), dict(losses=dict(hint=hint)))


def train(model, inputs):
    """Three steps, the last two without distillation."""
    torch.set_num_threads(1)
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    algorithm = getattr(model, "module", model)
    for step in range(3):
        if step == 1:
            algorithm.stop_distillation()
        model.train_step(dict(inputs=inputs), optim)
    return {k: v.clone() for k, v in algorithm.state_dict().items()}


def worker(rank, port, kind, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    dist.init_process_group("gloo", rank=int(rank), world_size=2)
    model = AlgorithmDDP(build(KINDS[kind]), device_ids=[int(rank)])
    torch.save(train(model, INPUTS[int(rank) :: 2]), out)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "kind",
    ["SingleTeacherDistill", pytest.param("TwoForwards", marks=pytest.mark.slow)],
)
def test_two_processes_train_as_one_does_also_after_the_stop(kind, saved_by_two):
    first, second = saved_by_two(__file__, kind)
    alone = train(build(KINDS[kind]), INPUTS)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], value, rtol=1e-6, atol=1e-6)


if __name__ == "__main__":
    worker(*sys.argv[1:])
