"""Write the Subnet that a search by gradient ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from ...registry import HOOKS
from ..files import file_set
from ..forward import unwrapped
from ..protocols import Derives
from ..space import Subnet
from .averaged_models import averages_of
from .pruned_files import write_weights


@HOOKS.register_module()
class DumpSubnetHook(Hook):
    """Write the Subnet that the architecture parameters prefer into the work folder.

    ``subnet.yaml`` is written after training, and ``subnet_epoch_<n>.yaml`` every
    ``interval`` epochs. Before validation and test that Subnet is selected, so that
    where single paths run it is the one that is scored.

    Args:
        interval: Number of epochs from one file to the next; None: only in the end.
        weights: Whether to write ``subnet.pth`` as well: the weights of the plain
            network, for a method that needs no retraining. They are averaged ones if
            the run averages.

    Raises:
        TypeError: If the model has no search space.
        ValueError: If ``interval`` is not above 0.

    Example:
        >>> custom_hooks = [dict(type='mmrazor.DumpSubnetHook', interval=10)]
    """

    def __init__(self, interval: int | None = None, weights: bool = False) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f"interval={interval} must be at least 1, or None.")
        self.interval = interval
        self.weights = weights

    def before_val(self, runner: Any) -> None:
        """Select the Subnet."""
        model = _model_of(runner)
        model.select_(model.derived())

    def before_test(self, runner: Any) -> None:
        """Select the Subnet."""
        self.before_val(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Write the Subnet of this epoch."""
        if self.interval and self.every_n_epochs(runner, self.interval):
            name = f"subnet_epoch_{runner.epoch + 1}.yaml"
            self._write(runner, Path(runner.work_dir), name)

    @master_only
    def after_train(self, runner: Any) -> None:
        """Write the last Subnet, with its weights if they are asked for."""
        with file_set(runner.work_dir) as place:
            self._write(runner, place, "subnet.yaml")
            if self.weights:
                model = _model_of(runner)
                average = next(averages_of(runner), None)
                source = model if average is None else average.module
                plain = source.subnet_model(model.derived())
                write_weights(runner, plain, place / "subnet.pth")

    @master_only
    def _write(self, runner: Any, place: Path, name: str) -> None:
        model = _model_of(runner)
        Subnet(model.space.fingerprint(), model.derived()).dump(place / name)
        path = Path(runner.work_dir) / name
        runner.logger.info(f"Subnet that the architecture parameters prefer: {path}")


def _model_of(runner: Any) -> Any:
    model = unwrapped(runner.model)
    if not isinstance(model, Derives):
        raise TypeError(
            f"DumpSubnetHook needs a model with architecture parameters, such as "
            f"mmrazor.Darts, got {type(model).__name__}. Remove it from custom_hooks."
        )
    return model
