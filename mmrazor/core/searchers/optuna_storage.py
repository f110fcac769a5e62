# Optuna (Akiba et al., 2019, arXiv:1907.10902) is loaded on use.
"""The storage of an Optuna study, and the study in it."""

from __future__ import annotations

import re
import sqlite3
import time
import warnings
from collections.abc import Sequence
from typing import Any

from ..space import OneOf, SearchSpace

_SPACE = "space"
_ATTEMPTS = 5
_RACE = re.compile("exist|unique|duplicate", re.IGNORECASE)
_LOCKED_S = 60


class LocalConnection(sqlite3.Connection):
    """A connection that waits for the disk seldom: a trial is dozens of commits.

    What is committed outlives the process in any case.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keep_log()
        self.execute("PRAGMA synchronous=NORMAL")

    def _keep_log(self) -> None:
        """Write ahead to a log; SQLite does not wait for others with this by itself."""
        end = time.monotonic() + _LOCKED_S
        while True:
            try:
                self.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as err:
                if "locked" not in str(err) or time.monotonic() > end:
                    raise
                time.sleep(0.01)


def categorical(space: SearchSpace) -> dict[str, Any]:
    """Return Optuna's distribution of each Choice.

    Raises:
        ValueError: If a Choice has no list of values.
    """
    from optuna.distributions import CategoricalDistribution

    for name, choice in space.items():
        if not isinstance(choice, OneOf):
            raise ValueError(
                f"Optuna chooses from lists of values; Choice {name!r} is a "
                f"{type(choice).__name__}, which has none. Use another searcher."
            )
    return {name: CategoricalDistribution(c.allowed()) for name, c in space.items()}


def opened_storage(url: str, heartbeat_s: int) -> Any:
    """Open a database that knows whose trials show signs of life.

    Raises:
        ConnectionError: If it cannot be reached.
    """
    options: dict[str, Any] = {
        "heartbeat_interval": heartbeat_s,
        "grace_period": 2 * heartbeat_s,
    }
    if url.startswith("sqlite"):
        arguments = {"factory": LocalConnection, "timeout": _LOCKED_S}
        options["engine_kwargs"] = {"connect_args": arguments}
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _database(url, options)
        except Exception as err:
            # Workers that begin at once all make the tables; one of them is first.
            if _RACE.search(str(err)) and attempt < _ATTEMPTS:
                time.sleep(0.5)
                continue
            shown = re.sub(r"//([^:/@]*):[^@]*@", r"//\1:***@", url)
            raise ConnectionError(
                f"The storage {shown!r} of the search cannot be reached: "
                f"{type(err).__name__}: {str(err).splitlines()[0]}. Check the address, "
                "the database and its Python driver, or leave storage out for a file "
                "of SQLite."
            ) from err
    raise AssertionError("the last attempt returns or raises")


def _database(url: str, options: dict[str, Any]) -> Any:
    from optuna import storages

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental, as all of the heartbeat
        return storages.RDBStorage(url, **options)


def opened_study(
    storage: Any, name: str, space: SearchSpace, directions: Sequence[Any]
) -> Any:
    """Join a study, or begin it.

    Raises:
        ValueError: If it is of another space or has other objectives.
    """
    import optuna

    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=list(directions),
        load_if_exists=True,
    )
    known = study.user_attrs.get(_SPACE)
    if known is None:
        study.set_user_attr(_SPACE, space.fingerprint())
    found = [direction.name.lower() for direction in study.directions]
    if known not in (None, space.fingerprint()) or found != list(directions):
        raise ValueError(
            f"Study {name!r} in the storage searches space {known} for {found}, this "
            f"search {space.fingerprint()} for {list(directions)}. Give this search "
            "another study name, or join with the config that the study was begun with."
        )
    return study
