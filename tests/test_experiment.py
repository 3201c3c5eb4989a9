"""A trial from start to end, with runs written by hand: how each ending is told to the tracker."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Event
from typing import Any

import mlflow
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from smart_tuner import checkpoint
from smart_tuner.errors import CheckpointError, Interrupted, TrackingError, TrialStopped
from smart_tuner.experiment import Experiment, Trial, write_audio
from smart_tuner.journal import Journal
from smart_tuner.machine import Extras
from smart_tuner.progress import Progress
from smart_tuner.settings import Hparams, Settings, Tracking
from smart_tuner.tracker import Tracker
from tests import small

PLAIN = Extras(on=False, system_metrics=False, plots=False, found="nothing")
SOUND = Extras(on=True, system_metrics=False, plots=False, found="audio")
PICTURES = Extras(on=False, system_metrics=False, plots=True, found="plots")


@pytest.fixture(autouse=True)
def tracking_uri_of_one_test() -> Iterator[None]:
    """MLflow's URI is one for the process."""
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


class Run:
    """A trial's run that notes what it is given; its store fails at an iteration when told to."""

    def __init__(self, journal: Journal, failure: tuple[int, Exception] | None) -> None:
        self.journal, self.failure = journal, failure
        self.logged: list[Progress] = []
        self.noted_params: dict[str, Any] = {}
        self.noted_tags: dict[str, str] = {}
        self.data_sets: list[tuple[object, ...]] = []
        self.artefacts: dict[str, object] = {}
        self.status, self.best = "RUNNING", dict[str, float]()

    def log(self, progress: Progress) -> None:
        if self.failure is not None and progress.step == self.failure[0]:
            raise self.failure[1]
        self.journal.append(progress)
        self.logged.append(progress)

    def later(self, job: Callable[[], None]) -> None:
        job()

    def params(self, values: Mapping[str, Any]) -> None:
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
        self.journal.close()
        self.status, self.best = status, dict(best or {})
        self.tags(tags)


class Study:
    """A study's run that opens such runs."""

    def __init__(self, failure: tuple[int, Exception] | None = None) -> None:
        self.failure, self.opened = failure, list[tuple[int, dict[str, str]]]()

    def open_trial(self, number: int, tags: Mapping[str, str], journal: Journal, extras: Extras) -> Run:
        self.opened.append((number, dict(tags)))
        self.run = Run(journal, self.failure)
        return self.run


class Session:
    """One start of the program over a folder."""

    def __init__(self, folder: Path, extras: Extras = PLAIN, failure: tuple[int, Exception] | None = None) -> None:
        self.study, self.stop, self.folder = Study(failure), Event(), folder / "trial-0003"
        self.examples = small.corpus(folder)
        self.experiment = Experiment(
            self.examples,
            "/data/beeps",
            small.CPU,
            folder,
            self.study,  # type: ignore[arg-type]
            extras,
            self.stop,
        )

    def steps(self, settings: Settings | None = None, **hparams: Any) -> Iterator[Progress]:
        chosen = settings or small.settings(**hparams)
        return self.experiment.run(Trial(number=3, origin="replicate", settings=chosen))

    @property
    def run(self) -> Run:
        return self.study.run

    def position(self, name: str = checkpoint.LAST) -> dict[str, Any]:
        found: dict[str, Any] = checkpoint.read(self.folder / name)["position"]
        return found


def follow(training: Iterator[Progress], look: Callable[[Progress], object]) -> None:
    """Look at each progress between two steps, as the terminal does."""
    for progress in training:
        look(progress)


# endings


def test_a_trial_that_ends_by_itself_is_finished(tmp_path: Path) -> None:
    session = Session(tmp_path)
    progress = list(session.steps())
    run, losses = session.run, [one.metrics.get("validation.loss", 9e9) for one in progress]
    assert session.study.opened == [(3, {"trial.origin": "replicate", "trial.state": "running"})]
    assert run.status == "FINISHED"
    assert (run.noted_tags["trial.state"], run.noted_tags["stop.reason"]) == ("complete", "The budget of 6it is spent.")
    assert run.best == {"best.validation.loss": min(losses), "best.step": progress[losses.index(min(losses))].step}
    assert run.logged == progress
    assert session.position()["iteration"] == 6


