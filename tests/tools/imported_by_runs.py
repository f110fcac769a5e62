"""What every run imports; the server that the tests' runs are forked from has it."""

import gc

import matplotlib.pyplot  # noqa: F401
import mmcv.ops  # noqa: F401
import torch._dynamo
import torch.utils.cpp_extension
import torchvision  # noqa: F401
import yapf.yapflib.yapf_api  # noqa: F401

import mmrazor.apis.train  # noqa: F401

gc.freeze()  # each dataset that mmengine builds looks through all that is not
