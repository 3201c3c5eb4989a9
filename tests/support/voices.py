"""A synthetic voice corpus: clips of gliding harmonics with a little noise, in the LJSpeech layout."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from smart_tuner.settings.settings import Settings
from smart_tuner.speech.cache import MelCache

SUBJECTS = {
    "en": ["the cat", "a ship", "our train", "his uncle", "the rain"],
    "ru": ["кошка", "лодка", "соседка", "зима", "ёлка"],
}
PREDICATES = {
    "en": ["came home", "was late", "fell asleep", "turned left", "made no sound"],
    "ru": ["пришла домой", "опоздала", "уснула", "свернула налево", "молчала"],
}


def no_report(done: int, total: int) -> None:
    """For those who do not watch."""


def text(number: int, language: str = "en") -> str:
    """A sentence, another one for each number."""
    subjects, predicates = SUBJECTS[language], PREDICATES[language]
    again, place = divmod(number, len(subjects) * len(predicates))
    verb, subject = divmod(place, len(subjects))
    return f"{subjects[subject]} {predicates[verb]}{' again' * again if language == 'en' else ' опять' * again}."


def speech(seconds: float, rate: int, seed: int = 0) -> NDArray[np.float32]:
    """Samples that resemble a voice: harmonics of a pitch that glides, in syllables, with breath."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(150 + 30 * random.random() + 25 * np.sin(2 * np.pi * 1.3 * time)) / rate
    voiced = np.sum([np.sin(order * phase) / order for order in range(1, 12)], axis=0)
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * time)
    breath = random.standard_normal(len(time)) * 0.02
    return np.asarray(0.3 * syllables * (voiced + breath), dtype=np.float32)


def write(path: Path, samples: NDArray[np.float32], rate: int, channels: int = 1) -> Path:
    """An audio file in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.repeat(samples[:, None], channels, axis=1), rate)
    return path


def write_voice(
    folder: Path,
    count: int = 12,
    *,
    pace: float = 17.0,
    rate: int = 22050,
    channels: int = 1,
    format: str = "wav",
    language: str = "en",
) -> Path:
    """An LJSpeech folder of count clips, each another sound and text, read at so many characters a second."""
    for number in range(count):
        samples = speech(len(text(number, language)) / pace, rate, seed=number)
        write(folder / "wavs" / f"clip-{number:03d}.{format}", samples, rate, channels)
    write_rows(folder, [f"clip-{number:03d}|{text(number, language)}" for number in range(count)])
    return folder


def write_rows(folder: Path, rows: list[str]) -> Path:
    """The folder with these rows as its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.csv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def listed(count: int) -> list[str]:
    """Rows of a list of the clips of write_voice."""
    return [f"wavs/clip-{number:03d}.wav|{text(number)}" for number in range(count)]


def write_lists(folder: Path, train: list[str], validation: list[str]) -> tuple[Path, Path]:
    """A training and a validation list of these rows."""
    files = folder / "train.txt", folder / "val.txt"
    for file, rows in zip(files, (train, validation), strict=True):
        file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return files


def cache_of(root: Path, settings: Settings) -> MelCache:
    """A mel cache beside the corpus."""
    return MelCache(root / "mels", settings.speech)
