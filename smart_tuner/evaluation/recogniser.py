"""The judge of free-running speech: a recogniser of a corpus's own sounds, and how its readings are counted.

It needs no download and works for any language and symbol table, phonemes too. recogniser_training.py makes one.
"""

import json
import math
import unicodedata
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.ctc import BLANK, STRIDE, CtcRecogniser, best_path
from model.lengths import decoder_steps
from smart_tuner.checkpoint import read_tensors
from smart_tuner.errors import CheckpointError
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.batches import collate
from smart_tuner.speech.mel_file import MEL_VERSION

VERSION = 3
"""Raise it when the same corpus comes to give another recogniser: those made before are then left alone."""
TEXT = ("front_end", "stress")
AUDIO = ("sampling_rate", "filter_length", "hop_length", "win_length", "n_mel_channels", "mel_fmin", "mel_fmax")
TRIMMING = ("trim_silence", "trim_db", "kept_silence")
STRESS_MARKS = "+ˈˌ"
APOSTROPHES = "'’"
BATCH = 8
MOST_ERRORS = 0.3
"""Character error rate on recordings above which a recogniser is no judge: with three in ten characters wrong, hardly a
word is right, and what it says of a voice is about itself. Espeak-ng's voices are read with
0.08 to 0.11, a quarter of an hour of telephone prompts by a person with 0.25."""
REMEDY = "; the next training makes it again"


class Alphabet:
    """What a recogniser writes: the sounds of a symbol table and the space, without punctuation and stress marks."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = list(symbols)
        self.labels = (" ", *(symbol for symbol in symbols if is_sound(symbol)))
        rows = {label: row for row, label in enumerate(self.labels, start=BLANK + 1)}
        self._of_symbol = [rows[" "] if may_rest(symbol) else rows.get(symbol) for symbol in symbols]

    def spell(self, tokens: Sequence[int] | NDArray[np.int64]) -> list[int]:
        """The labels of a text's symbols: one space between words, whatever punctuation is there, none at the ends."""
        spelt = [label for token in tokens if (label := self._of_symbol[token]) is not None]
        space = BLANK + 1
        joined = [now for before, now in pairwise([space, *spelt]) if (before, now) != (space, space)]
        return joined[:-1] if joined and joined[-1] == space else joined

    def text(self, labels: Sequence[int]) -> str:
        """Labels as a text."""
        return "".join(self.labels[label - BLANK - 1] for label in labels)


def is_sound(symbol: str) -> bool:
    """Letters, phonemes and their modifiers; neither punctuation, space, stress marks nor the table's own marks."""
    return symbol not in STRESS_MARKS and all(unicodedata.category(part)[0] in "LM" for part in symbol)


def may_rest(symbol: str) -> bool:
    """Whether words end at a symbol: space, punctuation and the table's own marks, but no apostrophe or stress mark."""
    return not is_sound(symbol) and symbol not in STRESS_MARKS + APOSTROPHES


