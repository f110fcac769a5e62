# Ranges are found with a loader of its own: that of the training would be one pass
# ahead afterwards, and a resumed run, which does not calibrate, would see other data.
"""Find the ranges of a quantized model before it is trained."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ...registry import HOOKS
from ..forward import unwrapped
from ..protocols import Quantizes, RebuildsReducer
from .averaged_models import averages_of, follow_quantizer_
from .random_state_hook import number_draws_, obstacle_to_numbers
from .random_streams import seed_generators_

_EPOCH = -1  # its samples are drawn as those of no epoch of the training


@HOOKS.register_module()
class CalibrateHook(Hook):
    """Calibrate the quantizer of an Algorithm on training data before the first step.

    The tools add it to a run whose model has a ``quantizer``. Ranges that a checkpoint
    brought (a resumed run, or one that begins with what ``tools/quantize.py`` wrote)
    are kept. Each process shows its own part of the data, and they agree on the ranges.
    Averaged models (``EMAHook``) and the distributed wrapper take them in.

    Args:
        batches: Training batches that each process calibrates on.

    Raises:
        TypeError: If the model has no quantizer, or the distributed wrapper cannot
            take in steps that are learned.
        ValueError: If ``batches`` is not positive, or there is no training data.

    Example:
        >>> custom_hooks = [dict(type='mmrazor.CalibrateHook', batches=64)]
    """

    def __init__(self, batches: int = 32) -> None:
        if batches < 1:
            raise ValueError(f"batches={batches}: calibrate on at least one batch.")
        self.batches = batches

    def before_train(self, runner: Any) -> None:
        """Calibrate, unless there are ranges."""
        model = quantized_model(runner, type(self).__name__)
        quantizer = model.quantizer
        if not quantizer.ready:
            runner.logger.info(f"Calibrating on {self.batches} batches.")
            batches = itertools.islice(_loader(runner), self.batches)
            goes_on = any(getattr(h, "keeps_observing", False) for h in runner.hooks)
            model.calibrate_(batches, forget=not goes_on)
        for average in averages_of(runner):
            follow_quantizer_(average, quantizer)
        if is_model_wrapper(runner.model) and any(True for _ in quantizer.parameters()):
            _rebuild_reducer_(runner.model)


def quantized_model(runner: Any, hook: str) -> Any:
    """Return the Algorithm with a quantizer that a run trains.

    Args:
        runner: The run.
        hook: Who asks.

    Raises:
        TypeError: If it trains something else.
    """
    model = unwrapped(runner.model)
    if not isinstance(model, Quantizes) or model.quantizer is None:
        raise TypeError(
            f"{hook} needs an Algorithm with quantizer=dict(type='Quantizer', ...), "
            f"such as mmrazor.Quantize, not {type(model).__name__}. Add it to the "
            "model, or remove the hook from custom_hooks."
        )
    return model


def _loader(runner: Any) -> Iterator[Any]:
    spec = runner.cfg.get("train_dataloader")
    if not isinstance(spec, (dict, ConfigDict)):
        raise ValueError(
            "CalibrateHook reads the training data anew, so it needs train_dataloader "
            "as a config. Give the Runner one, or call calibrate_(batches) of the "
            "model before training."
        )
    spec = copy.deepcopy(dict(spec))
    spec.update(num_workers=0, persistent_workers=False)
    spec.pop("prefetch_factor", None)
    randomness = runner.cfg.get("randomness") or {}
    each = bool(randomness.get("diff_rank_seed"))
    loader = runner.build_dataloader(spec, seed=runner.seed, diff_rank_seed=each)
    if obstacle_to_numbers(None, loader) is None:
        # As by one process: a sample's augmentation follows from its number.
        number_draws_(loader, runner.seed).start_epoch(_EPOCH)
    seed_generators_(runner.seed)
    return iter(loader)


def _rebuild_reducer_(wrapper: Any) -> None:
    """Let a distributed wrapper see the shapes of the learned steps."""
    if not isinstance(wrapper, RebuildsReducer):
        raise TypeError(
            f"{type(wrapper).__name__} cannot take in steps that are learned: their "
            "number is known with the ranges. Use model_wrapper_cfg = dict("
            "type='mmrazor.AlgorithmDDP')."
        )
    wrapper.rebuild_()
