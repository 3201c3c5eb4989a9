"""What train and tune share: the corpus, the stores, the study's lock, signals, and what is shown while trials run."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock, Timeout

from model.tacotron2 import Tacotron2
from smart_tuner import check_mode, machine, recognition, training, warmstart
from smart_tuner.console import Console
from smart_tuner.errors import CheckpointError, Interrupted, SettingsError, StorageError
from smart_tuner.experiment import Dataset, Experiment, folders
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.request import STUDIES_DEFAULT, Request, require_writable, without_password
from smart_tuner.settings import Settings
from smart_tuner.signals import StopRequest, stop_on_signal
from smart_tuner.speech import corpus
from smart_tuner.speech.corpus import Examples
from smart_tuner.study import loop
from smart_tuner.study.results import Result
from smart_tuner.study.store import number_of_trials
from smart_tuner.tracking.tracker import StudyRun, Tracker, refuse_leftovers
from smart_tuner.training import FROM_SCRATCH, Start, Trial
from smart_tuner.workers import InThisProcess, Processes, Slot, Workers

LOCK_SECONDS = 10
"""Data loaders of a killed process hold its lock for some seconds more."""


class Study(loop.Plan, Protocol):
    """What the modes need of a study."""

    def results(self) -> list[Result]:
        """The finished trials."""
        ...

    def statuses(self) -> dict[int, str]:
        """MLflow's status of each trial that has ended."""
        ...

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep how and where this session works on the study, for its report."""
        ...


S = TypeVar("S", bound=Study)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A study that is open in both stores, with all that its trials need."""

    request: Request
    console: Console
    name: str
    examples: Examples
    tracker: Tracker
    parent: StudyRun
    places: list[Slot]
    extras: machine.Extras
    stop: StopRequest

    @property
    def folder(self) -> Path:
        """Where the study's files are."""
        return study_folder(self.request, self.name)

    def workers(self) -> Workers:
        """In this process when --workers 0 says so, else a process for each trial."""
        in_this_process = self.request.workers == 0
        if in_this_process:
            return InThisProcess(self.examples, self.places[0], folders(self.folder))
        return Processes(self.examples, self.places, folders(self.folder))


def study_folder(request: Request, name: str) -> Path:
    """Where a study's files are."""
    return request.output / "studies" / name


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
    return with_recogniser(request, examples, console)


def with_recogniser(request: Request, examples: Examples, console: Console) -> Examples:
    """The corpus with the recogniser that judges free-running speech, trained the first time; without if not wanted."""
    settings = request.settings
    if not training.speaks_freely(settings) or settings.tracking.recogniser_minutes == 0:
        return examples
    with console.counting("training the recogniser that reads speech back (once for this corpus)") as report:
        file = recognition.prepare(examples, settings, request.output / "recognisers", report)
    error = recognition.Recogniser.load(file).cer_recorded
    console.say("Recogniser", f"reads recorded speech back with a character error rate of {error:.0%}")
    return dataclasses.replace(examples, recogniser=file)


def starting_point(request: Request, examples: Examples) -> Start:
    """The checkpoint that trials start from, tried once. Raises UserError for one that does not fit."""
    if request.checkpoint is None:
        return FROM_SCRATCH
    symbols, settings = examples.corpus.symbols.symbols, request.settings
    model = Tacotron2(settings.sizes(len(symbols)))
    try:
        warmstart.load_into(model, request.checkpoint, symbols, settings.speech)
    except CheckpointError as problem:
        raise SettingsError(f"--checkpoint: {problem}") from problem
    return Start.of(request.checkpoint)


def default_name(kind: str, settings: Settings, examples: Examples, start: Start = FROM_SCRATCH) -> str:
    """A study's name when none is given: the same for the same settings, corpus and checkpoint."""
    content = sha256(f"{settings.digest()} {examples.digest}{start.digest}".encode()).hexdigest()[:8]
    return f"{kind}-{examples.corpus.name}-{content}"


@contextmanager
def only_process(request: Request, name: str) -> Iterator[None]:
    """Hold the study's lock, which the operating system frees when this process ends in whatever way."""
    folder = study_folder(request, name)
    require_writable(folder)
    try:
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise StorageError(
            f"Study {name!r} is being trained by another process; wait for it or name another study."
        ) from None


@contextmanager
def opened(
    request: Request,
    console: Console,
    *,
    mode: str,
    name: str,
    examples: Examples,
    places: list[Slot],
    make_study: Callable[[], S],
) -> Iterator[tuple[Session, S]]:
    """The study in both stores, for this process alone; what a kill left open in one of them is put right."""
    refuse_leftovers(request.tracking_uri)
    extras = machine.extras(request.settings.tracking.enhanced)
    with only_process(request, name):
        refuse_others_trials(request, name)
        study, tracker = open_stores(request, make_study)
        parent = tracker.open_study(name, {"study.mode": mode, "dataset.digest": examples.digest})
        parent.reconcile(study.statuses())
        folder = str(study_folder(request, name).resolve())
        study.remember({"command": without_password(request.again(study=name)), "folder": folder})
        with stop_on_signal(announce_stop) as stop:
            opened_session = Session(
                request=request,
                console=console,
                name=name,
                examples=examples,
                tracker=tracker,
                parent=parent,
                places=places,
                extras=extras,
                stop=stop,
            )
            yield opened_session, study


