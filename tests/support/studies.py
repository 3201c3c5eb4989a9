"""Storages of studies for tests."""

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend


@functools.cache
def _empty() -> bytes:
    """The database of a storage without studies; making its tables takes a second."""
    with TemporaryDirectory() as folder:
        optuna.storages.RDBStorage(f"sqlite:///{folder}/studies.db").engine.dispose()
        return (Path(folder) / "studies.db").read_bytes()


def storage(folder: Path) -> str:
    """A fresh storage without studies; its URL."""
    (folder / "studies.db").write_bytes(_empty())
    return f"sqlite:///{folder}/studies.db"


class Memory(BaseJournalBackend):
    """A study storage that waits for no disk: everything that was ever told to it, as JSON."""

    def __init__(self) -> None:
        self._told: list[str] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return map(json.loads, self._told[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._told += map(json.dumps, logs)

    def open(self) -> Any:
        """What Optuna takes in place of a storage's URL: as a program that is started now finds it."""
        return JournalStorage(self)
