"""Bad configs and options of every tool, and words that the one line must have.

A case is a command, a base config, Python text that is appended to it, and words. The
config is ``net.py`` in the folder that the tool runs in; ``{...}`` in a command is no
format. Bases are in ``bad_bases``.
"""

from __future__ import annotations

from typing import NamedTuple


class Bad(NamedTuple):
    """A run that must end in one line.

    Args:
        command: Tool and arguments, as in a shell.
        base: Name of the config that is changed.
        change: Python text behind it.
        words: All stand in the line.
        code: Exit code.
    """

    command: str
    base: str
    change: str
    words: tuple[str, ...]
    code: int = 1

    def __str__(self) -> str:
        """Return what tells the case from others, for pytest."""
        change = self.change.strip().replace("\n", "; ")
        return f"{self.command} [{self.base}] {change}"[:100]


def _of(command: str, base: str, *cases: tuple[str, ...]) -> list[Bad]:
    return [Bad(command, base, change, words) for change, *words in cases]


def _options(tool: str, base: str, *cases: tuple[str, ...]) -> list[Bad]:
    return [Bad(f"{tool} {options}", base, "", words) for options, *words in cases]


TRAIN = "train.py net.py"
TEXTS = _of(
    TRAIN,
    "none",
    ("", "'net.py'", "is empty"),
    ("# nothing yet\n", "is empty"),
    ("model = dict(\n", "SyntaxError"),
    ("a = 1 / 0\n", "net.py:1", "division by zero"),
    ("x = 1\ny = [1][3]\n", "net.py:2", "IndexError"),
    ("assert 2 < 1, 'never'\n", "net.py:1", "never"),
    ("raise RuntimeError('not for you')\n", "net.py:1", "not for you"),
    ("exit(3)\n", "net.py", "SystemExit"),
    ("a = b\n", "NameError", "'b'"),
    ("import nowhere_at_all\n", "nowhere_at_all"),
    ("_base_ = 'net.py'\n", "net.py -> net.py"),
    ("_base_ = ['missing.py']\n", "missing.py"),
    ("_base_ = 5\n", "_base_"),
    ("filename = 'x'\n", "filename", "reserved"),
    ("model = dict(type='ToyModel')\n", "train_dataloader"),
    ("custom_imports = dict(imports=['toy_rnu'])\n", "toy_rnu"),
    ("custom_imports = 5\n", "import_modules_from_strings"),
    ("def f():\n    return f()\nf()\n", "net.py:2"),
)

