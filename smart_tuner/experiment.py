"""The executor that a study drives: where the trials' training and the tracker meet."""

import json
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event as Flag

import numpy as np
from numpy.typing import NDArray

from smart_tuner import checkpoint, journal
from smart_tuner.errors import Fault, Interrupted, TrackingError, TrialStopped, Verdict
from smart_tuner.health.watch import Finding
from smart_tuner.journal import Entry
from smart_tuner.machine import Extras
from smart_tuner.progress import Progress
from smart_tuner.tracking.tracker import StudyRun, TrialRun
from smart_tuner.training import JOURNAL, Ended, Event, Listed, Opening, Shown, Spoken, Trial
from smart_tuner.validation import Exhibit
from smart_tuner.workers import Workers

PATIENCE_SECONDS = 0.2
"""How long to wait for an event before looking whether the user or the clock says stop."""

Told = Progress | Finding | Ended


class Experiment:
    """Runs the trials of one study on some workers, each in its own folder and its own nested run."""

    def __init__(
        self, workers: Workers, study: StudyRun, dataset: "Dataset", folder: Path, extras: Extras, stop: Flag
    ) -> None:
        self.workers, self.study, self.dataset, self.folder = workers, study, dataset, folder
        self.extras, self.stop = extras, stop
        self.slots = workers.slots
        self._open: dict[int, Recording] = {}
        self._failed: deque[tuple[Trial, Ended]] = deque()

    def start(self, trial: Trial) -> None:
        """Open the trial's run and begin its training."""
        tags = {"trial.origin": trial.origin, "trial.state": "running"}
        tags |= {"trial.note": trial.note} if trial.note else {}
        tags |= {"trial.audited": "true"} if trial.audited else {}
        try:
            run = self.study.open_trial(trial.number, tags, self.extras)
        except TrackingError as failure:
            self._failed.append((trial, Ended(failure)))
            return
        self._open[trial.number] = Recording(trial, run, self.dataset, trial_folder(self.folder, trial.number))
        self.workers.start(trial)

    def wait(self, deadline: float | None) -> tuple[Trial, Told]:
        """The next event of any running trial. After the deadline, or when the user says stop, all end Interrupted."""
        while not self._failed:
            self._pass_on_stop(deadline)
            arrived = self._next()
            if arrived is None:
                continue
            number, event = arrived
            recording = self._open[number]
            told = recording.take(event)
            if recording.failure is not None and not recording.told_to_stop:
                recording.told_to_stop = True
                self.workers.answer(number, "user")  # its checkpoint is saved; it goes on when the store is back
            if isinstance(told, Ended):
                del self._open[number]
            if told is not None:
                return recording.trial, told
        return self._failed.popleft()

    def answer(self, trial: Trial, verdict: TrialStopped | None) -> None:
        """What the study says to a validation."""
        self.workers.answer(trial.number, verdict)

    def close(self) -> None:
        """Leave what still runs: each trial writes its checkpoint and can go on later."""
        self.workers.close()
        for recording in self._open.values():
            recording.abandon()
        self._open.clear()

    def _next(self) -> tuple[int, Event] | None:
        try:
            return self.workers.wait(PATIENCE_SECONDS)
        except Exception as bug:  # of a training in this process: named in its run, then raised again
            for recording in self._open.values():
                recording.take(Ended(bug))
            self._open.clear()
            raise

    def _pass_on_stop(self, deadline: float | None) -> None:
        late = deadline is not None and time.monotonic() >= deadline
        if self.stop.is_set() or late:
            for number, recording in self._open.items():
                if not recording.told_to_stop:
                    recording.told_to_stop = True
                    self.workers.answer(number, "user" if self.stop.is_set() else "budget")


class Dataset:
    """What a run says of the corpus it trains on."""

    def __init__(self, name: str, digest: str, source: str, facts: dict[str, float]) -> None:
        self.name, self.digest, self.source, self.facts = name, digest, source, facts


