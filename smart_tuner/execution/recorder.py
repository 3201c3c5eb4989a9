"""What trials tell, written to MLflow and to their folders."""

import json
from functools import partial

from smart_tuner.errors import Fault, Interrupted, Judgement, TrackingError, TrialStopped, Verdict
from smart_tuner.paths import StudyFolder, TrialFolder
from smart_tuner.progress import Entry
from smart_tuner.tracking.machine import Extras
from smart_tuner.tracking.tracker import Dataset, StudyRun, TrialRun
from smart_tuner.training.journal import read_journal
from smart_tuner.trial import Ended, Event, Listed, Opening, Plotted, Spoken, Trial


class MlflowRecorder:
    """Writes down the trials of one study, each in its own nested run and its own folder."""

    def __init__(self, study: StudyRun, dataset: Dataset, folder: StudyFolder, extras: Extras) -> None:
        self.study, self.dataset, self.folder, self.extras = study, dataset, folder, extras
        self._open: dict[int, TrialRecorder] = {}

    def open(self, trial: Trial) -> None:
        """Open the trial's run, or go on with the one it has. Raises TrackingError."""
        tags = {"trial.origin": trial.origin, "trial.state": "running"}
        tags |= {"trial.note": trial.note} if trial.note else {}
        tags |= {"trial.audited": "true"} if trial.audited else {}
        run = self.study.open_trial(trial.number, tags, self.extras)
        self._open[trial.number] = TrialRecorder(trial, run, self.dataset, self.folder.trial(trial.number))

    def write(self, trial: Trial, event: Event) -> Event:
        """Write what a trial tells. An Ended comes back with the outcome that counts: a store that failed outweighs it.

        A store that fails is no reason to lose the training: see has_failed.
        """
        if isinstance(event, Ended):
            return self._open.pop(trial.number).end(event)
        self._open[trial.number].write(event)
        return event

    def has_failed(self, trial: Trial) -> bool:
        """Whether the store takes no more of this trial; its journal keeps every metric."""
        return trial.number in self._open and self._open[trial.number].outage is not None

    def close(self) -> None:
        """End the runs of trials that are left while they train, and go on another time."""
        for recorder in self._open.values():
            recorder.abandon()
        self._open.clear()


class TrialRecorder:
    """Writes one trial's events to its run and its folder."""

    def __init__(self, trial: Trial, run: TrialRun, dataset: Dataset, folder: TrialFolder) -> None:
        self.trial, self.run, self.dataset, self.folder = trial, run, dataset, folder
        self.outage: TrackingError | None = None
        """Why the store does not take any more."""
        self._best: dict[str, float] = {}
        self._noted: dict[str, str] = {}
        """Tags of what was found and stopped nothing."""

    def write(self, event: Event) -> None:
        """Write an event; what the store does not take is remembered as the outage."""
        try:
            self._write(event)
        except TrackingError as failure:
            # the first one: those that follow from it say less
            self.outage = self.outage or failure

    def end(self, event: Ended) -> Ended:
        """Close the run by how the trial ended. The event comes back with the outcome that counts."""
        outcome = event.outcome
        outweighed = outcome is None or isinstance(outcome, Judgement)  # a fault or a bug is told all the same
        if outweighed and self.outage is not None:
            outcome = self.outage
        try:
            self._close(outcome, event)
        except TrackingError as failure:
            outcome = failure if outweighed else outcome
        return Ended(outcome)

    def abandon(self) -> None:
        """End the run of a trial that is left while it trains, and goes on another time."""
        try:
            self.run.close("KILLED", {"trial.state": "interrupted", "stop.kind": "abandoned"})
        except TrackingError:
            return  # whatever made the program leave is what the user has to know; the journal keeps every metric

    def _write(self, event: Event) -> None:
        extras = self.run.extras
        if isinstance(event, Entry):
            self._log(event)
        elif isinstance(event, Opening):
            self.run.params(event.params)
            self.run.tags({**event.tags, "tracking.extras": extras.found})
            self.run.dataset(self.dataset)
            self.run.text(self.trial.settings.to_yaml(), "settings.yaml")
        elif isinstance(event, Verdict):
            self._note(event)
        elif isinstance(event, Plotted) and extras.plots:
            self.run.later(partial(plot_exhibit, self.run, event))
        elif isinstance(event, Spoken) and extras.on:
            self.run.later(partial(write_audio, self.run, event, self.trial, self.folder))
        elif isinstance(event, Listed) and extras.on:
            self.run.later(partial(self.run.text, json.dumps(event.rows, ensure_ascii=False), event.name))

    def _log(self, entry: Entry) -> None:
        progress = entry.progress
        loss = progress.metrics.get("validation.loss")
        if loss is not None and loss < self._best.get("best.validation.loss", float("inf")):
            self._best = {"best.validation.loss": loss, "best.step": float(progress.step)}
        if self.outage is None:
            self.run.log(entry)

    def _note(self, verdict: Verdict) -> None:
        if verdict.level != "stop":
            tag = f"health.{verdict.level}.{verdict.rule}"
            self._noted[tag] = f"{self._noted.get(tag, '')} {verdict.sentence}".strip()  # r may fall more than once
            self.run.tags({tag: self._noted[tag]})
        elif self.trial.audited:  # of any other trial the stop follows as its outcome
            self.run.tags({f"health.audit.{verdict.rule}": verdict.sentence})

    def _close(self, outcome: Exception | None, event: Ended) -> None:
        if isinstance(outcome, Interrupted):
            tags = {"trial.state": "interrupted", "stop.kind": outcome.kind, "stop.reason": str(outcome)}
            self.run.close("KILLED", tags)
        elif isinstance(outcome, TrialStopped):
            if self.run.extras.plots:
                self.run.later(partial(plot_stop, self.run, outcome.verdict, self.folder))
            self.run.close("KILLED", stop_tags(outcome.verdict) | self._checkpoint(), self._best)
        elif outcome is not None:
            error = str(outcome) if isinstance(outcome, Fault) else f"{type(outcome).__name__}: {outcome}"
            tags = {"trial.state": "failed", "error": error, "error.kind": type(outcome).__name__}
            self.run.close("FAILED", tags | self._checkpoint())
        else:
            self._finish(event)

    def _finish(self, event: Ended) -> None:
        if event.params:
            self.run.params(event.params)
        if self.run.extras.on and self.folder.best.exists():
            self.run.later(partial(self.run.file, self.folder.best, "checkpoint"))
        spent = f"The budget of {self.trial.settings.hparams.budget} is spent."
        self.run.close("FINISHED", {"trial.state": "complete", "stop.reason": spent, **event.tags}, self._best)

    def _checkpoint(self) -> dict[str, str]:
        return {"checkpoint": str(self.folder.last_good or "none")}