TOY = _of(
    TRAIN,
    "toy",
    ("model = 5", "model", "5", "dict"),
    ("model = ['ToyModel']", "model", "dict"),
    ("model = None", "model"),
    ("model = dict(dropout=0.1)", "model", "type"),
    ("model['type'] = 'ToyModle'", "ToyModle", "ToyModel"),
    ("model['type'] = 5", "model", "5"),
    ("model['dropuot'] = 0.1", "ToyModel", "model", "dropuot", "dropout"),
    ("model['norm'] = 'BatchNorm9d'", "BatchNorm9d", "model"),
    ("model['dropout'] = 'much'", "model"),
    ("model['dropout'] = 1.5", "1.5", "model"),
    ("train_dataloader['batch_size'] = 0", "train_dataloader.batch_size", "0"),
    ("train_dataloader['batch_size'] = -4", "train_dataloader.batch_size", "-4"),
    ("train_dataloader['batch_size'] = 2.5", "train_dataloader.batch_size", "2.5"),
    ("train_dataloader['batch_size'] = 'four'", "train_dataloader.batch_size", "four"),
    ("val_dataloader['batch_size'] = 0", "val_dataloader.batch_size", "0"),
    ("train_dataloader['num_workers'] = -1", "train_dataloader.num_workers", "-1"),
    ("train_dataloader['num_wokers'] = 1", "train_dataloader", "num_wokers"),
    ("train_dataloader['persistent_workers'] = True", "persistent_workers"),
    ("train_dataloader['dataset'] = 'toys'", "train_dataloader.dataset"),
    ("del train_dataloader['dataset']", "train_dataloader", "dataset"),
    ("train_dataloader['dataset']['type'] = 'ToyDatset'", "ToyDatset", "ToyDataset"),
    (
        "train_dataloader['dataset']['lenght'] = 4",
        "lenght",
        "length",
        "train_dataloader.dataset",
    ),
    ("train_dataloader['dataset']['length'] = 0", "holds no samples"),
    ("train_dataloader['dataset']['length'] = 'all'", "train_dataloader.dataset"),
    (
        "train_dataloader['dataset']['pipeline'] = [dict(type='LoadImge')]",
        "LoadImge",
        "train_dataloader.dataset",
    ),
    ("train_dataloader['sampler']['type'] = 'DefaultSampelr'", "DefaultSampler"),
    ("train_dataloader['sampler']['shufle'] = True", "shufle", "shuffle"),
    ("train_dataloader['collate_fn'] = dict(type='stack')", "train_dataloader"),
    ("train_dataloader = 'here'", "train_dataloader", "'here'"),
    ("train_cfg = 7", "train_cfg", "7"),
    ("train_cfg = dict(max_epochs=3)", "train_cfg"),
    ("train_cfg['max_epoch'] = 3", "max_epoch", "max_epochs"),
    ("train_cfg['max_epochs'] = 'three'", "train_cfg.max_epochs", "three"),
    ("train_cfg['max_epochs'] = -1", "train_cfg.max_epochs", "-1"),
    ("train_cfg['max_epochs'] = 2.5", "train_cfg.max_epochs", "2.5"),
    ("train_cfg['val_interval'] = 0", "train_cfg.val_interval", "0"),
    ("train_cfg['type'] = 'EpochLoop'", "train_cfg", "by_epoch"),
    ("optim_wrapper = None", "optim_wrapper"),
    ("optim_wrapper = 'SGD'", "optim_wrapper", "SGD"),
    ("del optim_wrapper['optimizer']", "optimizer"),
    ("optim_wrapper['optimizer']['type'] = 'AdamWW'", "AdamWW", "AdamW"),
    (
        "optim_wrapper['optimizer']['learning_rate'] = 0.1",
        "SGD",
        "learning_rate",
        "optim_wrapper.optimizer",
    ),
    ("optim_wrapper['optimizer']['lr'] = -1", "-1", "optim_wrapper.optimizer"),
    ("optim_wrapper['optimizer']['lr'] = float('nan')", "optim_wrapper.optimizer.lr"),
    ("optim_wrapper['optimizer']['lr'] = 'high'", "optim_wrapper.optimizer", "high"),
    ("optim_wrapper['clip_gard'] = dict(max_norm=1)", "clip_gard", "clip_grad"),
    ("optim_wrapper['accumulative_counts'] = 0", "accumulative_counts"),
    ("optim_wrapper['type'] = 'OptimWraper'", "OptimWraper", "OptimWrapper"),
    ("param_scheduler = dict(type='MultiStpLR')", "MultiStpLR", "MultiStepLR"),
    (
        "param_scheduler = [dict(type='MultiStepLR', milestone=[1])]",
        "MultiStepLR",
        "milestone",
        "milestones",
        "param_scheduler.0",
    ),
    ("param_scheduler = 3", "param_scheduler", "3"),
    ("custom_hooks.append(dict(type='EMAHok'))", "EMAHok", "EMAHook"),
    (
        "custom_hooks.append(dict(type='EMAHook', momentun=0.1))",
        "momentun",
        "momentum",
        "custom_hooks.2",
    ),
    ("custom_hooks = dict(type='EMAHook')", "custom_hooks"),
    ("custom_hooks = ['EMAHook']", "custom_hooks", "EMAHook"),
    ("default_hooks['checkpoint']['intervall'] = 1", "intervall", "interval"),
    ("default_hooks = []", "default_hooks"),
    ("val_evaluator = None", "val_evaluator"),
    ("val_evaluator = dict(type='ToyAcuracy')", "ToyAcuracy", "ToyAccuracy"),
    ("val_evaluator['topk'] = 5", "ToyAccuracy", "topk"),
    ("val_dataloader = None", "val_"),
    ("randomness = dict(seed='x')", "randomness", "seed"),
    ("randomness = dict(sed=3)", "randomness", "sed"),
    ("log_level = 'LOUD'", "log_level", "LOUD"),
    ("visualizer = dict(type='Visualiser')", "Visualiser", "Visualizer"),
    ("log_processor = dict(windowsize=5)", "windowsize", "window_size"),
    ("load_from = 'gone.pth'", "gone.pth"),
    ("load_from = 5", "load_from", "5"),
    ("resume = True\nload_from = 'gone.pth'", "gone.pth"),
    ("work_dir = 5", "work_dir", "5"),
    ("exact_resume = 'yes'", "exact_resume", "yes"),
    ("custom_hooks.append(dict(type='mmrazor.RandomStateHok'))", "RandomStateHook"),
    ("default_scope = 'mmnothing'", "mmnothing"),
)

