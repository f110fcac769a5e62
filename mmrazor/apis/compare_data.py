"""Tell whether two configs test on the same data, by the same evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from .pruning_run import short_name
from .run_config import RunConfigError

#: How an image is prepared belongs to the model, and what follows to the host.
_OF_MODEL = ("pipeline", "_scope_")


def check_same_test_set(cfgs: Mapping[str, Config]) -> None:
    """Return quietly if all configs have one test set and one evaluator.

    Args:
        cfgs: Configs by name.

    Raises:
        RunConfigError: If a config has no test set, or another one than the first.
    """
    found = {name: _test_set(name, cfg) for name, cfg in cfgs.items()}
    (first, expected), *others = found.items()
    for name, settings in others:
        keys = [*expected, *(key for key in settings if key not in expected)]
        for key in keys:
            ours, theirs = expected.get(key), settings.get(key)
            if ours != theirs:
                raise RunConfigError(
                    f"'{first}' and '{name}' are not tested alike: {key} is {ours!r} "
                    f"and {theirs!r}. Give both configs one test set and one "
                    "evaluator, for instance with --cfg-options, or leave the test out "
                    "(--no-test)."
                )


def _test_set(name: str, cfg: Config) -> dict[str, Any]:
    """Return what decides the scores of a model, as texts by dotted key."""
    if not cfg.get("test_dataloader") or not cfg.get("test_evaluator"):
        raise RunConfigError(
            f"The config of '{name}' has no test_dataloader and test_evaluator. Add "
            "them, or leave the test out (--no-test)."
        )
    plain = ConfigDict(cfg._cfg_dict).to_dict()
    parts = {
        "test_dataloader.dataset": plain["test_dataloader"]["dataset"],
        "test_evaluator": plain["test_evaluator"],
    }
    return dict(_flat(parts, ""))


def _flat(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in _OF_MODEL:
                inner = short_name(item) if key == "type" else item
                yield from _flat(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, item in enumerate(value):
            yield from _flat(item, f"{where}[{number}]")
    else:
        yield where, value
