"""The corpus of a mode: opened, described before anything runs, and made ready for training."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from smart_tuner.cli.console import Console
from smart_tuner.cli.options import Options, remove_made
from smart_tuner.evaluation.freerun import speaks_freely
from smart_tuner.evaluation.recogniser import Recogniser
from smart_tuner.evaluation.recogniser_training import prepare_recogniser
from smart_tuner.settings.settings import Settings
from smart_tuner.speech import audio, corpus, demo
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.corpus import Corpus, Examples

DEMO_FRAMES = 4.8
"""Mel frames of a character when the demo corpus is spoken."""


def demo_language(options: Options, settings: Settings) -> str | None:
    """Language of the demo corpus, or None when the user has a corpus."""
    if options.data:
        return None
    return "ru" if settings.speech.language == "ru" else "en"


def mel_cache(options: Options, settings: Settings) -> MelCache:
    """The mel cache in the output folder."""
    return MelCache(options.files.mels, settings.speech)


@contextmanager
def leaving_no_empty_cache(cache: MelCache) -> Iterator[None]:
    """Remove a mel cache that was made for nothing: none of the corpus's files could be read."""
    made = [path for path in (cache.folder, *cache.folder.parents) if not path.exists()]
    try:
        yield
    finally:
        if made and cache.folder.is_dir() and not any(cache.folder.glob("*.npy")):
            remove_made(made, list(cache.folder.iterdir()))


def open_corpus(options: Options, settings: Settings, console: Console) -> Corpus:
    """The corpus that was named, or the demo corpus, spoken first when need be. Raises CorpusError, StorageError.

    The demo corpus is refused before it is spoken when a batch is larger.
    """
    sources: Sequence[Path] = options.data
    language = demo_language(options, settings)
    if language is not None:
        lengths, validation, _ = demo_lengths(language, settings)
        corpus.check_sizes(len(lengths), validation, settings)
        console.say("Corpus", "no --data: the built-in demo corpus, spoken by espeak-ng")
        with console.counting("speaking the demo corpus") as report:
            sources = [demo.build(options.files.demo, language, report)]
    return corpus.read_corpus(sources, settings)


def prepare_corpus(options: Options, settings: Settings, console: Console, largest: Settings | None = None) -> Examples:
    """The corpus, checked, with all its mels in the cache and, where it is wanted, its recogniser.

    largest: settings with the largest batch of a search; such a batch must be there too. Raises CorpusError.
    """
    opened, cache = open_corpus(options, largest or settings, console), mel_cache(options, settings)
    corpus.check_sizes(len(opened.train), len(opened.validation), largest or settings)
    with leaving_no_empty_cache(cache), console.counting("computing mels") as report:
        examples = corpus.prepare_examples(opened, settings, cache, report)
    train, validation = len(examples.train), len(examples.validation)
    console.say(
        "Corpus",
        f"{opened.name}, language {opened.language}: {len(opened.utterances):,} utterances, {examples.hours:.2f} h; "
        f"{train:,} for training, {validation:,} for validation",
    )
    if not speaks_freely(settings) or settings.tracking.recogniser_minutes == 0:
        return examples
    with console.counting("training the recogniser that reads speech back (once for this corpus)") as report:
        file = prepare_recogniser(examples, settings, options.files.recognisers, report)
    error = Recogniser.load(file).cer_recorded
    console.say("Recogniser", f"reads recorded speech back with a character error rate of {error:.0%}")
    return dataclasses.replace(examples, recogniser=file)


def describe_plan(options: Options, settings: Settings, console: Console) -> tuple[list[tuple[int, int]], int]:
    """What every --dry-run prints first: settings, corpus and planned steps. Writes nothing.

    Returns (mel frames, symbols) of each training utterance, as far as headers tell, and how many are for validation.
    """
    console.say(f"# Settings (preset {options.start_from})\n" + settings.to_yaml())
    language = demo_language(options, settings)
    lengths, validation, about = demo_lengths(language, settings) if language else corpus_lengths(options, settings)
    train = len(lengths)
    console.say("Corpus", f"{about}; {train:,} for training, {validation:,} for validation")
    corpus.check_sizes(train, validation, settings)
    console.say("Plan", f"{options.trials} trial(s), each {describe_budget(settings, train)}")
    return lengths, validation


def demo_lengths(language: str, settings: Settings) -> tuple[list[tuple[int, int]], int, str]:
    """(Mel frames, symbols) of the demo corpus's training utterances, its validation utterances, and what it is."""
    sentences = demo.read_sentences(language)
    validation = corpus.hold_out(len(sentences), settings)
    lengths = [(round(DEMO_FRAMES * len(sentence)), len(sentence)) for sentence in sentences[validation:]]
    return lengths, validation, f"demo corpus, {len(sentences)} sentences, language {language}"


def corpus_lengths(options: Options, settings: Settings) -> tuple[list[tuple[int, int]], int, str]:
    """The same of a corpus, by its files' headers."""
    opened, speech = corpus.read_corpus(options.data, settings), settings.speech
    seconds = {utterance.name: audio.header_seconds(utterance.audio) for utterance in opened.utterances}
    known = [duration for duration in seconds.values() if duration is not None]
    about = f"{opened.name}, {len(seconds):,} utterances, {sum(known) / 3600:.2f} h, language {opened.language}"
    if len(known) < len(seconds):
        about += f"; {len(seconds) - len(known)} file(s) cannot be read (--mode check names them)"
    rate = speech.sampling_rate / speech.hop_length
    lengths = [
        (round((seconds[utterance.name] or 0.0) * rate) + 1, len(utterance.read_aloud)) for utterance in opened.train
    ]
    return lengths, len(opened.validation), about


def describe_budget(settings: Settings, train: int) -> str:
    """What a trial's budget comes to with this many training utterances."""
    hparams = settings.hparams
    iterations = settings.budget.iterations(hparams.batch_size, train // hparams.batch_size)
    if iterations is None:
        return f"{hparams.budget} of wall time"
    return f"{iterations:,} iterations of {hparams.batch_size} utterances"
