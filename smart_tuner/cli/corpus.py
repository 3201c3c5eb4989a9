"""The corpus of a mode: opened, described before anything runs, and made ready for training."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from smart_tuner.cli.console import Console
from smart_tuner.cli.options import Options, remove_made
from smart_tuner.errors import LostWorkerError, SettingsError
from smart_tuner.evaluation.freerun import speaks_freely
from smart_tuner.evaluation.recogniser import Recogniser, recogniser_file
from smart_tuner.evaluation.recogniser_training import await_recogniser, is_readable, prepare_recogniser
from smart_tuner.execution.beside import Beside
from smart_tuner.settings.settings import Settings
from smart_tuner.space.checks import list_values
from smart_tuner.space.space import Space
from smart_tuner.speech import corpus, demo, preflight
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.cores import count_cores
from smart_tuner.speech.corpus import Corpus, Examples
from smart_tuner.speech.notes import CorpusNote, require_fit
from smart_tuner.speech.preconditions import judge_settings
from smart_tuner.speech.preflight import CorpusSound, judge_sizes, prepare_examples

DEMO_FRAMES = 4.8
"""Mel frames of a character when the demo corpus is spoken."""
NOT_MEASURED = "validation.freerun.cer is not measured"
TOLD_AT_ONCE = ("pace", "order", "odd clips", "pauses", "offset", "settings")
"""Notes of the preflight that training tells too: they cost a voice."""


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
        require_fit(demo_lengths(language, settings)[-1])
        console.say("Corpus", "no --data: the built-in demo corpus, spoken by espeak-ng")
        with console.counting("speaking the demo corpus") as report:
            sources = [demo.build(options.files.demo, language, report)]
    return corpus.read_corpus(sources, settings)


def prepare_corpus(options: Options, settings: Settings, console: Console, largest: Settings | None = None) -> Examples:
    """The corpus, checked, with all its mels in the cache; as yet without a recogniser.

    largest: settings with the largest batch of a search; such a batch must be there too. Raises CorpusError.
    """
    opened, cache = open_corpus(options, largest or settings, console), mel_cache(options, settings)
    require_fit(judge_sizes(len(opened.train), len(opened.validation), largest or settings))
    with leaving_no_empty_cache(cache), console.counting("computing mels") as report:
        examples = prepare_examples(opened, settings, cache, report)
    train, validation = len(examples.train), len(examples.validation)
    console.say(
        "Corpus",
        f"{opened.name}, language {opened.language}: {len(opened.utterances):,} utterances, {examples.hours:.2f} h; "
        f"{train:,} for training, {validation:,} for validation",
    )
    warn_of(examples.notes, console)
    return examples


def wants_recogniser(settings: Settings) -> bool:
    """Whether a training is to be judged by what a recogniser reads."""
    return speaks_freely(settings) and settings.tracking.recogniser_steps > 0


def add_recogniser(examples: Examples, options: Options, settings: Settings, console: Console) -> Examples:
    """The examples with their recogniser where one is wanted, trained first when need be. Raises DataError."""
    if not wants_recogniser(settings):
        return examples
    with console.counting("training the recogniser that reads speech back (once for this corpus)") as report:
        file = prepare_recogniser(examples, settings, options.files.recognisers, report)
    recogniser = Recogniser.load(file)
    describe_recogniser(recogniser, console)
    if recogniser.no_judge:
        return dataclasses.replace(examples, no_judge=recogniser.no_judge)
    return dataclasses.replace(examples, recogniser=file)


@contextmanager
def recogniser_beside(
    examples: Examples, options: Options, settings: Settings, console: Console
) -> Iterator[tuple[Examples, Callable[[], None]]]:
    """Within it, a recogniser that is wanted and not there is trained in a process of its own, if a core is free.

    Yields the examples with their recogniser, and a check that says when it is made and raises what went wrong.
    """
    file = recogniser_file(options.files.recognisers, examples.digest, settings, examples.corpus.symbols.symbols)
    if not wants_recogniser(settings) or count_cores() < 2 or is_readable(file):
        yield add_recogniser(examples, options, settings, console), lambda: None
        return
    console.say("Recogniser", "reads speech back; it is trained beside the voice, once for this corpus")
    with Beside(partial(await_recogniser, examples, settings, file), "training of the recogniser") as beside:

        def check() -> None:
            try:
                if beside.check():
                    describe_recogniser(Recogniser.load(file), console)
            except LostWorkerError as lost:
                console.say("Recogniser", f"{lost} The voice's own process trains it when it is needed.", "yellow")

        yield dataclasses.replace(examples, recogniser=file, recogniser_awaited=True), check


def describe_recogniser(recogniser: Recogniser, console: Console) -> None:
    """How well it reads, or why it judges nothing."""
    if recogniser.no_judge:
        console.say("Recogniser", f"is no judge: {recogniser.no_judge}; {NOT_MEASURED}", "yellow")
    else:
        rate = f"{recogniser.cer_recorded:.0%}"
        console.say("Recogniser", f"reads recorded speech back with a character error rate of {rate}")


def describe_plan(options: Options, settings: Settings, console: Console) -> tuple[list[tuple[int, int]], int]:
    """What every --dry-run prints first: settings, corpus and planned steps. Writes nothing.

    Returns (mel frames, symbols) of each training utterance, as far as headers tell, and how many are for validation.
    """
    console.say(f"# Settings (preset {options.start_from})\n" + settings.to_yaml())
    language = demo_language(options, settings)
    lengths, validation, about, notes = (
        demo_lengths(language, settings) if language else corpus_lengths(options, settings)
    )
    train = len(lengths)
    console.say("Corpus", f"{about}; {train:,} for training, {validation:,} for validation")
    require_fit(notes)
    warn_of(notes, console)
    console.say("Plan", f"{options.trials} trial(s), each {describe_budget(settings, train)}")
    return lengths, validation


Lengths = list[tuple[int, int]]
"""Mel frames and symbols of each training utterance."""


def demo_lengths(language: str, settings: Settings) -> tuple[Lengths, int, str, list[CorpusNote]]:
    """Of the demo corpus, before it is spoken: lengths, how many are for validation, what it is, what is found."""
    sentences = demo.read_sentences(language)
    held = corpus.hold_out(len(sentences), settings)
    lengths = [(round(DEMO_FRAMES * len(sentence)), len(sentence)) for sentence in sentences[held:]]
    notes = [*judge_sizes(len(lengths), held, settings), *judge_settings(settings, lengths)]
    return lengths, held, f"demo corpus, {len(sentences)} sentences, language {language}", notes


def corpus_lengths(options: Options, settings: Settings) -> tuple[Lengths, int, str, list[CorpusNote]]:
    """The same of a corpus, by its files' headers, and by their sound where there is little of it."""
    opened = corpus.read_corpus(options.data, settings)
    sound = CorpusSound.of_files((utterance.audio for utterance in opened.utterances), settings)
    about = f"{opened.name}, {len(opened.utterances):,} utterances, {sum(sound.stored.values()) / 3600:.2f} h"
    about += f", language {opened.language}"
    about += "" if sound.facts else " (by the files' headers; --mode check reads the sound)"
    return (
        preflight.train_lengths(opened, sound),
        len(opened.validation),
        about,
        preflight.judge_corpus(opened, settings, sound),
    )


