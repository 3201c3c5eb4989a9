"""Trials from start to end, with runs written by hand: how each ending is told to the tracker and to the study."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from typing import Any

import mlflow
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from smart_tuner import checkpoint, training
from smart_tuner.errors import CheckpointError, Interrupted, LostWorkerError, TrackingError, TrialStopped
from smart_tuner.experiment import Dataset, Experiment, folders, write_audio
from smart_tuner.health.watch import Finding
from smart_tuner.journal import Entry
from smart_tuner.machine import Extras
from smart_tuner.progress import Progress
from smart_tuner.settings import Hparams, Settings, Tracking
from smart_tuner.tracking.tracker import StudyRun, Tracker
from smart_tuner.training import Ended, Event, Spoken, Trial
from smart_tuner.workers import InThisProcess, Slot, Workers
from tests import small
from tests.test_training import Sick

PLAIN = Extras(on=False, system_metrics=False, plots=False, found="nothing")
SOUND = Extras(on=True, system_metrics=False, plots=False, found="audio")
PICTURES = Extras(on=False, system_metrics=False, plots=True, found="plots")
AWAY = TrackingError("The store is away.")
PRUNED = TrialStopped("Worse.", rule="asha", step=3, observed={"validation.loss": 2.5}, kind="pruner", utterances=12)


@pytest.fixture(autouse=True)
def tracking_uri_of_one_test() -> Iterator[None]:
    """MLflow's URI and torch's threads are one for the process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


class Run:
    """A trial's run that notes what it is given; its store fails at an iteration when told to."""

    def __init__(self, extras: Extras, failure: tuple[int | str, Exception] | None) -> None:
        self.extras, self.failure = extras, failure
        self.logged: list[Progress] = []
        self.noted_params: dict[str, Any] = {}
        self.noted_tags: dict[str, str] = {}
        self.data_sets: list[tuple[object, ...]] = []
        self.artefacts: dict[str, object] = {}
        self.status, self.best = "RUNNING", dict[str, float]()

    def fail(self, at: int | str) -> None:
        if self.failure is not None and self.failure[0] == at:
            raise self.failure[1]

    def log(self, entry: Entry) -> None:
        self.fail(entry.progress.step)
        self.logged.append(entry.progress)

    def later(self, job: Callable[[], None]) -> None:
        job()

    def params(self, values: Mapping[str, Any]) -> None:
        self.fail("params")
        self.noted_params.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        self.noted_tags.update(values)

    def dataset(self, *given: object) -> None:
        self.data_sets.append(given)

    def text(self, content: str, name: str) -> None:
        self.artefacts[name] = content

    def image(self, picture: NDArray[np.uint8], key: str, step: int) -> None:
        self.artefacts[f"{key} {step}"] = picture.shape

    def file(self, path: Path, folder: str | None = None) -> None:
        self.artefacts[f"{folder}/{path.name}"] = path.read_bytes()

    def close(self, status: str, tags: Mapping[str, str], best: Mapping[str, float] | None = None) -> None:
        self.fail("close")
        self.status, self.best = status, dict(best or {})
        self.tags(tags)


class Study:
    """A study's run that opens such runs."""

    def __init__(self, failure: tuple[int | str, Exception] | None = None) -> None:
        self.failure, self.opened = failure, list[tuple[int, dict[str, str]]]()
        self.runs: dict[int, Run] = {}

    def open_trial(self, number: int, tags: Mapping[str, str], extras: Extras) -> Run:
        self.opened.append((number, dict(tags)))
        self.runs[number] = Run(extras, self.failure)
        self.runs[number].fail("open")
        return self.runs[number]


class Tells:
    """Workers that tell what they were given, whatever they are told; the answers are noted."""

    slots = 2

    def __init__(self, *events: tuple[int, Event]) -> None:
        self.events, self.heard, self.closed = list(events), list[tuple[int, Any]](), False

    def start(self, trial: Trial) -> None: ...

    def wait(self, seconds: float) -> tuple[int, Event] | None:
        return self.events.pop(0) if self.events else None

    def answer(self, number: int, answer: Any) -> None:
        self.heard.append((number, answer))

    def close(self) -> None:
        self.closed = True


