"""What train and tune share: a study that is open in both stores, its trials, and what is said in the end."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from hashlib import sha256
from types import TracebackType
from typing import Generic, Literal, Protocol, Self, TypeVar

from filelock import FileLock, Timeout

from model.tacotron2 import Tacotron2
from smart_tuner.analysis.results import Result
from smart_tuner.cli.console import Console
from smart_tuner.cli.options import Options, make_folder, remove_made
from smart_tuner.errors import (
    CheckpointError,
    Fault,
    Interrupted,
    Outage,
    SettingsError,
    StorageError,
    TrackingError,
    Verdict,
)
from smart_tuner.execution.in_process import InThisProcess
from smart_tuner.execution.processes import Processes
from smart_tuner.execution.recorder import MlflowRecorder
from smart_tuner.execution.signals import stop_on_signal
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import trial_name
from smart_tuner.progress import Progress
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.gathering import gather
from smart_tuner.report.summary import build_summary, write_note
from smart_tuner.report.view import View
from smart_tuner.settings.settings import Settings
from smart_tuner.speech.corpus import Examples
from smart_tuner.study.loop import Executor, Plan, run_trials
from smart_tuner.study.store import number_of_trials, require_usable
from smart_tuner.tracking import machine
from smart_tuner.tracking.tracker import NOTE_CHARACTERS, Dataset, Tracker, require_store_of_runs
from smart_tuner.training.pretrained import load_pretrained
from smart_tuner.trial import FROM_SCRATCH, InitialWeights, Train, Trial

LOCK_SECONDS = 10
"""Data loaders of a killed process hold its lock for some seconds more."""


class Study(Plan, Protocol):
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


class Session(Generic[S]):
    """A study that is open in both stores, for this process alone. Within it, the first Ctrl-C asks for an orderly end.

    What a kill left open in one of the stores is put right.
    """

    def __init__(
        self,
        options: Options,
        console: Console,
        *,
        name: str,
        settings: Settings,
        examples: Examples,
        slots: list[Slot],
        make_study: Callable[[], S],
    ) -> None:
        """Raises SettingsError for extras that cannot be had."""
        self.options, self.console, self.name = options, console, name
        self.examples, self.slots, self.make_study = examples, slots, make_study
        self.folder = options.files.study(name)
        self.extras = machine.find_extras(settings.tracking.enhanced)
        self.study: S
        self.closed = False
        """Whether the study's run in MLflow has ended."""
        self.lost: TrackingError | None = None
        """Which of the stores was lost on the way, if one was."""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Raises StorageError for a study that another process works on, and for stores that cannot be used."""
        with ExitStack() as stack:
            self._lock(stack)
            self._refuse_others_trials()
            self.study, self.tracker = self._open_stores()
            if self.tracker.left_behind:
                kept = "MLflow keeps full paths, and goes on writing plots and audio to"
                where = f"{self.tracker.left_behind}; another --experiment has its own here"
                self.console.say("Warning", f"this folder was moved: {kept} {where}", "yellow")
            tags = {"study.mode": self.options.mode, "dataset.digest": self.examples.digest}
            self.parent = self.tracker.open_study(self.name, tags)
            self.parent.reconcile(self.study.statuses())
            command = machine.without_password(self.options.again(study=self.name))
            self.study.remember({"command": command, "folder": str(self.folder.path.resolve())})
            self.stop = stack.enter_context(stop_on_signal(announce_stop))
            self.tracker.patience.stop = self.stop.is_set
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._open:
            if not self.closed:  # it broke before, or between, its trials
                self.close("FAILED")

    def train_trials(
        self, train: Train, deadline: float | None, check_beside: Callable[[], None] = lambda: None
    ) -> None:
        """Train the study's trials until they are done; then the study's run in MLflow ends and sums it up.

        check_beside raises what went wrong with what is made beside the trials; they then go on another time.
        Raises Interrupted when the user ends them earlier; once the time is up, what there is gets its conclusion.
        """
        executor: Executor = Processes(train, self.slots, self.folder)
        if self.options.workers == 0:
            executor = InThisProcess(train, self.slots[0], self.folder)
        recorder = MlflowRecorder(self.parent, self._dataset(), self.folder, self.extras)

        def why_stop() -> Literal["user", "budget"] | None:
            if self.stop.is_set():
                return "user"
            check_beside()
            return "budget" if deadline is not None and time.monotonic() >= deadline else None

        status = "FAILED"
        try:
            with closing(run_trials(self.study, executor, recorder, why_stop)) as events:
                show_trials(events, self.console)
            done, reason = sum(not result.confirms for result in self.study.results()), why_stop()
            # it came between two trials, or before the first; after the last of a search there may be reruns left
            if reason is not None and (done < self.options.trials or (reason, self.options.mode) == ("user", "tune")):
                raise Interrupted("The time is up." if reason == "budget" else "Interrupted.", step=0, kind=reason)
            status = "FINISHED"
        except Interrupted as interruption:
            status = "KILLED"
            self.console.say("Stopped", str(interruption))
            self.console.say("Continue", self.options.again(study=self.name))
            if interruption.kind == "user":
                raise
        except TrackingError as lost:
            self.lost = lost
            raise
        finally:
            self.close(status)

    def close(self, status: str) -> None:
        """End the study's run, and those of its trials that a kill left open. Raises TrackingError."""
        self.closed = True
        try:
            self.parent.close(status)
            self.parent.reconcile(self.study.statuses())
        except TrackingError as lost:
            raise self.lost or lost from lost  # what ended the study says more than what follows from it

    def leave(self, end: Interrupted | Fault) -> int:
        """Sum up a study whose trials ended early. The exit code after an interruption; raises what else it was."""
        if not isinstance(end, Outage):  # with a store that does not answer, another failure would hide the first
            self.conclude()
        if isinstance(end, Interrupted):
            return self.stop.exit_code
        raise end

    def conclude(self) -> View:
        """What the study says by now, by the report; it becomes the description of its run in MLflow."""
        evidence, reader = gather(self.options.storage, self.options.tracking_uri, self.name)
        catalogue = Catalogue("en")
        view = build_summary(evidence, reader)
        self.parent.describe(write_note(view, catalogue, NOTE_CHARACTERS))
        return view

    def show_conclusion(self, view: View) -> None:
        """The report's answer, where the runs are, and what to type next."""
        catalogue = Catalogue("en")
        for line in (*view.answer, *view.audit):
            self.console.say(catalogue(line.label), catalogue(line.text))
        command = self.tracker.ui_command()
        self.console.say("See", f"{command}, then open {self.parent.link}" if command else self.parent.link)
        self.console.say("Report", self.options.report_again(self.name))
        for typed in view.commands:
            self.console.say(f"{catalogue(typed.label)}:")
            self.console.say(f"  {typed.command}")

    def describe_slots(self) -> str:
        """Where trials are trained, in words."""
        devices = ", ".join(sorted({slot.device for slot in self.slots}))
        how = "in this process" if self.options.workers == 0 else f"{len(self.slots)} worker(s)"
        return f"{how} on {devices}, {self.slots[0].threads} thread(s) each"

    def _lock(self, stack: ExitStack) -> None:
        """Hold the study's lock, which the operating system frees when this process ends in whatever way.

        When the study is refused afterwards, what was made for it goes again.
        """
        folder = self.folder.path
        locks = [file for file in (self.folder.lock, self.options.files.stores_lock) if not file.exists()]
        made = make_folder(folder)
        try:
            stack.enter_context(FileLock(self.folder.lock, timeout=LOCK_SECONDS))
        except Timeout:
            raise StorageError(
                f"Study {self.name!r} is being trained by another process; wait for it or name another study."
            ) from None
        stack.push(lambda kind, problem, where: remove_made(made, locks) if kind is not None else None)

    def _refuse_others_trials(self) -> None:
        """Raise StorageError for a folder with trials that no study knows: new ones would go on from theirs."""
        if self.folder.has_trials() and not number_of_trials(self.options.storage, self.name):
            raise StorageError(
                f"{self.folder.path} holds trials of an earlier study {self.name!r}, which {self.options.storage} does "
                "not know: move that folder away, or name another study with --study."
            )

    def _open_stores(self) -> tuple[S, Tracker]:
        """Optuna's study and MLflow's experiment. Their tables are made under a lock: two at once would crash."""
        with FileLock(self.options.files.stores_lock):
            study = self.make_study()
            return study, Tracker(self.options.tracking_uri, self.options.experiment, self._say_waiting)

    def _say_waiting(self, text: str) -> None:
        self.console.say("Waiting", text, "yellow")

    def _dataset(self) -> Dataset:
        examples, data = self.examples, self.options.data
        return Dataset(
            name=examples.corpus.name,
            digest=examples.digest,
            source=str(data[0].resolve()) if data else "built-in demo corpus",
            facts={
                "hours": round(examples.hours, 3),
                "train": len(examples.train),
                "validation": len(examples.validation),
            },
        )