def warn_of(notes: Sequence[CorpusNote], console: Console) -> None:
    """What is worth a look before a training, but what is a matter of taste and is left to --mode check."""
    for note in notes:
        if note.level == "watch" and note.about in TOLD_AT_ONCE:
            console.say("Watch", f"{note.about}: {note.text}", "yellow")


def judge_search(space: Space, settings: Settings, lengths: Lengths) -> list[CorpusNote]:
    """What trials at an end of a range would ask for and cannot have, though the settings' own values can."""
    known, notes = {note.text for note in judge_settings(settings, lengths)}, []
    for parameter in space.parameters:
        for corner in parameter.corners():
            value = int(corner) if parameter.type == "int" else corner
            try:
                tried = space.apply(settings, {parameter.name: value})
            except SettingsError:
                continue  # such a trial is refused before it starts, and another drawn
            for note in judge_settings(tried, lengths):
                if note.level != "good" and note.text not in known:
                    known.add(note.text)
                    text = f"at {parameter.name} = {list_values([value])} of the space: {note.text}"
                    notes.append(CorpusNote("watch", "settings", text))
    return notes


def describe_budget(settings: Settings, train: int) -> str:
    """What a trial's budget comes to with this many training utterances."""
    hparams = settings.hparams
    iterations = settings.budget.iterations(hparams.batch_size, train // hparams.batch_size)
    if iterations is None:
        return f"{hparams.budget} of wall time"
    return f"{iterations:,} iterations of {hparams.batch_size} utterances"