class Recogniser:
    """A trained recogniser; where a corpus has nothing to train on, an untrained one with the reason."""

    def __init__(
        self, network: CtcRecogniser, alphabet: Alphabet, cer_recorded: float = math.nan, untrained: str = ""
    ) -> None:
        self.network, self.alphabet, self.untrained = network, alphabet, untrained
        self.cer_recorded = cer_recorded
        """Character error rate on the corpus's validation recordings; NaN when that is not known."""

    @property
    def no_judge(self) -> str:
        """Why its readings say nothing about a voice; empty when they do."""
        if self.untrained:
            return self.untrained
        if math.isnan(self.cer_recorded):
            return "the validation texts have no letters to compare its readings with"
        if self.cer_recorded > MOST_ERRORS:
            return (
                f"its character error rate on recorded speech is {self.cer_recorded:.0%}, more than {MOST_ERRORS:.0%}"
            )
        return ""

    @classmethod
    def load(cls, file: Path) -> "Recogniser":
        """From the file that prepare made. Raises CheckpointError for a file that is none."""
        try:
            kept = read_tensors(file, REMEDY, kind="recogniser")
            alphabet = Alphabet(kept["symbols"])
            with torch.device("meta"):  # drawing weights would move the random state
                network = CtcRecogniser(kept["mels"], len(alphabet.labels) + 1)
            network.load_state_dict(kept["state_dict"], assign=True)
            return cls(network, alphabet, kept["cer_recorded"], kept["untrained"])
        except (KeyError, TypeError, ValueError, RuntimeError) as problem:
            raise CheckpointError(f"The recogniser {file} is none of this version's{REMEDY}.") from problem

    def transcribe(self, mels: Sequence[NDArray[np.float32]]) -> list[str]:
        """What log-mel spectrograms (M, F) say; nothing for one without frames."""
        return [self.alphabet.text(labels) for labels in self.hear(mels)]

    @torch.no_grad()
    def hear(self, mels: Sequence[NDArray[np.float32]]) -> list[list[int]]:
        """The same as labels."""
        self.network.eval()
        heard: list[list[int]] = [[] for _ in mels]
        ordered = sorted((index for index, mel in enumerate(mels) if mel.shape[1]), key=lambda row: mels[row].shape[1])
        device, nothing = self.network.mean_M.device, np.zeros(0, dtype=np.int64)
        for start in range(0, len(ordered), BATCH):
            chosen = ordered[start : start + BATCH]
            batch = collate([(nothing, mels[index]) for index in chosen]).to(device)
            log_probs = self.network(self.network.normalise(batch.mels_BMF, batch.frames_B), batch.frames_B)
            for index, labels in zip(chosen, best_path(log_probs, decoder_steps(batch.frames_B, STRIDE)), strict=True):
                heard[index] = labels
        return heard

    def error_rate(self, mels: Sequence[NDArray[np.float32]], tokens: Sequence[NDArray[np.int64]]) -> float:
        """Character error rate of what mels say against texts: all edits over all characters, so it may pass 1.

        NaN when the texts have no characters.
        """
        return self.error_rate_of(self.hear(mels), tokens)

    def error_rate_of(self, heard: Sequence[Sequence[int]], tokens: Sequence[NDArray[np.int64]]) -> float:
        """The same of what was heard already, as labels."""
        meant = [self.alphabet.spell(text) for text in tokens]
        edits = sum(levenshtein(labels, text) for labels, text in zip(heard, meant, strict=True))
        characters = sum(map(len, meant))
        return edits / characters if characters else math.nan


def levenshtein(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other."""
    before = list(range(len(other) + 1))
    for row, item in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other, start=1):
            changed = before[column - 1] + (item != wanted)
            current.append(min(before[column] + 1, current[-1] + 1, changed))
        before = current
    return before[-1]


def recogniser_file(folder: Path, digest: str, settings: Settings, symbols: Sequence[str]) -> Path:
    """Where the recogniser of a corpus is, or would be: by all that makes it."""
    deciding = {
        "version": VERSION,
        "mels": MEL_VERSION,
        "corpus": digest,
        "symbols": list(symbols),
        "steps": settings.tracking.recogniser_steps,
    } | {name: getattr(settings.speech, name) for name in (*TEXT, *AUDIO, *TRIMMING)}
    return folder / f"{sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:24]}.pt"


def write_recogniser(file: Path, recogniser: Recogniser) -> None:
    """Put a recogniser in its place when it is complete. Raises OSError."""
    network = recogniser.network.cpu()
    kept = {"mels": len(network.mean_M), "cer_recorded": recogniser.cer_recorded, "untrained": recogniser.untrained}
    part = file.with_suffix(".part")
    try:
        torch.save({"symbols": recogniser.alphabet.symbols, **kept, "state_dict": network.state_dict()}, part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