def plot_exhibit(run: TrialRun, plotted: Plotted) -> None:
    """Draw the three plots of an exhibit and store them."""
    from smart_tuner.figures import plots  # matplotlib is optional

    exhibit, step = plotted.exhibit, plotted.step
    run.image(plots.plot_alignment(exhibit.attention_TN, exhibit.name, step), "alignment", step)
    run.image(plots.plot_mel(exhibit.target_MF, exhibit.predicted_MF, exhibit.name, step), "mel", step)
    run.image(plots.plot_gate(exhibit.gate_T, exhibit.name, step), "gate", step)


def plot_stop(run: TrialRun, verdict: Verdict, folder: TrialFolder) -> None:
    """Draw the metrics that decided a stop, as the trial's journal has them, and store the picture."""
    from smart_tuner.figures import plots

    points: dict[str, list[tuple[int, float]]] = {}
    for entry in read_journal(folder.journal):
        for name in verdict.series:
            if name in entry.progress.metrics:
                points.setdefault(name, []).append((entry.progress.step, entry.progress.metrics[name]))
    if points:
        title = f"stopped by {verdict.rule}"
        run.image(plots.plot_series(points, verdict.limits, verdict.step, title), "stop", verdict.step)


def write_audio(run: TrialRun, spoken: Spoken, trial: Trial, folder: TrialFolder) -> None:
    """Turn a mel into sound, keep it beside the checkpoints and store it; MLflow's interface plays it."""
    from smart_tuner.speech import audio  # training itself needs no audio library

    path = folder.audio / spoken.name
    path.parent.mkdir(exist_ok=True)
    speech = trial.settings.speech
    audio.write_wav(path, audio.griffin_lim(spoken.mel, speech), speech.sampling_rate)
    run.file(path, "audio")


def stop_tags(verdict: Verdict) -> dict[str, str]:
    """Why a trial was stopped, with the numbers that decided."""
    return {
        "trial.state": "stopped",
        "stop.kind": verdict.kind,
        "stop.rule": verdict.rule,
        "stop.step": str(verdict.step),
        "stop.utterances": str(verdict.utterances),
        "stop.reason": verdict.sentence,
        "stop.threshold": verdict.threshold,
        "stop.window": verdict.window,
        "mlflow.note.content": verdict.sentence,
        **{f"stop.observed.{name}": f"{value:.6g}" for name, value in verdict.observed.items()},
    }
