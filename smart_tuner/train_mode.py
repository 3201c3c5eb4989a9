"""--mode train: full-length trials of known hyperparameters, from the corpus to the last line in the terminal."""

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from smart_tuner import check_mode, machine
from smart_tuner.console import Console, TrainingDisplay
from smart_tuner.errors import Interrupted, StorageError
from smart_tuner.experiment import Experiment, Trial
from smart_tuner.progress import Progress
from smart_tuner.request import STUDIES_DEFAULT, Request, require_writable
from smart_tuner.settings import Settings
from smart_tuner.signals import stop_on_signal
from smart_tuner.speech import corpus
from smart_tuner.speech.corpus import Examples
from smart_tuner.study import Result, Summary, TrainStudy, summarise
from smart_tuner.tracker import StudyRun, Tracker, refuse_leftovers
from smart_tuner.trainer import choose_device, leave_a_core

LOCK_SECONDS = 10
"""Data loaders of a killed process hold its lock for some seconds more."""


def run(request: Request, console: Console) -> int:
    """Train until the study holds the trials asked for. The exit code; raises UserError and Fault."""
    if request.dry_run:
        check_mode.describe(request, console)
        return 0
    refuse_leftovers(request.tracking_uri)
    device = choose_device(request.device)
    leave_a_core(device)
    extras = machine.extras(request.settings.tracking.enhanced)
    examples = prepare(request, console)
    name = request.study or default_name(request.settings, examples)
    folder = request.output / "studies" / name
    with ExitStack() as stack:
        stack.enter_context(only_process(request, name))
        study, tracker = open_stores(request, name, examples)
        announce(request, console, name, examples, device, extras, len(study.results()))
        parent = tracker.open_study(name, {"study.mode": "train", "dataset.digest": examples.digest})
        stop = stack.enter_context(stop_on_signal(announce_stop))
        source = str(request.data[0].resolve()) if request.data else "built-in demo corpus"
        experiment = Experiment(examples, source, device, folder, parent, extras, stop)
        try:
            with noted(parent, study), closing(study.run(request.trials, experiment.run)) as events:
                follow(events, console)
        except Interrupted as verdict:
            console.say("Stopped", str(verdict))
            console.say("Continue", request.again(study=name))
            return stop.exit_code
    return conclude(request, console, name, study, tracker, parent)


def announce_stop() -> None:
    """Say that the first signal was heard; not by print, in the middle of which the signal may have come."""
    os.write(2, b"\nStopping   after this iteration and its checkpoint; once more leaves at once\n")


def prepare(request: Request, console: Console) -> Examples:
    """The corpus, checked, with all its mels in the cache."""
    opened = check_mode.open_corpus(request, console)
    with console.counting("computing mels") as report:
        examples = corpus.prepare(opened, request.settings, check_mode.mel_cache(request), report)
    train, validation = len(examples.train), len(examples.validation)
    console.say(
        "Corpus",
        f"{opened.name}, language {opened.language}: {len(opened.utterances):,} utterances, {examples.hours:.2f} h; "
        f"{train:,} for training, {validation:,} for validation",
    )
    return examples


def default_name(settings: Settings, examples: Examples) -> str:
    """A study's name when none is given: the same for the same settings and corpus."""
    content = sha256(f"{settings.digest()} {examples.digest}".encode()).hexdigest()[:8]
    return f"train-{examples.corpus.name}-{content}"


@contextmanager
def only_process(request: Request, name: str) -> Iterator[None]:
    """Hold the study's lock, which the operating system frees when this process ends in whatever way."""
    folder = request.output / "studies" / name
    require_writable(folder)
    try:
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise StorageError(
            f"Study {name!r} is being trained by another process; wait for it or name another study."
        ) from None


def open_stores(request: Request, name: str, examples: Examples) -> tuple[TrainStudy, Tracker]:
    """Optuna's study and MLflow's experiment. Their schemas are made under a lock: two makers at once would crash."""
    if request.tracking_uri is None or request.storage == STUDIES_DEFAULT:
        require_writable(Path())
    with FileLock(request.output / ".stores.lock"):
        study = TrainStudy(name, request.storage, request.settings, examples.digest)
        return study, Tracker(request.tracking_uri, request.experiment)


