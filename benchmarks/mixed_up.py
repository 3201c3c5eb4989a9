"""How often the preflight notices texts that stand beside the wrong clips, and how often it raises a false alarm.

`python -m benchmarks.mixed_up FOLDER ...` draws stretches of each corpus and mixes their texts up, a minute for each.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_corpus import quiet
from smart_tuner.settings.settings import load_settings
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.corpus import read_corpus
from smart_tuner.speech.plausibility import TOGETHER, Values, explained, find_moved_texts
from smart_tuner.speech.preflight import read_sound

SIZES = (12, 24, 48)
DRAWN = 60


def shuffle(texts: Values) -> Values:
    return np.random.default_rng(len(texts)).permutation(texts)


def move_second_half(texts: Values) -> Values:
    half = len(texts) // 2
    return np.concatenate([texts[:half], np.roll(texts[half:], -1)])


MIXED: dict[str, Callable[[Values], Values]] = {
    "as they were": lambda texts: texts,
    "up by one": lambda texts: np.roll(texts, -1),
    "down by two": lambda texts: np.roll(texts, 2),
    "second half": move_second_half,
    "shuffled": shuffle,
}


def read_lengths(folder: Path, output: Path) -> tuple[Values, Values]:
    """Characters and seconds of each clip, in the order of the rows."""
    settings = load_settings("demo", None, [])
    corpus = read_corpus([folder], settings)
    sound = read_sound(corpus, settings, MelCache(output / "mels", settings.speech), quiet)
    rows = sorted((utterance for utterance in corpus.utterances if utterance.audio in sound.seconds),
                  key=lambda utterance: utterance.line)  # fmt: skip
    characters = np.array([len(utterance.read_aloud) for utterance in rows], dtype=float)
    return characters, np.array([sound.seconds[utterance.audio] for utterance in rows])


def measure(characters: Values, seconds: Values, size: int, mix: Callable[[Values], Values]) -> tuple[float, float]:
    """Shares of the stretches whose texts are said to have moved, and of those that would be called mixed up at all."""
    random = np.random.default_rng(size)
    moved, noticed = list[bool](), list[bool]()
    for start in random.integers(0, len(seconds) - size + 1, DRAWN):
        texts, sounds = mix(characters[start : start + size]), seconds[start : start + size]
        share = explained(texts, sounds)
        moved.append(find_moved_texts(texts, sounds) is not None)
        noticed.append(moved[-1] or (share is not None and share < TOGETHER))
    return float(np.mean(moved)), float(np.mean(noticed))


def main() -> None:
    """Print a line for each kind of mixture, size and corpus."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=Path("smart_tuner_files"))
    given = parser.parse_args()
    for folder in given.folders:
        characters, seconds = read_lengths(folder, given.output)
        short: NDArray[np.bool_] = characters < 60
        for which, chosen in (("all", np.ones_like(short)), ("under 60 characters", short)):
            print(f"{folder.name}, {which}: texts explain {explained(characters[chosen], seconds[chosen]) or 0:.0%}")
            for mixture, mix in MIXED.items():
                told = (measure(characters[chosen], seconds[chosen], size, mix) for size in SIZES)
                line = "; ".join(f"{size} clips: moved {moved:.0%}, noticed {noticed:.0%}"
                                 for size, (moved, noticed) in zip(SIZES, told, strict=True))  # fmt: skip
                print(f"  {mixture:<13}{line}")


if __name__ == "__main__":
    main()