def require_stores(options: Options) -> None:
    """Raise StorageError for stores that cannot be used, before the corpus is made ready; makes nothing."""
    require_usable(options.storage)
    require_store_of_runs(options.tracking_uri, options.experiment)


def find_initial_weights(options: Options, settings: Settings, examples: Examples) -> InitialWeights:
    """The checkpoint that trials start from, tried once. Raises UserError for one that does not fit."""
    if options.checkpoint is None:
        return FROM_SCRATCH
    symbols = examples.corpus.symbols.symbols
    model = Tacotron2(settings.sizes(len(symbols)))
    try:
        load_pretrained(model, options.checkpoint, symbols, settings.speech)
    except CheckpointError as problem:
        raise SettingsError(f"--checkpoint: {problem}") from problem
    return InitialWeights.of(options.checkpoint)


def study_name(kind: str, settings: Settings, examples: Examples, start: InitialWeights = FROM_SCRATCH) -> str:
    """A study's name when none is given: the same for the same settings, corpus and checkpoint."""
    content = sha256(f"{settings.digest()} {examples.digest}{start.digest}".encode()).hexdigest()[:8]
    return f"{kind}-{examples.corpus.name}-{content}"


def find_deadline(options: Options) -> float | None:
    """When the time is up, by time.monotonic()."""
    return None if options.seconds is None else time.monotonic() + options.seconds


