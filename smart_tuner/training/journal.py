"""The journal of a trial: every Progress as a line on disk, so that no point is lost when the process is killed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from smart_tuner.errors import CheckpointError
from smart_tuner.progress import Entry, Progress
from smart_tuner.sealed import DamagedError, seal_line, unseal_line, whole_lines


class Journal:
    """An append-only file of entries. A line that a kill cut short is dropped when the journal is opened again.

    So is one that a power cut or a hand has changed.
    """

    def __init__(self, path: Path, iteration: int, validated_at: int) -> None:
        """Open the journal, keeping what a checkpoint of these iterations includes: what follows is trained again."""
        until = {"training": iteration, "validation": validated_at}
        self.kept = [entry for entry in read_journal(path) if entry.progress.step <= until[entry.progress.kind]]
        self.lost = iteration - sum(entry.progress.kind == "training" for entry in self.kept)
        """Iterations that the checkpoint includes and the file does not tell of any more."""
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


def describe_loss(journal: Journal) -> str:
    """For a person: what of the past nobody can tell any more, and what that changes."""
    return (
        f"its journal is damaged and no longer tells of {journal.lost} of the iterations before; the training goes on "
        "from its checkpoint all the same, and the health rules judge without them"
    )


def _line(entry: Entry) -> str:
    return seal_line({"milliseconds": entry.milliseconds, **asdict(entry.progress)})


def read_journal(path: Path) -> list[Entry]:
    """All entries of a journal file that are as they were written; none when there is no file."""
    entries = []
    for line in whole_lines(path.read_bytes()) if path.exists() else []:
        try:
            # lines of an earlier version have no seal
            values = unseal_line(line) if b'"crc32"' in line else json.loads(line)
        except (DamagedError, ValueError, RecursionError):  # the last: brackets within brackets
            continue  # Journal.lost counts them
        if (entry := _entry(values)) is not None:
            entries.append(entry)
    return entries


def _entry(values: object) -> Entry | None:
    """An entry from its values; None for values that are none."""
    match values:
        case {
            "milliseconds": int(milliseconds),
            "kind": "training" | "validation" as kind,
            "step": int(step),
            "utterances": int(utterances),
            "fraction": int(fraction) | float(fraction),
            "metrics": dict(metrics),
            **others,
        } if not others and all(isinstance(value, int | float) for value in metrics.values()):
            progress = Progress(kind=kind, step=step, utterances=utterances, fraction=fraction, metrics=metrics)
            return Entry(progress, milliseconds)
    return None
