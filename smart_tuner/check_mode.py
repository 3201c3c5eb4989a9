"""--mode check: the preflight of a corpus. Also opens the corpus for the other modes."""

from collections.abc import Sequence
from pathlib import Path

from smart_tuner.console import Console
from smart_tuner.request import Request, require_writable
from smart_tuner.settings import Settings
from smart_tuner.speech import audio, corpus, demo
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.check import check
from smart_tuner.speech.corpus import Corpus

DEMO_FRAMES = 4.8
"""Mel frames of a character when the demo corpus is spoken."""
STYLES = {"good": "green", "watch": "yellow", "bad": "bold red"}


def run(request: Request, console: Console) -> int:
    """Report on the corpus; 1 when training on it makes no sense."""
    if request.dry_run:
        describe(request, console)
        console.say("Dry run", "nothing was written")
        return 0
    opened = open_corpus(request, console)
    with console.counting("reading audio") as report:
        findings = check(opened, request.settings, mel_cache(request), report)
    console.say(f"Corpus {opened.name}")
    for finding in findings:
        console.say(f"  {finding.level:<6}{finding.about:<13}", finding.text, STYLES[finding.level])
    bad = sum(finding.level == "bad" for finding in findings)
    if bad:
        console.say(
            "Verdict", f"training on this corpus makes no sense yet: {bad} finding(s) to put right", STYLES["bad"]
        )
        return 1
    console.say("Verdict", "fit for training", STYLES["good"])
    console.say("Next", request.again(mode="train"))
    return 0


def mel_cache(request: Request) -> MelCache:
    """The mel cache of the request's output folder."""
    return MelCache(request.output / "mels", request.settings.speech)


def open_corpus(request: Request, console: Console) -> Corpus:
    """The corpus that was named, or the demo corpus, spoken first when need be. Raises CorpusError, StorageError."""
    sources: Sequence[Path] = request.data
    if request.demo_language is not None:
        console.say("Corpus", "no --data: the built-in demo corpus, spoken by espeak-ng")
        require_writable(request.output)
        with console.counting("speaking the demo corpus") as report:
            sources = [demo.build(request.output / "demo", request.demo_language, report)]
    opened = corpus.read(sources, request.settings)
    require_writable(request.output)
    return opened


def describe(request: Request, console: Console) -> tuple[list[tuple[int, int]], int]:
    """What every --dry-run prints first: settings, corpus and planned steps. Writes nothing.

    Returns (mel frames, symbols) of each training utterance, as far as headers tell, and how many are for validation.
    """
    console.say(f"# Settings (preset {request.preset})\n" + request.settings.to_yaml())
    lengths, validation, about = _demo_lengths(request) if request.demo_language else _lengths(request)
    train = len(lengths)
    console.say("Corpus", f"{about}; {train:,} for training, {validation:,} for validation")
    corpus.check_sizes(train, validation, request.settings)
    console.say("Plan", f"{request.trials} trial(s), each {planned(request.settings, train)}")
    return lengths, validation


def _demo_lengths(request: Request) -> tuple[list[tuple[int, int]], int, str]:
    sentences = demo.sentences(request.demo_language or "en")
    validation = corpus.held_out(len(sentences), request.settings)
    lengths = [(round(DEMO_FRAMES * len(sentence)), len(sentence)) for sentence in sentences[validation:]]
    return lengths, validation, f"demo corpus, {len(sentences)} sentences, language {request.demo_language}"


def _lengths(request: Request) -> tuple[list[tuple[int, int]], int, str]:
    opened, speech = corpus.read(request.data, request.settings), request.settings.speech
    seconds = {utterance.name: audio.header_seconds(utterance.audio) for utterance in opened.utterances}
    known = [one for one in seconds.values() if one is not None]
    about = f"{opened.name}, {len(seconds):,} utterances, {sum(known) / 3600:.2f} h, language {opened.language}"
    if len(known) < len(seconds):
        about += f"; {len(seconds) - len(known)} file(s) cannot be read (--mode check names them)"
    lengths = [
        (round((seconds[one.name] or 0.0) * speech.sampling_rate / speech.hop_length) + 1, len(one.read_aloud))
        for one in opened.train
    ]
    return lengths, len(opened.validation), about


def planned(settings: Settings, train: int) -> str:
    """What a trial's budget comes to with this many training utterances."""
    hparams = settings.hparams
    iterations = settings.budget.iterations(hparams.batch_size, train // hparams.batch_size)
    if iterations is None:
        return f"{hparams.budget} of wall time"
    return f"{iterations:,} iterations of {hparams.batch_size} utterances"
