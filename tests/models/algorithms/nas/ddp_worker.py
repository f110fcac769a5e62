"""Train supernets in one of two gloo processes, and alone; run by test_nas_ddp.py."""

import os
import sys

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from toys import FIRST, SECOND, Net, two

from mmrazor.models.algorithms import DSNAS, SPOS, AlgorithmDDP, Darts

KINDS = ("spos", "darts", "second order", "dsnas")


def build(kind):
    torch.manual_seed(0)
    if kind == "spos":
        return SPOS(Net("one_shot"))
    if kind == "dsnas":
        return DSNAS(Net("one_hot"))
    return Darts(Net(), unroll=kind != "darts")


def train(model, kind, rank=slice(None)):
    """Three steps on a part of the data."""
    algorithm = getattr(model, "module", model)
    algorithm.train()
    first, second = (
        {key: value[rank] for key, value in data.items()} for data in (FIRST, SECOND)
    )
    optim = two(algorithm, lr=0.5, momentum=0.9) if kind != "spos" else None
    if optim is None:
        sgd = torch.optim.SGD(algorithm.parameters(), lr=0.1, weight_decay=0.1)
        optim = OptimWrapper(sgd)
    pair = kind in ("darts", "second order")
    for _ in range(3):
        model.train_step([first, second] if pair else first, optim)
    return {k: v.clone() for k, v in algorithm.state_dict().items()}


def worker(rank, port, out):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=int(rank), world_size=2)
    part = slice(int(rank), None, 2)
    states = {kind: train(AlgorithmDDP(build(kind)), kind, part) for kind in KINDS}
    alone = {kind: train(build(kind), kind) for kind in KINDS}
    torch.save((states, alone), out)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    worker(*sys.argv[1:])