class Recording:
    """Writes one trial's events to its run and its folder."""

    def __init__(self, trial: Trial, run: TrialRun, dataset: Dataset, folder: Path) -> None:
        self.trial, self.run, self.dataset, self.folder = trial, run, dataset, folder
        self.best: dict[str, float] = {}
        self.limits: dict[str, float] = {}
        """What the rule that stops the trial compares with, by metric."""
        self.failure: TrackingError | None = None
        """Why the store does not take any more; the journal keeps every metric."""
        self.told_to_stop = False
        self.noted: dict[str, str] = {}
        """Tags of what was found and stopped nothing."""

    def take(self, event: Event) -> Told | None:
        """Write an event; what the study has to know of it."""
        if isinstance(event, Ended):
            return self._end(event)
        try:
            self._write(event)
        except TrackingError as failure:
            self.failure = self.failure or failure
        if isinstance(event, Entry):
            return event.progress
        return event if isinstance(event, Finding) else None

    def abandon(self) -> None:
        """End the run of a trial that is left while it trains, and goes on another time."""
        try:
            self.run.close("KILLED", {"trial.state": "interrupted", "stop.kind": "abandoned"})
        except TrackingError:
            return  # whatever made the program leave is what the user has to know; the journal keeps every metric

    def _write(self, event: Event) -> None:
        if isinstance(event, Entry):
            self._log(event)
        elif isinstance(event, Opening):
            self.run.params(event.params)
            self.run.tags({**event.tags, "tracking.extras": self.run.extras.found})
            self.run.dataset(self.dataset.name, self.dataset.digest, self.dataset.source, self.dataset.facts)
            self.run.text(self.trial.settings.to_yaml(), "settings.yaml")
        elif isinstance(event, Finding):
            self._note(event)
        elif isinstance(event, Shown) and self.run.extras.plots:
            self.run.later(partial(plot, self.run, event.exhibit, event.step))
        elif isinstance(event, Spoken) and self.run.extras.on:
            self.run.later(partial(write_audio, self.run, event, self.trial, self.folder / "audio"))
        elif isinstance(event, Listed) and self.run.extras.on:
            self.run.later(partial(self.run.text, json.dumps(event.rows, ensure_ascii=False), event.name))

    def _note(self, finding: Finding) -> None:
        if finding.level != "stop":
            tag = f"health.{finding.level}.{finding.rule}"
            self.noted[tag] = f"{self.noted.get(tag, '')} {finding.sentence}".strip()  # r may fall more than once
            self.run.tags({tag: self.noted[tag]})
        elif self.trial.audited:
            self.run.tags({f"health.audit.{finding.rule}": finding.sentence})
        else:
            self.limits = finding.limits  # the rest follows as the outcome

    def _log(self, entry: Entry) -> None:
        progress = entry.progress
        loss = progress.metrics.get("validation.loss")
        if loss is not None and loss < self.best.get("best.validation.loss", float("inf")):
            self.best = {"best.validation.loss": loss, "best.step": float(progress.step)}
        if self.failure is None:
            self.run.log(entry)

    def _end(self, event: Ended) -> Ended:
        outcome = event.outcome
        stays = outcome is None or isinstance(outcome, Verdict)  # the store comes before a verdict, not before a bug
        if stays and self.failure is not None:
            outcome = self.failure
        try:
            self._close(outcome, event)
        except TrackingError as failure:
            outcome = failure if stays else outcome
        return Ended(outcome)

    def _close(self, outcome: Exception | None, event: Ended) -> None:
        if isinstance(outcome, Interrupted):
            tags = {"trial.state": "interrupted", "stop.kind": outcome.kind, "stop.reason": str(outcome)}
            self.run.close("KILLED", tags)
        elif isinstance(outcome, TrialStopped):
            if self.run.extras.plots and outcome.series:
                self.run.later(partial(plot_series, self.run, outcome, self.limits, self.folder / JOURNAL))
            self.run.close("KILLED", stopped_tags(outcome, self.folder), self.best)
        elif outcome is not None:
            error = str(outcome) if isinstance(outcome, Fault) else f"{type(outcome).__name__}: {outcome}"
            tags = {"trial.state": "failed", "error": error, "checkpoint": last_good(self.folder)}
            self.run.close("FAILED", tags)
        else:
            self._finish(event)

    def _finish(self, event: Ended) -> None:
        if event.params:
            self.run.params(event.params)
        best = self.folder / checkpoint.BEST
        if self.run.extras.on and best.exists():
            self.run.later(partial(self.run.file, best, "checkpoint"))
        spent = f"The budget of {self.trial.settings.hparams.budget} is spent."
        self.run.close("FINISHED", {"trial.state": "complete", "stop.reason": spent, **event.tags}, self.best)


def trial_folder(study: Path, number: int) -> Path:
    """Where a trial's files are, in its study's folder."""
    return study / f"trial-{number:04d}"


def folders(study: Path) -> Callable[[int], Path]:
    """Where each trial's files are."""
    return partial(trial_folder, study)


def plot(run: TrialRun, exhibit: Exhibit, step: int) -> None:
    """Draw the three plots of an exhibit and store them."""
    from smart_tuner.figures import plots  # matplotlib is optional

    run.image(plots.alignment(exhibit.attention_TN, exhibit.name, step), "alignment", step)
    run.image(plots.mel(exhibit.target_MF, exhibit.predicted_MF, exhibit.name, step), "mel", step)
    run.image(plots.gate(exhibit.gate_T, exhibit.name, step), "gate", step)


def plot_series(run: TrialRun, verdict: TrialStopped, limits: dict[str, float], path: Path) -> None:
    """Draw the metrics that decided a stop and store them."""
    from smart_tuner.figures import plots

    points: dict[str, list[tuple[int, float]]] = {}
    for entry in journal.read(path):
        for name in verdict.series:
            if name in entry.progress.metrics:
                points.setdefault(name, []).append((entry.progress.step, entry.progress.metrics[name]))
    if points:
        run.image(plots.series(points, limits, verdict.step, f"stopped by {verdict.rule}"), "stop", verdict.step)


def write_audio(run: TrialRun, spoken: Spoken, trial: Trial, folder: Path) -> None:
    """Turn a mel into sound, keep it beside the checkpoints and store it; MLflow's interface plays it."""
    from smart_tuner.speech import audio  # training itself needs no audio library

    path = folder / spoken.name
    path.parent.mkdir(exist_ok=True)
    mel: NDArray[np.float32] = spoken.mel
    speech = trial.settings.speech
    audio.write_wav(path, audio.griffin_lim(mel, speech), speech.sampling_rate)
    run.file(path, "audio")


def stopped_tags(verdict: TrialStopped, folder: Path) -> dict[str, str]:
    """Why a trial was stopped, with the numbers that decided."""
    return {
        "trial.state": "stopped",
        "stop.kind": verdict.kind,
        "stop.rule": verdict.rule,
        "stop.step": str(verdict.step),
        "stop.utterances": str(verdict.utterances),
        "stop.reason": str(verdict),
        "stop.threshold": verdict.threshold,
        "stop.window": verdict.window,
        "mlflow.note.content": str(verdict),
        "checkpoint": last_good(folder),
        **{f"stop.observed.{name}": f"{value:.6g}" for name, value in verdict.observed.items()},
    }


def last_good(folder: Path) -> str:
    """The best checkpoint that is on disk, else the last one."""
    found = [folder / name for name in (checkpoint.BEST, checkpoint.LAST) if (folder / name).exists()]
    return str(found[0]) if found else "none"
