"""Preflight of a corpus: everything that could spoil a training, counted, before a GPU is rented."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from smart_tuner.progress import Report
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.audio import AudioFacts
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.corpus import SHORTEST_FRAMES, Corpus, Utterance
from smart_tuner.speech.doubts import describe_doubts
from smart_tuner.speech.symbols import describe_unknown

LONGEST_SECONDS = 12.0
"""Clips over this length make batches that need much memory."""


@dataclass(frozen=True)
class CorpusNote:
    """A line of the preflight. `bad` makes training senseless or impossible, `watch` is worth a look."""

    level: Literal["good", "watch", "bad"]
    about: str
    text: str


def check_corpus(corpus: Corpus, settings: Settings, cache: MelCache, report: Report) -> list[CorpusNote]:
    """All findings about a corpus, in the order a person asks."""
    facts, bad_files = cache.prepare([utterance.audio for utterance in corpus.utterances], report)
    usable = [utterance for utterance in corpus.utterances if utterance.audio in facts]
    return [
        *_size(corpus, facts, settings),
        _files(bad_files),
        *_texts(corpus),
        *_audio(usable, facts, settings),
        *_lengths(usable, facts),
        *_duplicates(corpus, facts),
    ]


def _size(corpus: Corpus, facts: dict[Path, AudioFacts], settings: Settings) -> list[CorpusNote]:
    train, validation, batch = len(corpus.train), len(corpus.validation), settings.hparams.batch_size
    hours = sum(found.seconds for found in facts.values()) / 3600
    size = f"{train + validation:,} utterances, {hours:.2f} h, language {corpus.language}"
    enough = CorpusNote("good", "size", size)
    if train < batch:
        enough = CorpusNote("bad", "size", f"{size}; {train} training utterances are fewer than a batch of {batch}")
    elif hours < 0.25:
        enough = CorpusNote("watch", "size", f"{size}; little to learn from, expect overfitting")
    share = validation / (train + validation)
    level: Literal["good", "bad"] = "bad" if (share > 0.2 and validation > 1) or not validation else "good"
    limit = "" if level == "good" else "; at most 20 % may be" if validation else "; at least one is needed"
    return [enough, CorpusNote(level, "validation", f"{validation} utterances ({share:.1%}){limit}")]


def _files(bad: dict[Path, str]) -> CorpusNote:
    if not bad:
        return CorpusNote("good", "files", "all present and readable")
    shown = "".join(f"\n    {path}: {why}" for path, why in bad.items())
    return CorpusNote("bad", "files", f"{len(bad)} missing, empty or unreadable{shown}")


def _texts(corpus: Corpus) -> list[CorpusNote]:
    empty = [utterance.row for utterance in corpus.utterances if not utterance.read_aloud]
    unknown = describe_unknown(corpus.symbols, [(one.row, one.read_aloud) for one in corpus.utterances])
    bad = [f"{len(empty)} empty: {_some(empty)}"] * bool(empty) + [f"unknown symbol {phrase}" for phrase in unknown]
    doubts = describe_doubts([(one.row, one.text) for one in corpus.utterances], corpus.language)
    return [
        *(CorpusNote("bad", "texts", text) for text in bad),
        *(CorpusNote("watch", "texts", text) for text in doubts),
    ] or [CorpusNote("good", "texts", "none empty, every symbol known, every number and mark of a sure form")]


def _audio(utterances: list[Utterance], facts: dict[Path, AudioFacts], settings: Settings) -> list[CorpusNote]:
    if not utterances:
        return []
    found = [facts[utterance.audio] for utterance in utterances]
    rates = Counter(f"{recording.sample_rate} Hz{' stereo' if recording.channels == 2 else ''}" for recording in found)
    listed = ", ".join(f"{rate}: {count}" for rate, count in rates.most_common())
    below = any(recording.sample_rate < settings.speech.sampling_rate for recording in found)
    note = f"; resampled to {settings.speech.sampling_rate} Hz, with nothing above half the lower rate" if below else ""
    silent = sum(recording.edge_silence > 0.15 for recording in found) / len(found)
    cut = "trimmed" if settings.speech.trim_silence else "not trimmed: set speech.trim_silence"
    clipped = [
        utterance.name for utterance, recording in zip(utterances, found, strict=True) if recording.clipped > 1e-3
    ]
    return [
        CorpusNote("watch" if below or len(rates) > 1 else "good", "sample rates", listed + note),
        CorpusNote(
            "watch" if silent > 0.1 and not settings.speech.trim_silence else "good",
            "edge silence",
            f"over 150 ms at an end of {silent:.0%} of the clips ({cut})",
        ),
        CorpusNote(
            "watch" if clipped else "good",
            "clipping",
            f"{len(clipped)} clipped clips" + (f": {_some(clipped)}" if clipped else ""),
        ),
    ]


def _lengths(utterances: list[Utterance], facts: dict[Path, AudioFacts]) -> list[CorpusNote]:
    if not utterances:
        return []
    seconds = np.array([facts[utterance.audio].seconds for utterance in utterances])
    speed = np.array([len(utterance.read_aloud) for utterance in utterances]) / seconds
    low, median, high = np.percentile(speed, [1, 50, 99])
    odd = [
        utterance.name for utterance, one in zip(utterances, speed, strict=True) if not median / 3 < one < median * 3
    ]
    short = [utterance.name for utterance in utterances if facts[utterance.audio].frames < SHORTEST_FRAMES]
    long = [utterance.name for utterance, one in zip(utterances, seconds, strict=True) if one > LONGEST_SECONDS]
    span = f"{seconds.min():.1f} to {seconds.max():.1f} s, median {np.median(seconds):.1f} s"
    pace = f"median {median:.1f} characters a second, 98 % between {low:.1f} and {high:.1f}"
    return [
        CorpusNote("bad", "duration", f"{len(short)} shorter than {SHORTEST_FRAMES} mel frames: {_some(short)}")
        if short
        else CorpusNote("watch", "duration", f"{span}; {len(long)} over {LONGEST_SECONDS:g} s: {_some(long)}")
        if long
        else CorpusNote("good", "duration", span),
        CorpusNote("watch", "pace", f"{pace}; {len(odd)} under a third or over three times the median: {_some(odd)}")
        if odd
        else CorpusNote("good", "pace", pace),
    ]


def _duplicates(corpus: Corpus, facts: dict[Path, AudioFacts]) -> list[CorpusNote]:
    names = _repeated(utterance.name for utterance in corpus.utterances)
    audio = _repeated(facts[utterance.audio].sha256 for utterance in corpus.utterances if utterance.audio in facts)
    same = [
        utterance.name
        for utterance in corpus.utterances
        if utterance.audio in facts and facts[utterance.audio].sha256 in audio
    ]
    texts = _repeated(utterance.read_aloud for utterance in corpus.utterances)
    findings = (
        [CorpusNote("bad", "duplicates", f"{len(names)} names stand twice: {_some(sorted(names))}")] if names else []
    )
    if same:
        findings.append(CorpusNote("watch", "duplicates", f"{len(same)} clips are the same recording: {_some(same)}"))
    if texts:
        findings.append(
            CorpusNote("watch", "duplicates", f"{len(texts)} texts stand more than once: {_some(sorted(texts))}")
        )
    return findings or [CorpusNote("good", "duplicates", "none")]


def _repeated(values: Iterable[str]) -> set[str]:
    return {value for value, count in Counter(values).items() if count > 1}


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
