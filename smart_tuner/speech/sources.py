"""Where a corpus is: what --data may name, looked at before any library for audio is imported."""

import os
from collections.abc import Sequence
from pathlib import Path

from smart_tuner.errors import CorpusError
from smart_tuner.paths import is_file


def require_sources(sources: Sequence[Path]) -> None:
    """Raise CorpusError unless these are a folder, a list, or a training and a validation list that are there."""
    if not 1 <= len(sources) <= 2:
        raise CorpusError(
            f"--data takes a folder, a list, or a training and a validation list; received {len(sources)} paths."
        )
    for source in sources:
        if not os.path.exists(source):
            raise CorpusError(f"No such file or folder: {source}.")
        if not is_file(find_rows(source)):
            raise CorpusError(f"{source} holds no metadata.csv with id|text or id|text|normalised text rows.")


def find_rows(source: Path) -> Path:
    """The file with the rows of a source: a folder's metadata.csv, or the list itself."""
    return source / "metadata.csv" if os.path.isdir(source) else source