def refuse_others_trials(request: Request, name: str) -> None:
    """Raise StorageError for a folder with trials that no study knows: new ones would go on from their checkpoints."""
    folder = study_folder(request, name)
    if any(folder.glob("trial-*")) and not number_of_trials(request.storage, name):
        raise StorageError(
            f"{folder} holds trials of an earlier study {name!r}, which {request.storage} does not know: "
            "move that folder away, or name another study with --study."
        )


def open_stores(request: Request, make_study: Callable[[], S]) -> tuple[S, Tracker]:
    """Optuna's study and MLflow's experiment. Their schemas are made under a lock: two makers at once would crash."""
    if request.tracking_uri is None or request.storage == STUDIES_DEFAULT:
        require_writable(Path())
    with FileLock(request.output / ".stores.lock"):
        return make_study(), Tracker(request.tracking_uri, request.experiment)


def conduct(session: Session, plan: Study, deadline: float | None = None) -> None:
    """Run the plan's trials until they are done. Raises Interrupted when the user or the clock ends trials earlier."""
    dataset = dataset_of(session.request, session.examples)
    workers = session.workers()
    experiment = Experiment(workers, session.parent, dataset, session.folder, session.extras, session.stop)
    try:
        with closing(experiment), closing(loop.run(plan, experiment, deadline)) as events:
            follow(events, session.console)
        done = sum(not result.confirms for result in plan.results())
        if deadline is not None and time.monotonic() >= deadline and done < session.request.trials:
            raise Interrupted("The time is up.", step=0, kind="budget")  # between two trials, or before the first
    except Interrupted as verdict:
        session.console.say("Stopped", str(verdict))
        session.console.say("Continue", session.request.again(study=session.name))
        raise


def announce_stop() -> None:
    """Say that the first signal was heard; not by print, in the middle of which the signal may have come."""
    os.write(2, b"\nStopping   after this iteration and its checkpoint; once more leaves at once\n")


def dataset_of(request: Request, examples: Examples) -> Dataset:
    """What the runs say of their corpus."""
    source = str(request.data[0].resolve()) if request.data else "built-in demo corpus"
    facts = {
        "hours": round(examples.hours, 3),
        "train": len(examples.train),
        "validation": len(examples.validation),
    }
    return Dataset(examples.corpus.name, examples.digest, source, facts)


def follow(events: Iterator[tuple[Trial, Progress | Finding | Result]], console: Console) -> None:
    """Show a study's trials while they run."""
    with console.trials() as display:
        for trial, event in events:
            name = trial_name(trial.number)
            if isinstance(event, Result):
                display.end(name)
                console.say(name, ending(event))
            elif isinstance(event, Finding):
                if event.level != "stop" or trial.audited:
                    console.say(name, event.sentence, "yellow")
            else:
                display.update(name, event, beginning(trial))


def trial_name(number: int) -> str:
    """As in MLflow."""
    return f"trial-{number:04d}"


def beginning(trial: Trial) -> str:
    """What a trial is, as it starts."""
    audited = ", audited: runs on when a rule would stop it" if trial.audited else ""
    note = f": {trial.note.rstrip('.')}" if trial.note else ""
    return f"{trial.origin}{note}, seed {trial.settings.hparams.seed}{audited}"


def ending(result: Result) -> str:
    """How a trial ended."""
    loss = f"best objective {result.loss:.4f}" if result.loss is not None else "no validation"
    return f"{result.state}, {loss}" + (f". {result.reason}" if result.reason else "")


@contextmanager
def closed_with_status(parent: StudyRun) -> Iterator[None]:
    """End the study's run with the status of how the work ended. After a time-out what there is gets its conclusion."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except Interrupted as verdict:
        status = "KILLED"
        if verdict.kind == "user":
            raise
    finally:
        parent.close(status)


def say_where(session: Session) -> None:
    """How to see the runs."""
    command = session.tracker.ui_command()
    link = session.parent.link
    session.console.say("See", f"{command}, then open {link}" if command else link)


def deadline_of(request: Request) -> float | None:
    """When the time is up, by time.monotonic()."""
    return None if request.seconds is None else time.monotonic() + request.seconds


def placed(session: Session) -> str:
    """The slots in words."""
    devices = ", ".join(sorted({str(place.device) for place in session.places}))
    how = "in this process" if session.request.workers == 0 else f"{len(session.places)} worker(s)"
    return f"{how} on {devices}, {session.places[0].threads} thread(s) each"
