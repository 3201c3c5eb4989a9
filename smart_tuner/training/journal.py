"""The journal of a trial: every Progress as a line on disk, so that no point is lost when the process is killed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from smart_tuner.errors import CheckpointError
from smart_tuner.progress import Entry, Progress


class Journal:
    """An append-only file of entries. A line that a kill cut short is dropped when the journal is opened again."""

    def __init__(self, path: Path, iteration: int, validated_at: int) -> None:
        """Open the journal, keeping what a checkpoint of these iterations includes: what follows is trained again."""
        until = {"training": iteration, "validation": validated_at}
        self.kept = [entry for entry in read_journal(path) if entry.progress.step <= until[entry.progress.kind]]
        self._path, part = path, path.with_suffix(".part")
        with self._written():
            # rewritten rather than cut in place: a kill in the middle leaves the whole old journal
            part.write_text("".join(_line(entry) for entry in self.kept), encoding="utf-8")
            part.replace(path)
            self._file = path.open("a", encoding="utf-8")

    def append(self, progress: Progress) -> Entry:
        """Note a Progress; it is in the operating system's hands when this returns, so that a kill does not lose it."""
        entry = Entry(progress, time.time_ns() // 1_000_000)
        with self._written():
            self._file.write(_line(entry))
            self._file.flush()
        return entry

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise CheckpointError(f"The journal {self._path} could not be written: {problem.strerror}.") from problem

    def close(self) -> None:
        """Close the file; the entries stay on disk."""
        self._file.close()


def _line(entry: Entry) -> str:
    return json.dumps({"milliseconds": entry.milliseconds, **asdict(entry.progress)}) + "\n"


def read_journal(path: Path) -> list[Entry]:
    """All entries of a journal file; none when there is no file."""
    if not path.exists():
        return []
    # a line without its end was cut short by a kill
    whole_lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    values = [json.loads(line) for line in whole_lines]
    return [Entry(milliseconds=value.pop("milliseconds"), progress=Progress(**value)) for value in values]
