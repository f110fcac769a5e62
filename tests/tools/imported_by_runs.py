"""What every run imports; the server that the tests' runs are forked from has it."""

import contextlib
import gc
import importlib

for name in (
    "mmrazor.apis.train",
    # as mmengine's Runner and visualizer, or torch's optimizers, begin
    "matplotlib.pyplot",
    "mmcv.ops",
    "torch._dynamo",
    "torch.utils.cpp_extension",
    "torchvision",
    "yapf.yapflib.yapf_api",
):
    with contextlib.suppress(ImportError):  # mmcv is not installed everywhere
        importlib.import_module(name)
gc.freeze()  # each dataset that mmengine builds looks through all that is not