DISTIL = _of(
    TRAIN,
    "distil",
    ("kd['tau'] = 0", "model.distiller.losses.kd", "tau", "0"),
    ("kd['tau'] = -1", "model.distiller.losses.kd", "tau", "-1"),
    ("kd['tau'] = float('nan')", "model.distiller.losses.kd", "tau", "nan"),
    ("kd['tau'] = 'warm'", "model.distiller.losses.kd", "tau", "warm"),
    ("kd['loss_weight'] = float('inf')", "model.distiller.losses.kd", "inf"),
    ("kd['reduction'] = 'avg'", "model.distiller.losses.kd", "reduction"),
    ("kd['type'] = 'KLDivergenc'", "KLDivergenc", "KLDivergence"),
    ("kd['tua'] = 2", "model.distiller.losses.kd", "tua", "tau"),
    ("kd['student'] = 'output:lastt'", "output:lastt", "last"),
    ("kd['teacher'] = 'output:lastt'", "output:lastt", "last"),
    ("kd['student'] = 'last'", "'last'", "output:"),
    ("kd['student'] = 'outptu:last'", "outptu", "output"),
    ("kd['student'] = 7", "7", "kd"),
    ("del kd['student']", "kd", "student"),
    ("kd['student'] = 'output:first'", "kd", "output:first", "output:last"),
    ("kd['student_connector'] = dict(type='ConvConector')", "ConvConector"),
    ("kd['student_connector'] = 3", "kd", "student_connector", "3"),
    (
        "kd['student_connector'] = dict(type='ConvModuleConnector', in_channel=2)",
        "ConvModuleConnector",
        "in_channel",
    ),
    ("model['distiller']['losses'] = {}", "losses"),
    ("model['distiller']['losses'] = ['kd']", "losses"),
    ("model['distiller']['loss'] = {}", "model.distiller", "loss", "losses"),
    ("model['distiller'] = None", "distiller"),
    ("model['distiller'] = 'kd'", "distiller", "'kd'"),
    ("model['distiller']['type'] = 'ConfigurableDistiler'", "ConfigurableDistiler"),
    ("del model['teacher']", "teacher"),
    ("model['teacher'] = 5", "teacher", "5"),
    ("model['teacher']['type'] = 'ToyModle'", "ToyModle", "ToyModel"),
    ("model['teacher']['dropuot'] = 1", "model.teacher", "dropuot", "dropout"),
    ("model['teacher']['checkpoint'] = 'gone.pth'", "gone.pth"),
    ("model['teachr'] = {}", "model", "teachr", "teacher"),
    ("model['architecture'] = None", "architecture"),
    ("model['architecture'] = 'mmnothing::a/b.py'", "mmnothing"),
    ("model['architecture']['type'] = 'ToyModle'", "ToyModle", "ToyModel"),
    ("model['type'] = 'mmrazor.SingleTeacherDistil'", "SingleTeacherDistill"),
    ("model['distill_epochs'] = -1", "model", "distill_epochs"),
)