Look = Callable[[Progress], object]


class Session:
    """One start of the program over a folder."""

    def __init__(
        self,
        folder: Path,
        extras: Extras = PLAIN,
        failure: tuple[int | str, Exception] | None = None,
        workers: Workers | None = None,
        study: StudyRun | None = None,
    ) -> None:
        self.study, self.stop, self.folder = Study(failure), Flag(), folder / "trial-0003"
        self.examples = small.corpus(folder)
        facts = {"hours": 0.01, "train": 14.0, "validation": 3.0}
        self.experiment = Experiment(
            workers or InThisProcess(self.examples, Slot(small.CPU, torch.get_num_threads()), folders(folder)),
            study or self.study,  # type: ignore[arg-type]
            Dataset("beeps", "d1ge57", "/data/beeps", facts),
            folder,
            extras,
            self.stop,
        )

    def start(self, number: int = 3, settings: Settings | None = None, audited: bool = False, **hparams: Any) -> None:
        chosen = settings or small.settings(**hparams)
        self.experiment.start(Trial(number=number, origin="replicate", settings=chosen, audited=audited))

    def follow(
        self, look: Look = id, verdict: TrialStopped | None = None, deadline: float | None = None
    ) -> tuple[list[Progress], Exception | None]:
        """What the trial tells, as a study hears it, and how it ends."""
        seen: list[Progress] = []
        while True:
            trial, event = self.experiment.wait(deadline)
            if isinstance(event, Ended):
                return seen, event.outcome
            if isinstance(event, Progress):
                seen.append(event)
                look(event)
                if event.kind == "validation":
                    self.experiment.answer(trial, verdict)

    @property
    def run(self) -> Run:
        return self.study.runs[3]

    def position(self, name: str = checkpoint.LAST) -> dict[str, Any]:
        found: dict[str, Any] = checkpoint.read(self.folder / name)["position"]
        return found


def first(session: Session) -> Progress:
    """The first Progress of the trial."""
    _, event = session.experiment.wait(None)
    assert isinstance(event, Progress)
    return event


# endings


