"""A voice corpus as listed: rows of audio file and text, their split, and the examples that training reads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_tuner.errors import CorpusError
from smart_tuner.paths import is_file
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.audio import WAV_EXTENSIONS, AudioFacts
from smart_tuner.speech.batches import Example, load_mel
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.front_end import FrontEnd
from smart_tuner.speech.notes import CorpusNote
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


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A corpus ready for training: its mels are in the cache."""

    corpus: Corpus
    train: list[Example]
    validation: list[Example]
    mean_mel: NDArray[np.float32]
    """Mean frame (M,) of at most 500 training utterances."""
    hours: float
    digest: str
    """Changes when a text, the content of an audio file or the split changes."""
    notes: Sequence[CorpusNote] = ()
    """What the preflight said of it."""
    recogniser: Path | None = None
    """File of the recogniser that was trained on these mels, when free-running speech is to be judged."""
    recogniser_awaited: bool = False
    """Whether it is still being trained, in another process, when the training of voices begins."""
    no_judge: str = ""
    """Why the recogniser that was trained judges nothing."""


def read_corpus(sources: Sequence[Path], settings: Settings) -> Corpus:
    """A corpus from an LJSpeech folder, a list of `path|text` rows, or a training and a validation list.

    Raises CorpusError for a source that is not there and for a row with the wrong number of columns.
    """
    require_sources(sources)
    named, lists = zip(*(_read_source(source) for source in sources), strict=True)
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
        name=_corpus_name(named[0].resolve()),
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


def _read_source(source: Path) -> tuple[Path, list[Row]]:
    """What the corpus is named after, the folder or the list, and its rows."""
    file = find_rows(source)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise CorpusError(f"{file} cannot be read as UTF-8 text: {problem}.") from problem
    numbered = [(number, line.split("|")) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise CorpusError(f"{file} has no rows.")
    by_id = source.is_dir() or _lists_ids(file, [cells[0].strip() for _, cells in numbered])
    wanted, columns = ("id|text or id|text|normalised text", (2, 3)) if by_id else ("path|text", (2,))
    filled = [(number, cells, _without_empty_end(cells)) for number, cells in numbered]
    whole = (len(left) for _, cells, left in filled if left == cells)
    width = next(whole, max(len(left) for _, _, left in filled))
    width = width if width in columns else columns[-1]
    for number, cells, left in filled:
        if "\0" in "".join(cells):
            raise CorpusError(f"{file}, line {number}: it holds a zero byte; no text has one, and no file's name.")
        if len(left) != width and not (left != cells and len(left) < width):
            raise CorpusError(
                f"{file}, line {number}: rows here have {width} columns ({wanted}); this one has {len(cells)}."
            )
    find, place = (_clip_in_folder, file.parent) if by_id else (_clip_of_list, file)
    rows = [(*find(place, left[0].strip()), left[-1].strip(), file, number) for number, _, left in filled]
    return file.parent if by_id and file.name == "metadata.csv" else source, rows


def _without_empty_end(cells: list[str]) -> list[str]:
    """The cells of a row without empty ones after the second: the text is in the last that remains."""
    last = max((column for column, cell in enumerate(cells) if cell.strip()), default=0)
    return cells[: max(2, last + 1)]


def _lists_ids(file: Path, entries: Sequence[str]) -> bool:
    """Whether a list holds ids of clips in wavs/ beside it, as a metadata.csv, and no paths.

    The first clip that is there decides; without any, the list's name does.
    """
    folder = file.parent
    if not (folder / "wavs").is_dir():
        return False
    for entry in entries:
        if is_file(_clip_of_list(file, entry)[1]):
            return False
        if is_file(_clip_in_folder(folder, entry)[1]):
            return True
    return file.name == "metadata.csv"


def _clip_in_folder(folder: Path, name: str) -> tuple[str, Path]:
    stem = folder / "wavs" / name
    candidates = (
        [stem]
        if stem.suffix.lower() in WAV_EXTENSIONS
        else [Path(f"{stem}{kind}") for lower in WAV_EXTENSIONS for kind in (lower, lower.upper())]
    )
    return name, next((path for path in candidates if is_file(path)), candidates[0])


def _clip_of_list(file: Path, entry: str) -> tuple[str, Path]:
    beside = file.parent / entry
    return entry, beside if is_file(beside) or not is_file(Path(entry)) else Path(entry)


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


def make_examples(
    corpus: Corpus, settings: Settings, cache: MelCache, facts: Mapping[Path, AudioFacts], notes: Sequence[CorpusNote]
) -> Examples:
    """What training reads of a corpus that is fit for it, and whose mels are in the cache."""

    def example(utterance: Utterance) -> Example:
        tokens = np.array(corpus.symbols.encode(utterance.read_aloud), dtype=np.int64)
        frames = facts[utterance.audio].frames
        return Example(name=utterance.name, tokens=tokens, frames=frames, mel=cache.mel_path(utterance.audio))

    chosen = sorted(corpus.validation, key=lambda utterance: fixed_rank(utterance.name))
    train = [example(utterance) for utterance in sorted(corpus.train, key=lambda utterance: utterance.name)]
    sample = sorted(train, key=lambda item: fixed_rank(item.name))[:500]
    total = np.sum([load_mel(item).sum(axis=1, dtype=np.float64) for item in sample], axis=0)
    sides = {"train": corpus.train, "validation": corpus.validation}
    described = sorted(
        f"{side}|{utterance.name}|{utterance.text}|{facts[utterance.audio].sha256}"
        for side, utterances in sides.items()
        for utterance in utterances
    )
    return Examples(
        corpus=corpus,
        train=train,
        validation=[example(utterance) for utterance in chosen[: settings.hparams.validation_utterances]],
        mean_mel=(total / sum(item.frames for item in sample)).astype(np.float32),
        hours=sum(facts[utterance.audio].seconds for utterance in corpus.utterances) / 3600,
        notes=notes,
        digest=sha256("\n".join(described).encode()).hexdigest()[:16],
    )
