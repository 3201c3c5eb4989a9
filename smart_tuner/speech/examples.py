"""A corpus as training reads it: its mels in the cache, its texts as symbols, its digest."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smart_tuner.progress import Report
from smart_tuner.settings.settings import Settings
from smart_tuner.speech import preflight
from smart_tuner.speech.batches import Example, load_mel
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.corpus import Corpus, Utterance, fixed_rank
from smart_tuner.speech.notes import CorpusNote, require_fit


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
    notes: tuple[CorpusNote, ...] = ()
    """What the preflight said of it."""
    recogniser: Path | None = None
    """File of the recogniser that was trained on these mels, when free-running speech is to be judged."""


def prepare_examples(corpus: Corpus, settings: Settings, cache: MelCache, report: Report) -> Examples:
    """Fill the mel cache. Raises CorpusError for a corpus that the preflight calls bad."""
    require_fit(preflight.judge_rows(corpus, settings))
    sound = preflight.read_sound(corpus, settings, cache, report)
    notes, facts = preflight.judge(corpus, settings, sound), sound.facts
    require_fit(notes)

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
        notes=tuple(notes),
        digest=sha256("\n".join(described).encode()).hexdigest()[:16],
    )
