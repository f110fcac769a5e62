"""Test a checkpoint as a config describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmrazor.core.hooks.check_checkpoint_hook import CheckCheckpointHook

from ..models.architectures import OnnxModelError
from ..models.pruners import PruningStateError
from .bare_config import architecture_of, bare_model
from .run_config import existing_checkpoint, run_config
from .run_keys import RunConfigError, check_parts
from .runner import build_runner, check_datasets, explained_faults, explained_types
from .unstarted import unstarted


def test(
    config: str | Path | Config, checkpoint: str | Path, **options: Any
) -> dict[str, float]:
    """Measure a checkpoint on the test set.

    Args:
        config: A file, the config of an installed library, or a Config; of an
            Algorithm or of a plain host model.
        checkpoint: Weights of the Algorithm or of its bare Architecture; or the ONNX
            file of that, which is run in ONNX Runtime.
        **options: As for ``run_config``.

    Returns:
        The metrics by name.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        RunConfigError: If the config is faulty, has no test set, or is that of another
            model than the checkpoint's; or if the checkpoint is damaged or refused.
    """
    path = existing_checkpoint(checkpoint)
    is_onnx = path.endswith(".onnx")
    if is_onnx:
        cfg = onnx_config(run_config(config, **options), path)
    else:
        cfg = run_config(config, checkpoint=path, **options)
    if not cfg.get("test_dataloader"):
        raise RunConfigError(
            f"Config '{cfg.filename}' has no test_dataloader. Add test_dataloader, "
            "test_cfg and test_evaluator; they may be equal to the val_ ones."
        )
    check_parts(cfg, "test")
    with unstarted(cfg):
        runner = build_runner(cfg)
        check_datasets(runner, "test")
        if not is_onnx:
            runner.register_hook(CheckCheckpointHook())
        try:
            with explained_types(), explained_faults(runner):
                return runner.test()
        except OnnxModelError as err:
            raise RunConfigError(str(err)) from err
        except PruningStateError as err:
            raise RunConfigError(
                f"Checkpoint '{path}' is not of the model in '{cfg.filename}': {err}"
            ) from err


def onnx_config(cfg: Config, path: str) -> Config:
    """Return a config that tests the ONNX file of its model.

    Args:
        cfg: Of an Algorithm or of a plain host model, complete for a run.
        path: The file.
    """
    resolved = architecture_of(cfg)
    inner = bare_model(resolved)
    if resolved.scope is not None:
        inner["_scope_"] = resolved.scope
    cfg.model = {"type": "mmrazor.OnnxModel", "architecture": inner, "onnx": path}
    cfg.load_from, cfg.resume = None, False
    # Weights that are not used need no average.
    hooks = [dict(hook) for hook in cfg.get("custom_hooks") or []]
    cfg.custom_hooks = [hook for hook in hooks if "EMAHook" not in str(hook["type"])]
    return cfg