def announce_stop() -> None:
    """Say that the first signal was heard; not by print, in the middle of which the signal may have come."""
    os.write(2, b"\nStopping   after this iteration and its checkpoint; once more leaves at once\n")


def show_trials(events: Iterator[tuple[Trial, Progress | Verdict | Result]], console: Console) -> None:
    """Show a study's trials while they run."""
    with console.trials() as display:
        for trial, event in events:
            name = trial_name(trial.number)
            if isinstance(event, Result):
                display.end(name)
                console.say(name, describe_ending(event))
            elif isinstance(event, Verdict):
                if event.level != "stop" or trial.audited:
                    console.say(name, event.sentence, "yellow")
            else:
                display.update(name, event, describe_beginning(trial))


def describe_beginning(trial: Trial) -> str:
    """What a trial is, as it starts."""
    audited = ", audited: runs on when a rule would stop it" if trial.audited else ""
    note = f": {trial.note.rstrip('.')}" if trial.note else ""
    return f"{trial.origin}{note}, seed {trial.settings.hparams.seed}{audited}"


def describe_ending(result: Result) -> str:
    """How a trial ended."""
    value = f"best objective {result.value:.4f}" if result.value is not None else "no validation"
    return f"{result.state}, {value}" + (f". {result.reason}" if result.reason else "")
