"""A voice corpus as listed: rows of audio file and text, their split, and the examples that training reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from smart_tuner.errors import CorpusError
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.audio import WAV_EXTENSIONS
from smart_tuner.speech.front_end import FrontEnd
from smart_tuner.speech.sources import find_rows, require_sources
from smart_tuner.speech.symbols import SymbolTable
from smart_tuner.speech.text import detect_language


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A row of a corpus."""

    name: str
    audio: Path
    text: str
    """As written; read_aloud is what the model sees."""
    read_aloud: str
    file: Path
    """The list that it stands in."""
    line: int

    @property
    def row(self) -> str:
        """File and line, for messages."""
        return f"{self.file.name}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The rows of a corpus, split."""

    name: str
    language: str
    symbols: SymbolTable
    train: list[Utterance]
    validation: list[Utterance]
    front_end: FrontEnd = field(default_factory=lambda: FrontEnd("en"))
    """What read the texts; a checkpoint keeps it, synthesis uses it again."""

    @property
    def utterances(self) -> list[Utterance]:
        """All rows, training first."""
        return self.train + self.validation


def read_corpus(sources: Sequence[Path], settings: Settings) -> Corpus:
    """A corpus from an LJSpeech folder, a list of `path|text` rows, or a training and a validation list.

    Raises CorpusError for a source that is not there and for a row with the wrong number of columns.
    """
    require_sources(sources)
    lists = [_read_source(source) for source in sources]
    chosen = settings.speech.language
    language = detect_language(text for rows in lists for _, _, text, _, _ in rows) if chosen == "auto" else chosen
    front_end = FrontEnd.of(settings.speech, language)
    spoken = iter(front_end.read_all(text for rows in lists for _, _, text, _, _ in rows))
    split = [
        [Utterance(name=n, audio=a, text=t, read_aloud=next(spoken), file=f, line=r) for n, a, t, f, r in rows]
        for rows in lists
    ]
    train, validation = split if len(split) == 2 else _split(split[0], settings)
    return Corpus(
        name=_corpus_name(sources[0].resolve()),
        language=language,
        symbols=front_end.symbols,
        train=train,
        validation=validation,
        front_end=front_end,
    )


def _corpus_name(source: Path) -> str:
    """The folder's or the list's name, in characters that suit a folder name and a command line."""
    return re.sub(r"[^\w.-]+", "-", source.name if source.is_dir() else source.stem)


Row = tuple[str, Path, str, Path, int]
"""Name, audio file, text, list and line."""


def _read_source(source: Path) -> list[Row]:
    file = find_rows(source)
    columns = (2, 3) if source.is_dir() else (2,)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise CorpusError(f"{file} cannot be read as UTF-8 text: {problem}.") from problem
    numbered = [(number, line.split("|")) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise CorpusError(f"{file} has no rows.")
    width = len(numbered[0][1]) if len(numbered[0][1]) in columns else columns[-1]
    for number, cells in numbered:
        if len(cells) != width:
            wanted = "id|text or id|text|normalised text" if source.is_dir() else "path|text"
            raise CorpusError(
                f"{file}, line {number}: rows here have {width} columns ({wanted}); this one has {len(cells)}."
            )
    find = _clip_in_folder if source.is_dir() else _clip_of_list
    return [(*find(source, cells[0].strip()), cells[-1].strip(), file, number) for number, cells in numbered]


def _clip_in_folder(folder: Path, name: str) -> tuple[str, Path]:
    stem = folder / "wavs" / name
    candidates = (
        [stem]
        if stem.suffix.lower() in WAV_EXTENSIONS
        else [Path(f"{stem}{kind}") for lower in WAV_EXTENSIONS for kind in (lower, lower.upper())]
    )
    return name, next((path for path in candidates if path.is_file()), candidates[0])


def _clip_of_list(file: Path, entry: str) -> tuple[str, Path]:
    beside = file.parent / entry
    return entry, beside if beside.is_file() or not Path(entry).is_file() else Path(entry)


def _split(utterances: list[Utterance], settings: Settings) -> tuple[list[Utterance], list[Utterance]]:
    """Training and validation rows. Which row goes where depends on names alone, not on their order."""
    ranked = sorted(utterances, key=lambda utterance: (fixed_rank(utterance.name), utterance.name))
    count = hold_out(len(ranked), settings)
    return ranked[count:], ranked[:count]


def hold_out(utterances: int, settings: Settings) -> int:
    """How many of a corpus's utterances are for validation when it brings no validation list."""
    share = int(utterances * settings.speech.validation_share + 1e-9)
    return min(max(1, share), settings.hparams.validation_utterances, utterances - 1)


def fixed_rank(name: str) -> str:
    """A shuffle that never changes: the order of names' hashes."""
    return sha256(name.encode()).hexdigest()