def test_a_trial_that_ends_by_itself_is_finished(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    progress, outcome = session.follow()
    run, losses = session.run, [one.metrics.get("validation.loss", 9e9) for one in progress]
    assert outcome is None
    assert session.study.opened == [(3, {"trial.origin": "replicate", "trial.state": "running"})]
    assert run.status == "FINISHED"
    assert (run.noted_tags["trial.state"], run.noted_tags["stop.reason"]) == ("complete", "The budget of 6it is spent.")
    assert run.best == {"best.validation.loss": min(losses), "best.step": progress[losses.index(min(losses))].step}
    assert run.logged == progress
    assert session.position()["iteration"] == 6


def test_a_note_says_why_a_trial_exists(tmp_path: Path) -> None:
    session = Session(tmp_path)
    chosen = small.settings()
    session.experiment.start(Trial(number=3, origin="repaired", settings=chosen, note="Half the learning rate."))
    assert session.study.opened[0][1]["trial.note"] == "Half the learning rate."


def test_an_interrupted_trial_is_killed_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    undisturbed = Session(tmp_path / "whole")
    undisturbed.start()
    whole = small.lines(undisturbed.follow()[0])
    before_it = Session(tmp_path / "cut")
    before_it.start()
    before, outcome = before_it.follow(setting(before_it.stop, 2))
    assert isinstance(outcome, Interrupted)
    assert str(outcome) == "Interrupted after iteration 2; the checkpoint is saved."
    assert before_it.position()["iteration"] == 2
    assert before_it.run.noted_tags.items() >= {"trial.state": "interrupted", "stop.kind": "user"}.items()
    assert (before_it.run.status, before_it.run.best) == ("KILLED", {})
    after = Session(tmp_path / "cut")
    after.start()
    again, _ = after.follow()
    assert again[:2] == before
    assert small.lines(again) == whole
    assert after.run.status == "FINISHED"
    assert after.run.best == undisturbed.run.best


def test_when_time_is_up_a_trial_stays_open(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    progress, outcome = session.follow(deadline=time.monotonic())
    assert isinstance(outcome, Interrupted)
    assert (outcome.kind, len(progress)) == ("budget", 1)
    assert (session.run.status, session.run.noted_tags["stop.kind"]) == ("KILLED", "budget")


def test_a_deadline_to_come_stops_nothing(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    assert session.follow(deadline=time.monotonic() + 1000)[1] is None


def test_everybody_is_told_to_stop_once(tmp_path: Path) -> None:
    workers = Tells(*[(number, Ended(Interrupted("Out of time.", step=1, kind="budget"))) for number in (3, 4)])
    session = Session(tmp_path, workers=workers)
    for number in (3, 4):
        session.start(number)
    for _ in range(2):
        session.follow(deadline=0.0)
    assert workers.heard == [(3, "budget"), (4, "budget")]


def poison(examples: list[Any]) -> None:
    for example in examples:
        np.save(example.mel, np.load(example.mel) * np.nan)


def test_a_sick_trial_is_killed_with_the_rule_and_the_numbers(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    assert first(session).step == 1
    poison(session.examples.train)
    _, outcome = session.follow()
    assert isinstance(outcome, TrialStopped)
    assert session.run.status == "KILLED"
    assert session.run.noted_tags["stop.reason"] == session.run.noted_tags["mlflow.note.content"] == str(outcome)
    expected = {
        "trial.state": "stopped",
        "stop.kind": "health",
        "stop.rule": "non_finite",
        "stop.step": "2",
        "stop.observed.training.loss": "nan",
        "checkpoint": "none",
    }
    assert session.run.noted_tags.items() >= expected.items()


def test_a_pruned_trial_is_killed_with_the_numbers_that_decided(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    _, outcome = session.follow(verdict=PRUNED)
    assert outcome is PRUNED
    expected = {
        "stop.kind": "pruner",
        "stop.rule": "asha",
        "stop.utterances": "12",
        "stop.observed.validation.loss": "2.5",
    }
    assert session.run.noted_tags.items() >= expected.items()
    assert session.run.status == "KILLED"


def test_a_stopped_trial_leaves_the_checkpoint_of_its_best_validation(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    session.follow(verdict=PRUNED)
    best = session.position(checkpoint.BEST)
    assert session.run.best == {"best.validation.loss": best["best_loss"], "best.step": best["best_step"]}
    assert session.run.noted_tags["checkpoint"] == str(session.folder / checkpoint.BEST)


@pytest.mark.parametrize("at", [2, 5])
def test_an_outage_of_the_store_fails_the_run_and_keeps_the_training(tmp_path: Path, at: int) -> None:
    session = Session(tmp_path, failure=(at, AWAY))
    session.start()
    progress, outcome = session.follow()
    run = session.run
    assert outcome is AWAY
    assert run.status == "FAILED"
    assert (run.noted_tags["trial.state"], run.noted_tags["error"]) == ("failed", "The store is away.")
    assert (session.folder / checkpoint.LAST).exists()
    assert [one.step for one in run.logged][-1] == at - 1
    assert session.position()["iteration"] == progress[-1].step == at
    again = Session(tmp_path)
    again.start()
    assert [one.step for one in again.follow()[0] if one.kind == "training"] == [1, 2, 3, 4, 5, 6]
    assert again.run.logged[: len(progress)] == progress


@pytest.mark.parametrize("at", ["open", "params", "close"])
def test_an_outage_at_any_time_leaves_the_trial_open(tmp_path: Path, at: str) -> None:
    session = Session(tmp_path, failure=(at, AWAY))
    session.start()
    assert session.follow()[1] is AWAY


def entry(step: int) -> Entry:
    return Entry(Progress(kind="training", step=step, utterances=4 * step, fraction=0.2, metrics={"duration": 1.0}), 0)


@pytest.mark.parametrize("end", [None, PRUNED])
def test_a_trial_that_ends_before_it_hears_of_an_outage_stays_open_too(tmp_path: Path, end: Exception | None) -> None:
    workers = Tells(*((3, entry(step)) for step in (1, 2, 3)), (3, Ended(end)))
    session = Session(tmp_path, failure=(2, AWAY), workers=workers)
    session.start()
    assert session.follow()[1] is AWAY
    assert workers.heard == [(3, "user")]
    assert [one.step for one in session.run.logged] == [1]  # a run has no gaps


def test_a_bug_is_told_whatever_the_store_does(tmp_path: Path) -> None:
    bug = RuntimeError("A bug in the process of trial-0003")
    session = Session(tmp_path, failure=("close", AWAY), workers=Tells((3, Ended(bug))))
    session.start()
    assert session.follow()[1] is bug


@pytest.mark.parametrize(
    ("outcome", "error"), [(LostWorkerError("Gone."), "Gone."), (RuntimeError("a bug"), "RuntimeError: a bug")]
)
def test_a_trial_that_broke_fails_its_run(tmp_path: Path, outcome: Exception, error: str) -> None:
    session = Session(tmp_path, workers=Tells((3, Ended(outcome))))
    session.start()
    assert session.follow()[1] is outcome
    assert session.run.status == "FAILED"
    assert session.run.noted_tags.items() >= {"trial.state": "failed", "error": error, "checkpoint": "none"}.items()


def test_a_checkpoint_that_cannot_be_written_fails_the_run(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    _, outcome = session.follow(lambda _: (session.folder / checkpoint.LAST).mkdir(exist_ok=True))
    assert isinstance(outcome, CheckpointError)
    assert session.run.status == "FAILED"
    assert "last.pt could not be written" in session.run.noted_tags["error"]


def test_a_bug_in_the_training_fails_the_run_and_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sick, "judge", lambda *_: 1 // 0)
    monkeypatch.setattr(training, "Watch", Sick)
    session = Session(tmp_path)
    session.start()
    with pytest.raises(ZeroDivisionError), closing(session.experiment):
        session.follow()
    assert session.run.status == "FAILED"
    assert session.run.noted_tags["error"].startswith("ZeroDivisionError: ")


def test_a_trial_that_is_left_saves_itself_and_its_run_is_killed(tmp_path: Path) -> None:
    session = Session(tmp_path, failure=(4, ZeroDivisionError("a bug in the tracker")))
    session.start()
    with pytest.raises(ZeroDivisionError), closing(session.experiment):
        session.follow()
    assert session.position()["iteration"] == 4
    assert session.run.status == "KILLED"
    assert session.run.noted_tags.items() >= {"trial.state": "interrupted", "stop.kind": "abandoned"}.items()


def test_all_are_left_though_the_store_is_away(tmp_path: Path) -> None:
    workers = Tells()
    session = Session(tmp_path, failure=("close", AWAY), workers=workers)
    for number in (3, 4):
        session.start(number)
    session.study.runs[4].failure = None
    session.experiment.close()
    assert workers.closed
    assert session.study.runs[4].status == "KILLED"


def test_an_interrupted_trial_goes_on_with_other_tracking_settings(tmp_path: Path) -> None:
    study = Tracker(small.tracking_store(tmp_path), "Default").open_study("s", {})
    for chosen in (small.settings(), dataclasses.replace(small.settings(), tracking=Tracking(plots=3))):
        session = Session(tmp_path, study=study)
        session.start(settings=chosen)
        if chosen.tracking == small.settings().tracking:
            session.stop.set()
        _, outcome = session.follow()
    assert outcome is None
    assert session.position()["iteration"] == 6


def setting(flag: Flag, step: int) -> Look:
    """Sets the flag at a step, as Ctrl-C does."""
    return lambda progress: flag.set() if progress.step == step else None


def test_a_trial_that_tells_its_past_again_logs_nothing_twice(tmp_path: Path) -> None:
    tracker = Tracker(small.tracking_store(tmp_path), "Default")
    for stop_at in (4, 99):
        session = Session(tmp_path, study=tracker.open_study("s", {}))
        session.start()
        progress, _ = session.follow(setting(session.stop, stop_at))
    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`trial.number` = '3'")
    held = small.points(tracker.client, run.info.run_id)
    assert held["training.loss"] == [
        (one.step, one.metrics["training.loss"]) for one in progress if one.kind == "training"
    ]
    assert held["validation.step"] == [(3, 1.0), (6, 2.0)]


# health


def finding(level: Any) -> Finding:
    watch = Sick()
    watch.level = level
    (found,) = watch.judge(Progress(kind="training", step=4, utterances=16, fraction=0.6, metrics={}))
    return found


@pytest.mark.parametrize(
    ("level", "audited", "name"),
    [
        ("warn", False, "health.warn.loss_jump"),
        ("note", False, "health.note.loss_jump"),
        ("stop", True, "health.audit.loss_jump"),
    ],
)
def test_what_health_finds_is_a_tag_and_told(tmp_path: Path, level: str, audited: bool, name: str) -> None:
    found = finding(level)
    session = Session(tmp_path, workers=Tells((3, found), (3, Ended(None))))
    session.start(audited=audited)
    assert session.experiment.wait(None)[1] is found
    assert {key: text for key, text in session.run.noted_tags.items() if "health" in key} == {name: "The loss jumped."}


def test_what_is_found_twice_is_noted_twice(tmp_path: Path) -> None:
    session = Session(tmp_path, workers=Tells((3, finding("note")), (3, finding("note")), (3, Ended(None))))
    session.start()
    session.follow()
    assert session.run.noted_tags["health.note.loss_jump"] == "The loss jumped. The loss jumped."


def test_a_rule_that_stops_a_trial_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "Watch", Sick)
    session = Session(tmp_path)
    session.start()
    session.follow()
    tags = session.run.noted_tags
    assert (tags["stop.rule"], tags["stop.threshold"], tags["stop.window"]) == ("loss_jump", "> 4", "3 iterations")
    assert not [name for name in tags if name.startswith("health.")]


def test_an_audited_trial_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "Watch", Sick)
    session = Session(tmp_path)
    session.start(audited=True)
    assert session.follow()[1] is None
    assert session.run.noted_tags["health.audit.loss_jump"] == "The loss jumped."
    assert session.run.status == "FINISHED"


@pytest.mark.parametrize("extras", [PICTURES, PLAIN])
def test_what_decided_a_stop_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extras: Extras) -> None:
    from smart_tuner.figures import plots

    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(plots, "series", lambda *given: drawn.append(given) or np.zeros((9, 9, 3), np.uint8))
    monkeypatch.setattr(training, "Watch", Sick)
    session = Session(tmp_path, extras)
    session.start()
    seen, _ = session.follow()
    assert ("stop 4" in session.run.artefacts) == bool(drawn) == extras.plots
    losses = [(one.step, one.metrics["training.loss"]) for one in seen if one.kind == "training"]
    assert all(
        given == ({"training.loss": losses}, {"training.loss": 4.0}, 4, "stopped by loss_jump") for given in drawn
    )


def test_the_picture_of_a_stop_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "Watch", Sick)
    session = Session(tmp_path, PICTURES)
    session.start()
    session.follow()
    assert session.run.artefacts["stop 4"][2] == 3  # type: ignore[index]


# what is told about a trial


def test_every_setting_and_count_is_a_param(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start()
    first(session)
    params, chosen = session.run.noted_params, small.settings()
    assert {
        f"hparams.{name}": getattr(chosen.hparams, name) for name in Hparams.__dataclass_fields__
    }.items() <= params.items()
    assert params["model.attention_rnn_dim"] == 12
    assert params["hparams.epochs"] == 2
    assert (params["dataset.train_size"], params["dataset.val_size"]) == (14, 3)
    count = sum(parameter.numel() for parameter in small.trainer(tmp_path).model.parameters())
    assert params["model.total_params"] == params["model.trainable_params"] == count


def test_a_budget_of_wall_time_has_its_epochs_in_the_end(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.start(budget="0.001s")
    first(session)
    assert "hparams.epochs" not in session.run.noted_params
    session.follow()
    assert session.run.noted_params["hparams.epochs"] == pytest.approx(1 / 3)


def test_the_run_names_device_precision_seed_and_corpus(tmp_path: Path) -> None:
    session, chosen = Session(tmp_path), small.settings(seed=77)
    session.start(settings=chosen)
    first(session)
    expected = {
        "device": "cpu",
        "precision": "float32",
        "seed": "77",
        "dataset.language": "en",
        "dataset.digest": "d1ge57",
        "tracking.extras": "nothing",
    }
    assert session.run.noted_tags.items() >= expected.items()
    assert 0.5 < float(session.run.noted_tags["dataset.fill_ratio"]) <= 1.0
    facts = {"hours": 0.01, "train": 14, "validation": 3}
    assert session.run.data_sets == [("beeps", "d1ge57", "/data/beeps", facts)]
    assert session.run.artefacts["settings.yaml"] == chosen.to_yaml()


# artefacts


def test_plots_are_drawn_first_last_and_evenly_between(tmp_path: Path) -> None:
    session, chosen = Session(tmp_path, PICTURES), small.settings(validation_freq=1)
    object.__setattr__(chosen.tracking, "plots", 2)
    session.start(settings=chosen)
    session.follow()
    pictures = {name: shape for name, shape in session.run.artefacts.items() if name != "settings.yaml"}
    assert set(pictures) == {f"{key} {step}" for key in ("alignment", "mel", "gate") for step in (1, 3, 6)}
    assert {shape[2] for shape in pictures.values()} == {3}  # type: ignore[index]


def test_the_end_leaves_speech_and_the_best_checkpoint(tmp_path: Path) -> None:
    session = Session(tmp_path, SOUND)
    session.start(reduction_factor=3)
    session.follow()
    stored = session.run.artefacts
    shown = "1-" + next(name for name in stored if name.startswith("audio/000006-target-1-")).split("-1-")[1]
    assert {name for name in stored if name.startswith("audio/000006")} == {
        f"audio/000006-{kind}-{shown}" for kind in ("target", "teacher-forced", "free-running")
    }
    assert stored["checkpoint/best.pt"] == (session.folder / checkpoint.BEST).read_bytes()
    listed = json.loads(str(stored["validation/utterances.json"]))
    assert shown.removesuffix(".wav") in {row["name"] for row in listed}
    for name in (name for name in stored if name.startswith("audio/")):
        samples, rate = soundfile.read(session.folder / name)
        assert (rate, np.abs(samples).max()) == (22050, pytest.approx(0.9, abs=0.01))


@pytest.mark.parametrize("extras", [PLAIN, PICTURES])
def test_without_extras_there_is_neither_speech_nor_a_checkpoint(tmp_path: Path, extras: Extras) -> None:
    session = Session(tmp_path, extras)
    session.start(budget="1it")
    session.follow()
    assert not [name for name in session.run.artefacts if name.startswith(("audio/", "checkpoint/", "validation/"))]


@pytest.mark.parametrize("frames", [1, 2, 3, 30])
def test_speech_of_any_length_becomes_sound(tmp_path: Path, frames: int) -> None:
    spoken = Spoken(name="speech.wav", mel=np.full((small.MELS, frames), -2.0, dtype=np.float32))
    run, trial = Run(SOUND, None), Trial(number=3, origin="baseline", settings=small.settings())
    write_audio(run, spoken, trial, tmp_path / "audio")  # type: ignore[arg-type]
    assert "audio/speech.wav" in run.artefacts
