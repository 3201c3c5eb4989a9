"""Storages of studies for tests."""

import functools
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna


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
