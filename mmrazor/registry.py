"""Child registries of mmengine's, under the scope ``mmrazor``.

A class of mmrazor is named in any OpenMMLab config as ``type='mmrazor.Name'``. There
is one child for every registry of mmengine, also where mmrazor adds nothing to it, so
that ``default_scope = 'mmrazor'`` finds mmengine's own classes without a warning.
"""

from mmengine import registry as host
from mmengine.registry import Registry


def _child(name: str, parent: Registry, package: str) -> Registry:
    locations = [f"mmrazor.{package}"]
    return Registry(name, parent=parent, scope="mmrazor", locations=locations)


RUNNERS = _child("runner", host.RUNNERS, "core")
RUNNER_CONSTRUCTORS = _child("runner constructor", host.RUNNER_CONSTRUCTORS, "core")
LOOPS = _child("loop", host.LOOPS, "core")
HOOKS = _child("hook", host.HOOKS, "core")
STRATEGIES = _child("strategy", host.STRATEGIES, "core")
LOG_PROCESSORS = _child("log processor", host.LOG_PROCESSORS, "core")
EVALUATOR = _child("evaluator", host.EVALUATOR, "core")
METRICS = _child("metric", host.METRICS, "core")
OPTIMIZERS = _child("optimizer", host.OPTIMIZERS, "core")
OPTIM_WRAPPERS = _child("optim wrapper", host.OPTIM_WRAPPERS, "core")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", host.OPTIM_WRAPPER_CONSTRUCTORS, "core"
)
PARAM_SCHEDULERS = _child("parameter scheduler", host.PARAM_SCHEDULERS, "core")
TASK_UTILS = _child("task util", host.TASK_UTILS, "core")
VISUALIZERS = _child("visualizer", host.VISUALIZERS, "core")
VISBACKENDS = _child("vis backend", host.VISBACKENDS, "core")
INFERENCERS = _child("inferencer", host.INFERENCERS, "core")
FUNCTIONS = _child("function", host.FUNCTIONS, "core")
MODELS = _child("model", host.MODELS, "models")
MODEL_WRAPPERS = _child("model wrapper", host.MODEL_WRAPPERS, "models")
WEIGHT_INITIALIZERS = _child("weight initializer", host.WEIGHT_INITIALIZERS, "models")
DATASETS = _child("dataset", host.DATASETS, "datasets")
DATA_SAMPLERS = _child("data sampler", host.DATA_SAMPLERS, "datasets")
TRANSFORMS = _child("transform", host.TRANSFORMS, "datasets")