PRUNE = _of(
    TRAIN,
    "prune",
    ("pruner['budget'] = 'half'", "budget", "half"),
    ("pruner['budget'] = 0.5", "budget", "0.5"),
    ("pruner['budget'] = {'macs': 'half'}", "macs", "half"),
    ("pruner['budget'] = {'mac': 0.5}", "mac", "macs"),
    ("pruner['budget'] = {'macs': 0}", "macs", "0"),
    ("pruner['budget'] = {'macs': -0.5}", "macs", "-0.5"),
    ("pruner['budget'] = {'macs': float('nan')}", "macs", "nan"),
    ("pruner['budget'] = {'macs': (0.5, 0.4)}", "macs", "0.4"),
    ("pruner['budget'] = {'macs': 1e-9}", "macs"),
    ("pruner['budget'] = {}", "budget"),
    ("del pruner['budget']", "budget"),
    ("pruner['importance'] = 'L9Importance'", "L9Importance", "L1Importance"),
    ("pruner['importance'] = 5", "importance", "5"),
    ("pruner['importance']['type'] = 'L9Importance'", "L9Importance", "L1Importance"),
    ("pruner['importance']['reducton'] = 'max'", "reducton", "reduction"),
    ("pruner['importance']['reduction'] = 'avg'", "avg", "mean"),
    ("pruner['schedule']['type'] = 'CubicSchedul'", "CubicSchedul", "CubicSchedule"),
    ("pruner['schedule']['bigin'] = 1", "bigin", "begin"),
    ("pruner['schedule']['begin'] = 12", "begin", "12"),
    ("pruner['schedule']['begin'] = -3", "begin", "-3"),
    ("pruner['schedule']['interval'] = 0", "interval", "0"),
    ("pruner['schedule']['end'] = 1000", "end", "1000"),
    ("pruner['schedule']['end'] = 4.5", "end", "4.5"),
    ("pruner['schedule'] = 'cubic'", "schedule", "cubic"),
    ("pruner['image_size'] = [8]", "image_size", "8"),
    ("pruner['image_size'] = 'big'", "image_size", "big"),
    ("pruner['image_size'] = [-8, 8]", "image_size", "-8"),
    ("pruner['divisor'] = 0", "divisor", "0"),
    ("pruner['divisor'] = 'eight'", "divisor", "eight"),
    ("pruner['min_keep'] = -1", "min_keep", "-1"),
    ("pruner['min_keep'] = float('nan')", "min_keep", "nan"),
    ("pruner['ranking'] = 'sideways'", "ranking", "sideways"),
    ("pruner['ignore'] = ['frist']", "frist", "first"),
    ("pruner['divisr'] = 2", "model.pruner", "divisr", "divisor"),
    ("pruner['type'] = 'Prunr'", "Prunr", "Pruner"),
    ("model['pruner'] = 'Pruner'", "pruner", "Pruner"),
    ("model['teacher']['width'] = 'wide'", "model.teacher"),
)

QUANTIZE = _of(
    TRAIN,
    "quantize",
    ("quantizer['weight'] = {'bits': 0}", "bits", "0"),
    ("quantizer['weight'] = {'bits': 99}", "bits", "99"),
    ("quantizer['weight'] = {'bits': 'eight'}", "bits", "eight"),
    ("quantizer['weight'] = {'bits': 7.5}", "bits", "7.5"),
    ("quantizer['weight'] = {'bitz': 8}", "bitz", "bits"),
    ("quantizer['weight'] = 8", "weight", "8"),
    ("quantizer['activation'] = {'observer': 'MinMaxObservr'}", "MinMaxObserver"),
    (
        "quantizer['activation'] = {'observer': {'type': 'MinMaxObserver', 'b': 1}}",
        "MinMaxObserver",
        "b",
    ),
    ("quantizer['backend'] = 'onnxrt'", "onnxrt", "onnxruntime"),
    ("quantizer['backnd'] = 'openvino'", "backnd", "backend"),
    ("quantizer['image_size'] = [0, 8]", "image_size", "0"),
    ("quantizer['ignore'] = ['frist']", "frist"),
    ("quantizer['calib_batches'] = 1", "calib_batches", "Quantizer", "model.quantizer"),
    ("quantizer['fold'] = 'maybe'", "fold", "maybe"),
    ("quantizer['type'] = 'Quantiser'", "Quantiser", "Quantizer"),
    ("model['quantizer'] = 8", "quantizer", "8"),
    (
        "custom_hooks.append(dict(type='mmrazor.QuantScheduleHook', freeze_bn_at=-1))",
        "freeze_bn_at",
        "-1",
    ),
)
