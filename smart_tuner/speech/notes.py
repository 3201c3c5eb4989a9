"""What is found out about a corpus, in lines for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from smart_tuner.errors import CorpusError

Level = Literal["good", "watch", "bad"]


@dataclass(frozen=True)
class CorpusNote:
    """A line of the preflight. `bad` makes training senseless or impossible, `watch` is worth a look."""

    level: Level
    about: str
    text: str
    details: tuple[str, ...] = ()
    """What is wrong with each file, one a line."""


def require_fit(notes: Sequence[CorpusNote]) -> None:
    """Raise CorpusError, in one line, when a note is bad."""
    bad = [note for note in notes if note.level == "bad"]
    if bad:
        told = "; ".join(
            f"{note.about}: {note.text}" + (f" ({list_some(note.details, 5)})" if note.details else "") for note in bad
        )
        raise CorpusError(f"This corpus cannot be trained on. {told}. (--mode check lists all that it finds.)")


def list_some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
