"""What trials tell, written down: how each ending is told, what a store that is away changes, what is kept."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import mlflow
import numpy as np
import pytest
import soundfile

from smart_tuner.errors import Interrupted, LostWorkerError, TrialStopped, Verdict
from smart_tuner.execution.in_process import InThisProcess
from smart_tuner.execution.recorder import MlflowRecorder, write_audio
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import StudyFolder, TrialFolder
from smart_tuner.progress import Entry, Progress
from smart_tuner.settings.settings import Settings
from smart_tuner.study.loop import run_trials
from smart_tuner.tracking.machine import Extras
from smart_tuner.tracking.tracker import Dataset, Tracker
from smart_tuner.training.journal import Journal
from smart_tuner.training.run import train_trial
from smart_tuner.trial import Ended, Event, Exhibit, Listed, Opening, Plotted, Spoken, Trial
from tests.support import small
from tests.support.runs import AWAY, Run, StudyRun
from tests.support.scripted import stop, training, validation

NOTHING = Extras(on=False, system_metrics=False, plots=False, found="nothing")
SOUND = replace(NOTHING, on=True, found="audio")
PICTURES = replace(NOTHING, plots=True, found="plots")
BEEPS = Dataset(name="beeps", digest="d1ge57", source="/data/beeps", facts={"hours": 0.01})
JUMP = Verdict(
    rule="loss_jump",
    sentence="The loss jumped.",
    step=3,
    utterances=12,
    observed={"training.loss": 9.5},
    limits={"training.loss": 4.0},
    threshold="> 4",
    window="3 iterations",
)
PRUNED = stop("asha", "Worse.", step=3, kind="pruner", observed={"validation.loss": 2.5, "rung": 12.0})


class Session:
    """A recorder over a folder, and the trial that it writes down."""

    def __init__(
        self, folder: Path, extras: Extras = NOTHING, away_at: str | int | None = None, number: int = 3, **trial: Any
    ) -> None:
        settings = trial.pop("settings", Settings())
        self.trial = Trial(number=number, origin="replicate", settings=settings, **trial)
        self.study, self.folder = StudyRun(away_at), StudyFolder(folder).trial(number)
        self.folder.path.mkdir(exist_ok=True)
        self.recorder = MlflowRecorder(self.study, BEEPS, StudyFolder(folder), extras)  # type: ignore[arg-type]

    def tell(self, *events: Event | Exception | None) -> Event:
        """Open the trial and write what it tells; what becomes of the last event. An outcome ends it."""
        self.recorder.open(self.trial)
        for event in events:
            outcome = event is None or isinstance(event, Exception)
            written = self.recorder.write(self.trial, Ended(event) if outcome else event)  # type: ignore[arg-type]
        return written

    @property
    def run(self) -> Run:
        return self.study.runs[self.trial.number]


def entries(*progress: Any) -> list[Entry]:
    return [Entry(one, milliseconds=one.step) for one in progress]


FIRST = entries(training(1), validation(3, 0.5), validation(6, 0.2), validation(9, 0.4))


# endings


def test_a_trial_that_ends_by_itself_is_finished_with_its_best(tmp_path: Path) -> None:
    session = Session(tmp_path, settings=Settings().replace(budget="6it"))
    told = Opening(params={"seed": 1}, tags={"device": "cpu"})
    ended = Ended(None, params={"hparams.epochs": 2.5}, tags={"fp16.skipped_steps": "2"})
    assert session.tell(told, *FIRST, ended) == Ended(None)
    run = session.run
    assert (run.status, run.best) == ("FINISHED", {"best.validation.loss": 0.2, "best.step": 6.0})
    assert run.noted_params == {"seed": 1, "hparams.epochs": 2.5}
    assert run.noted_tags == {
        "trial.origin": "replicate",
        "device": "cpu",
        "tracking.extras": "nothing",
        "trial.state": "complete",
        "stop.reason": "The budget of 6it is spent.",
        "fp16.skipped_steps": "2",
    }
    assert run.logged == [entry.progress for entry in FIRST]
    assert (run.data_sets, run.artefacts) == ([BEEPS], {"settings.yaml": session.trial.settings.to_yaml()})


@pytest.mark.parametrize("given", [{"note": "Half the rate."}, {"audited": True}, {}])
def test_a_run_that_is_opened_says_why_the_trial_exists(tmp_path: Path, given: dict[str, Any]) -> None:
    session = Session(tmp_path, **given)
    session.recorder.open(session.trial)
    tags = {f"trial.{name}": str(value).lower() if value is True else value for name, value in given.items()}
    assert session.run.noted_tags == {"trial.origin": "replicate", "trial.state": "running", **tags}


@pytest.mark.parametrize("why", ["user", "budget"])
def test_an_interrupted_trial_is_killed_and_not_stopped(tmp_path: Path, why: Any) -> None:
    session, outcome = Session(tmp_path), Interrupted("After iteration 2.", step=2, kind=why)
    assert session.tell(*FIRST, outcome) == Ended(outcome)
    tags = {"trial.state": "interrupted", "stop.kind": why, "stop.reason": "After iteration 2."}
    assert (session.run.status, session.run.best) == ("KILLED", {})
    assert session.run.noted_tags.items() >= tags.items()


@pytest.mark.parametrize("verdict", [JUMP, PRUNED.verdict])
def test_a_stopped_trial_is_killed_with_the_rule_and_the_numbers_that_decided(tmp_path: Path, verdict: Verdict) -> None:
    session = Session(tmp_path)
    session.folder.best.touch()
    session.tell(*FIRST, TrialStopped(verdict))
    assert session.run.noted_tags == {
        "trial.origin": "replicate",
        "trial.state": "stopped",
        "stop.kind": verdict.kind,
        "stop.rule": verdict.rule,
        "stop.step": "3",
        "stop.utterances": "12",
        "stop.reason": verdict.sentence,
        "stop.threshold": verdict.threshold,
        "stop.window": verdict.window,
        "mlflow.note.content": verdict.sentence,
        "checkpoint": str(session.folder.best),
        **{f"stop.observed.{name}": f"{value:g}" for name, value in verdict.observed.items()},
    }
    assert (session.run.status, session.run.best["best.step"]) == ("KILLED", 6)


@pytest.mark.parametrize(
    ("outcome", "error"), [(LostWorkerError("Gone."), "Gone."), (RuntimeError("a bug"), "RuntimeError: a bug")]
)
@pytest.mark.parametrize("files", [(), ("last",), ("last", "best")])
def test_a_trial_that_broke_fails_with_the_checkpoint_that_is_left(
    tmp_path: Path, outcome: Exception, error: str, files: tuple[str, ...]
) -> None:
    session = Session(tmp_path)
    for name in files:
        getattr(session.folder, name).touch()
    assert session.tell(outcome) == Ended(outcome)
    left = str(getattr(session.folder, files[-1])) if files else "none"
    assert session.run.status == "FAILED"
    told = {"trial.state": "failed", "error": error, "error.kind": type(outcome).__name__, "checkpoint": left}
    assert session.run.noted_tags.items() >= told.items()


# a store that is away


def test_a_store_that_is_away_opens_nothing(tmp_path: Path) -> None:
    session = Session(tmp_path, away_at="open")
    with pytest.raises(type(AWAY)):
        session.recorder.open(session.trial)
    assert not session.recorder.has_failed(session.trial)


@pytest.mark.parametrize("at", ["params", 2])
def test_an_outage_is_remembered_and_leaves_no_gaps(tmp_path: Path, at: str | int) -> None:
    session = Session(tmp_path, away_at=at)
    told = [Opening(params={}, tags={}), *entries(training(1), training(2), training(3))]
    assert session.tell(*told) is told[-1]  # the study hears of it all the same
    assert session.recorder.has_failed(session.trial)
    assert [one.step for one in session.run.logged] == ([] if at == "params" else [1])


@pytest.mark.parametrize("at", [1, "close"])
@pytest.mark.parametrize("outcome", [None, PRUNED, Interrupted("Saved.", step=1)])
def test_an_outage_outweighs_what_can_be_repeated(tmp_path: Path, at: str | int, outcome: Exception | None) -> None:
    session = Session(tmp_path, away_at=at)
    assert session.tell(*entries(training(1)), outcome) == Ended(AWAY)
    if at == 1:
        assert (session.run.status, session.run.noted_tags["error"]) == ("FAILED", "The store is away.")


@pytest.mark.parametrize("at", [1, "close"])
@pytest.mark.parametrize("outcome", [RuntimeError("a bug"), LostWorkerError("Gone.")])
def test_a_breakage_is_told_whatever_the_store_does(tmp_path: Path, at: str | int, outcome: Exception) -> None:
    assert Session(tmp_path, away_at=at).tell(*entries(training(1)), outcome) == Ended(outcome)


def test_trials_that_are_left_are_abandoned_though_the_store_is_away(tmp_path: Path) -> None:
    session = Session(tmp_path, away_at="close")
    for number in (3, 4):
        session.recorder.open(replace(session.trial, number=number))
    session.study.runs[4].away_at = None
    session.recorder.close()
    left = session.study.runs[4]
    assert (left.status, left.noted_tags["trial.state"], left.noted_tags["stop.kind"]) == (
        "KILLED",
        "interrupted",
        "abandoned",
    )


def test_a_trial_that_has_ended_is_not_abandoned(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.tell(None)
    session.recorder.close()
    assert session.run.status == "FINISHED"


# health


@pytest.mark.parametrize(
    ("level", "audited", "times", "tags"),
    [
        ("warn", False, 1, {"health.warn.loss_jump": "The loss jumped."}),
        ("note", True, 1, {"health.note.loss_jump": "The loss jumped."}),
        ("note", False, 2, {"health.note.loss_jump": "The loss jumped. The loss jumped."}),
        ("stop", True, 1, {"health.audit.loss_jump": "The loss jumped."}),
        ("stop", False, 1, {}),
    ],
)
def test_what_health_finds_is_a_tag_but_for_a_stop_which_follows_as_the_outcome(
    tmp_path: Path, level: Any, audited: bool, times: int, tags: dict[str, str]
) -> None:
    session, found = Session(tmp_path, audited=audited), replace(JUMP, level=level)
    assert session.tell(*[found] * times) is found
    assert {key: text for key, text in session.run.noted_tags.items() if key.startswith("health.")} == tags


# artefacts


def write_journal(folder: TrialFolder) -> None:
    journal = Journal(folder.journal, 0, 0)
    for progress in (training(1), training(2), validation(3, 0.5)):
        journal.append(progress)
    journal.close()


@pytest.mark.parametrize("extras", [PICTURES, SOUND])
def test_what_decided_a_stop_is_drawn_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extras: Extras
) -> None:
    from smart_tuner.figures import plots

    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(plots, "plot_series", lambda *given: drawn.append(given) or np.zeros((9, 9, 3), np.uint8))
    session = Session(tmp_path, extras)
    write_journal(session.folder)
    session.tell(TrialStopped(JUMP))
    losses = {"training.loss": [(1, 1.0), (2, 1.0)]}
    assert drawn == ([(losses, {"training.loss": 4.0}, 3, "stopped by loss_jump")] if extras.plots else [])
    assert ("stop 3" in session.run.artefacts) == extras.plots


@pytest.mark.slow
def test_a_stop_and_an_exhibit_are_drawn(tmp_path: Path) -> None:
    session, frames = Session(tmp_path, PICTURES), np.zeros((8, 12), dtype=np.float32)
    write_journal(session.folder)
    exhibit = Exhibit(
        name="beep-01",
        tokens=np.arange(5),
        target_MF=frames,
        predicted_MF=frames,
        gate_T=np.full(6, 0.5, dtype=np.float32),
        attention_TN=np.full((6, 5), 0.2, dtype=np.float32),
    )
    session.tell(Plotted(step=3, exhibit=exhibit), TrialStopped(JUMP))
    pictures = {name: shape[2] for name, shape in session.run.artefacts.items()}
    assert pictures == {"alignment 3": 3, "mel 3": 3, "gate 3": 3, "stop 3": 3}


def spoken(frames: int) -> Spoken:
    return Spoken(name="000006-target-beep.wav", mel=np.full((small.MELS, frames), -2.0, dtype=np.float32))


@pytest.mark.parametrize("extras", [SOUND, PICTURES])
def test_speech_lists_and_the_best_checkpoint_are_kept_where_extras_are_on(tmp_path: Path, extras: Extras) -> None:
    session = Session(tmp_path, extras, settings=small.settings())
    session.folder.best.write_bytes(b"weights")
    rows = [{"name": "beep-01", "loss": 0.5}]
    session.tell(spoken(30), Listed(name="validation/utterances.json", rows=rows), None)
    kept = session.run.artefacts
    assert set(kept) == (
        {"audio/000006-target-beep.wav", "checkpoint/best.pt", "validation/utterances.json"} if extras.on else set()
    )
    if extras.on:
        assert kept["checkpoint/best.pt"] == b"weights"
        assert json.loads(kept["validation/utterances.json"]) == rows
        samples, rate = soundfile.read(session.folder.audio / "000006-target-beep.wav")
        assert (rate, np.abs(samples).max()) == (22050, pytest.approx(0.9, abs=0.01))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_speech_of_any_length_becomes_sound(tmp_path: Path, frames: int) -> None:
    session = Session(tmp_path, settings=small.settings())
    session.recorder.open(session.trial)
    write_audio(session.run, spoken(frames), session.trial, session.folder)  # type: ignore[arg-type]
    assert soundfile.info(session.folder.audio / "000006-target-beep.wav").frames > 0


# altogether


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Tracker]:
    yield Tracker(small.tracking_store(tmp_path), "Default")
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


class OneTrial:
    """A plan of one trial, told to stop from a step on."""

    def __init__(self, settings: Settings, stop_at: int) -> None:
        self.left, self.seen = [Trial(number=3, origin="baseline", settings=settings)], list[Progress]()
        self.stop_at = stop_at

    def next_trial(self, running: int) -> Trial | None:
        return self.left.pop() if self.left else None

    def is_replay(self, trial: Trial, event: Any) -> bool:
        return False

    def on_progress(self, trial: Trial, progress: Progress) -> None:
        self.seen.append(progress)

    def on_verdict(self, trial: Trial, verdict: Verdict) -> None: ...

    def on_end(self, trial: Trial, outcome: Exception | None) -> None: ...

    def why_stop(self) -> Literal["user"] | None:
        return "user" if self.seen and self.seen[-1].step >= self.stop_at else None


@pytest.mark.slow
def test_a_trial_that_goes_on_with_other_tracking_settings_logs_nothing_twice(tmp_path: Path, tracker: Tracker) -> None:
    settings, folder = small.settings(), StudyFolder(tmp_path)
    other = replace(settings, tracking=replace(settings.tracking, plots=3))
    for plan in (OneTrial(settings, stop_at=4), OneTrial(other, stop_at=99)):
        executor = InThisProcess(partial(train_trial, examples=small.corpus(tmp_path)), Slot("cpu", 1), folder)
        recorder = MlflowRecorder(tracker.open_study("s", {}), BEEPS, folder, NOTHING)
        with suppress(Interrupted):
            list(run_trials(plan, executor, recorder, plan.why_stop))
    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`trial.number` = '3'")
    held = small.points(tracker.client, run.info.run_id)
    losses = [(one.step, one.metrics["training.loss"]) for one in plan.seen if one.kind == "training"]
    assert [step for step, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert (held["training.loss"], held["validation.step"]) == (losses, [(3, 1.0), (6, 2.0)])
    assert (run.info.status, run.data.tags["trial.state"]) == ("FINISHED", "complete")
