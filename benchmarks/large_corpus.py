"""A corpus of LJSpeech's size whose clips are all different: pieces of the spoken demo corpus at seeded places."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from smart_tuner.speech import demo

LJSPEECH_MEAN, LJSPEECH_LONGEST = 566, 870
"""Mel frames of LJSpeech's utterances: 6.57 and 10.1 s."""
FEWEST, RATE, HOP = 100, 22_050, 256
CHARACTERS_A_SECOND = 15
QUIETEST, LOUDEST = 0.3, 1.0


def draw_frames(count: int, random: np.random.Generator) -> list[int]:
    """Mel frames of so many utterances, distributed as LJSpeech's: most are long, none longer than 10.1 s."""
    spread = random.beta(4, 2.1, count)
    return [int(frames) for frames in np.clip(spread / spread.mean() * LJSPEECH_MEAN, FEWEST, LJSPEECH_LONGEST)]


def build_large_corpus(spoken: Path, folder: Path, clips: int, seed: int = 0) -> float:
    """Write an LJSpeech folder of so many clips, each with a text about as long; the hours in it.

    spoken: the folder of the demo corpus.
    """
    random = np.random.default_rng(seed)
    sound = np.concatenate([soundfile.read(file, dtype="int16")[0] for file in sorted(spoken.glob("wavs/*.wav"))])
    text = " ".join(demo.read_sentences("en"))
    (folder / "wavs").mkdir(parents=True)
    rows, samples = [], [frames * HOP for frames in draw_frames(clips, random)]
    for number, length in enumerate(samples):
        name = f"clip-{number:05d}"
        soundfile.write(folder / "wavs" / f"{name}.wav", _cut(sound, length, random), RATE, subtype="PCM_16")
        rows.append(f"{name}|{_some_words(text, length / RATE, random)}\n")
    (folder / "metadata.csv").write_text("".join(rows), encoding="utf-8")
    return sum(samples) / RATE / 3600


def _cut(sound: NDArray[np.int16], length: int, random: np.random.Generator) -> NDArray[np.int16]:
    start = int(random.integers(len(sound) - length))
    piece: NDArray[np.int16] = (sound[start : start + length] * random.uniform(QUIETEST, LOUDEST)).astype(np.int16)
    return piece


def _some_words(text: str, seconds: float, random: np.random.Generator) -> str:
    """Whole words that follow each other somewhere in a text, as many as are read in the time."""
    characters = round(seconds * CHARACTERS_A_SECOND)
    start = text.index(" ", int(random.integers(len(text) - 2 * characters))) + 1
    return text[start : text.rindex(" ", start, start + characters)]