def test_an_interrupted_trial_is_killed_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole = small.lines(Session(tmp_path / "whole").steps())
    first, before = Session(tmp_path / "cut"), list[Progress]()

    def press_ctrl_c_at_the_second(progress: Progress) -> None:
        before.append(progress)
        if progress.step == 2:
            first.stop.set()

    with pytest.raises(Interrupted, match="after iteration 2; the checkpoint is saved"):
        follow(first.steps(), press_ctrl_c_at_the_second)
    assert first.position()["iteration"] == 2
    assert first.run.noted_tags.items() >= {"trial.state": "interrupted", "stop.kind": "user"}.items()
    assert (first.run.status, first.run.best) == ("KILLED", {})
    second = Session(tmp_path / "cut")
    assert small.lines([*before, *second.steps()]) == whole
    assert [entry.progress for entry in second.run.journal.kept] == before
    assert second.run.status == "FINISHED"


def poison(examples: list[Any]) -> None:
    for example in examples:
        np.save(example.mel, np.load(example.mel) * np.nan)


def test_a_sick_trial_is_killed_with_the_rule_and_the_numbers(tmp_path: Path) -> None:
    session = Session(tmp_path)
    training = session.steps()
    assert next(training).step == 1
    poison(session.examples.train)
    with pytest.raises(TrialStopped) as stopped:
        next(training)
    run = session.run
    assert run.status == "KILLED"
    assert run.noted_tags["stop.reason"] == str(stopped.value)
    assert (
        run.noted_tags.items()
        >= {
            "trial.state": "stopped",
            "stop.kind": "health",
            "stop.rule": "non_finite",
            "stop.step": "2",
            "stop.observed.training.loss": "nan",
            "checkpoint": "none",
        }.items()
    )


def test_a_sick_trial_leaves_the_checkpoint_of_its_best_validation(tmp_path: Path) -> None:
    session = Session(tmp_path)

    def poison_after_validation(progress: Progress) -> None:
        if progress.kind == "validation":
            poison(session.examples.train)

    with pytest.raises(TrialStopped):
        follow(session.steps(), poison_after_validation)
    best = session.position(checkpoint.BEST)
    assert session.run.best == {"best.validation.loss": best["best_loss"], "best.step": best["best_step"]}
    assert session.run.noted_tags["checkpoint"] == str(session.folder / checkpoint.BEST)


def test_an_outage_of_the_store_fails_the_run_and_keeps_the_training(tmp_path: Path) -> None:
    session = Session(tmp_path, failure=(5, TrackingError("The store is away.")))
    with pytest.raises(TrackingError):
        list(session.steps())
    run = session.run
    assert run.status == "FAILED"
    assert (run.noted_tags["trial.state"], run.noted_tags["error"]) == ("failed", "The store is away.")
    assert run.noted_tags["checkpoint"] == str(session.folder / checkpoint.BEST)
    assert session.position()["iteration"] == 5


def test_a_checkpoint_that_cannot_be_written_fails_the_run(tmp_path: Path) -> None:
    session = Session(tmp_path)
    with pytest.raises(CheckpointError):
        follow(session.steps(), lambda _: (session.folder / checkpoint.LAST).mkdir(exist_ok=True))
    assert session.run.status == "FAILED"
    assert "last.pt could not be written" in session.run.noted_tags["error"]