def announce(
    request: Request,
    console: Console,
    name: str,
    examples: Examples,
    device: torch.device,
    extras: machine.Extras,
    done: int,
) -> None:
    """What is about to happen."""
    planned = check_mode.planned(request.settings, len(examples.train))
    console.say("Study", f"{name}: {done} of {request.trials} trial(s) finished; each trains for {planned}")
    r = request.settings.hparams.reduction_factor
    console.say("Model", f"Tacotron 2, preset {request.preset}, r = {r}, on {device}")
    console.say("Tracking", extras.found)


def follow(events: Iterator[tuple[Trial, Progress | Result]], console: Console) -> None:
    """Show a study's trials while they run."""
    display: TrainingDisplay | None = None
    with ExitStack() as shown:
        for trial, event in events:
            name = f"trial-{trial.number:04d}"
            if isinstance(event, Result):
                shown.close()
                display = None
                console.say(name, sentence(event))
                continue
            if display is None:
                console.say(name, f"{trial.origin}, seed {trial.settings.hparams.seed}")
                display = shown.enter_context(console.training(name))
            display.update(event)


@contextmanager
def noted(parent: StudyRun, study: TrainStudy) -> Iterator[None]:
    """Note the trials in the study's parent run and end it, with the status of how the work ended."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        results = sorted(study.results(), key=lambda result: math.inf if result.loss is None else result.loss)
        parent.note([row(result, parent.trial_link(result.number)) for result in results], headline(summarise(results)))
        parent.close(status)


def headline(summary: Summary) -> str:
    """The study in a sentence."""
    if summary.best is None:
        return "No trial has ended healthy yet."
    noise = "" if summary.spread is None else f"; over replicates {summary.mean:.4f} ± {summary.spread:.4f}"
    return f"Best: trial-{summary.best.number:04d}, validation.loss {summary.best.loss:.4f}{noise}."


def row(result: Result, link: str) -> dict[str, str]:
    """A trial's line in the parent run's note."""
    loss = f"{result.loss:.4f}" if result.loss is not None else "none"
    named = f"[trial-{result.number:04d}]({link})"
    return {"trial": named, "origin": result.origin, "seed": str(result.seed), "state": result.state, "best loss": loss}


def sentence(result: Result) -> str:
    """How a trial ended."""
    loss = f"lowest validation.loss {result.loss:.4f}" if result.loss is not None else "no validation"
    return f"{result.state}, {loss}" + (f". {result.reason}" if result.reason else "")


def conclude(
    request: Request, console: Console, name: str, study: TrainStudy, tracker: Tracker, parent: StudyRun
) -> int:
    """The last lines: what came out, where it lies, what to do next. The exit code: 1 when no trial ended healthy."""
    results = study.results()
    summary = summarise(results)
    folder = request.output / "studies" / name
    if summary.best is None:
        console.say("Result", "no trial ended healthy; the reasons are above and in each run's tags", "bold red")
        console.say(
            "Next",
            "a lower learning rate: --set hparams.learning_rate=" + f"{request.settings.hparams.learning_rate / 3:.1g}",
        )
    else:
        best = folder / f"trial-{summary.best.number:04d}"
        console.say("Best", f"trial-{summary.best.number:04d}, validation.loss {summary.best.loss:.4f}")
        if summary.spread is not None:
            console.say(
                "Noise",
                f"validation.loss {summary.mean:.4f} ± {summary.spread:.4f} (standard deviation) over replicates",
            )
        console.say("Files", f"{best}/: best.pt, last.pt, metrics.jsonl, audio/")
    command = tracker.ui_command()
    console.say("See", f"{command}, then open {parent.link}" if command else parent.link)
    if summary.best is not None and len(results) < 3:
        again = request.again(trials="3", study=name)
        console.say("Next", f"how much luck is in it, by trials with other seeds: {again}")
    return 0 if summary.best is not None else 1