def test_a_bug_fails_the_run_and_is_raised(tmp_path: Path) -> None:
    session = Session(tmp_path, failure=(2, ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        list(session.steps())
    assert session.run.status == "FAILED"
    assert session.run.noted_tags.items() >= {"trial.state": "failed", "error": "ZeroDivisionError: a bug"}.items()


def test_an_interrupted_trial_goes_on_with_other_tracking_settings(tmp_path: Path) -> None:
    study = Tracker(small.tracking_store(tmp_path), "Default").open_study("s", {})
    for chosen in (small.settings(), dataclasses.replace(small.settings(), tracking=Tracking(plots=3))):
        session = Session(tmp_path)
        session.experiment.study = study
        if chosen.tracking == small.settings().tracking:
            session.stop.set()
        with suppress(Interrupted):
            list(session.steps(chosen))
    assert session.position()["iteration"] == 6


# what is told about a trial


def test_every_setting_and_count_is_a_param(tmp_path: Path) -> None:
    session = Session(tmp_path)
    next(session.steps())
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
    training = session.steps(budget="0.001s")
    next(training)
    assert "hparams.epochs" not in session.run.noted_params
    list(training)
    assert session.run.noted_params["hparams.epochs"] == pytest.approx(1 / 3)


def test_the_run_names_device_precision_seed_and_corpus(tmp_path: Path) -> None:
    session, chosen = Session(tmp_path), small.settings(seed=77)
    next(session.steps(chosen))
    assert (
        session.run.noted_tags.items()
        >= {
            "device": "cpu",
            "precision": "float32",
            "seed": "77",
            "dataset.language": "en",
            "dataset.digest": "d1ge57",
            "tracking.extras": "nothing",
        }.items()
    )
    assert 0.5 < float(session.run.noted_tags["dataset.fill_ratio"]) <= 1.0
    facts = {"hours": 0.01, "train": 14, "validation": 3}
    assert session.run.data_sets == [("beeps", "d1ge57", "/data/beeps", facts)]
    assert session.run.artefacts["settings.yaml"] == chosen.to_yaml()


# artefacts


def test_plots_are_drawn_first_last_and_evenly_between(tmp_path: Path) -> None:
    session, chosen = Session(tmp_path, PICTURES), small.settings(validation_freq=1)
    object.__setattr__(chosen.tracking, "plots", 2)
    list(session.steps(chosen))
    pictures = {name: shape for name, shape in session.run.artefacts.items() if name != "settings.yaml"}
    assert set(pictures) == {f"{key} {step}" for key in ("alignment", "mel", "gate") for step in (1, 3, 6)}
    assert {shape[2] for shape in pictures.values()} == {3}  # type: ignore[index]


def test_the_end_leaves_speech_and_the_best_checkpoint(tmp_path: Path) -> None:
    session = Session(tmp_path, SOUND)
    list(session.steps(reduction_factor=3))
    stored = session.run.artefacts
    shown = "1-" + next(name for name in stored if name.startswith("audio/000006-target-1-")).split("-1-")[1]
    assert {name for name in stored if name.startswith("audio/000006")} == {
        f"audio/000006-{kind}-{shown}" for kind in ("target", "teacher-forced", "free-running")
    }
    assert stored["checkpoint/best.pt"] == (session.folder / checkpoint.BEST).read_bytes()
    for name in (name for name in stored if name.startswith("audio/")):
        samples, rate = soundfile.read(session.folder / name)
        assert (rate, np.abs(samples).max()) == (22050, pytest.approx(0.9, abs=0.01))


@pytest.mark.parametrize("extras", [PLAIN, PICTURES])
def test_without_extras_there_is_neither_speech_nor_a_checkpoint(tmp_path: Path, extras: Extras) -> None:
    session = Session(tmp_path, extras)
    list(session.steps(budget="1it"))
    assert not [name for name in session.run.artefacts if name.startswith(("audio/", "checkpoint/"))]


@pytest.mark.parametrize("frames", [1, 2, 3, 30])
def test_speech_of_any_length_becomes_sound(tmp_path: Path, frames: int) -> None:
    trainer, mel = small.trainer(tmp_path), np.full((small.MELS, frames), -2.0, dtype=np.float32)
    trainer.folder.mkdir()
    with closing(Journal(tmp_path / "metrics.jsonl", 0, 0)) as journal:
        run = Run(journal, None)
        write_audio(run, mel, trainer, "speech.wav")  # type: ignore[arg-type]
    assert "audio/speech.wav" in run.artefacts
