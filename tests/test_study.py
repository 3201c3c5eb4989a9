"""The study against a real Optuna store: states, values, seeds, and what the same command does the next time."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import (
    CheckpointError,
    Interrupted,
    OutOfMemoryError,
    SmartTunerError,
    StorageError,
    TrackingError,
    TrialStopped,
)
from smart_tuner.experiment import Trial
from smart_tuner.progress import Progress
from smart_tuner.study import Result, TrainStudy, summarise
from tests import small

SICK = TrialStopped("The loss is not finite.", rule="non_finite", step=4, observed={})
INTERRUPTED = Interrupted("Interrupted after iteration 3.", step=3)
FULL = OutOfMemoryError("The GPU has no memory left.")


def training(step: int) -> Progress:
    return Progress(kind="training", step=step, utterances=4 * step, fraction=step / 9, metrics={"training.loss": 1.0})


def validation(step: int, loss: float) -> Progress:
    metrics = {"validation.loss": loss}
    return Progress(kind="validation", step=step, utterances=4 * step, fraction=step / 9, metrics=metrics)


HEALTHY = [training(1), validation(3, 0.5), validation(6, 0.3), validation(9, 0.4)]


class Executor:
    """Yields what each trial's script says; an exception in it is raised."""

    def __init__(self, *scripts: list[Progress | BaseException]) -> None:
        self.scripts, self.trials = list(scripts), list[Trial]()

    def __call__(self, trial: Trial) -> Iterator[Progress]:
        self.trials.append(trial)
        for item in self.scripts.pop(0):
            if isinstance(item, BaseException):
                raise item
            yield item


Open = Callable[[], TrainStudy]


@pytest.fixture
def open_study(tmp_path: Path) -> Open:
    """Opens the same study, as a program that is started again does."""
    return lambda: TrainStudy("s", f"sqlite:///{tmp_path}/smart_tuner.db", small.settings(), "c0rpus")


def trials(study: TrainStudy) -> list[FrozenTrial]:
    return study.study.get_trials(deepcopy=False)


# outcomes


def test_a_complete_trial_has_its_lowest_loss(open_study: Open) -> None:
    study = open_study()
    events = list(study.run(1, Executor([*HEALTHY])))
    (frozen,) = trials(study)
    assert (frozen.state, frozen.value) == (TrialState.COMPLETE, 0.3)
    assert frozen.intermediate_values == {12: 0.5, 24: 0.3, 36: 0.4}
    result = Result(number=0, origin="baseline", state="complete", seed=1234, loss=0.3, reason="")
    assert [event for _, event in events] == [*HEALTHY, result]


def test_a_stopped_trial_is_pruned_at_its_last_value_and_the_study_goes_on(open_study: Open) -> None:
    study = open_study()
    list(study.run(2, Executor([*HEALTHY[:3], SICK], [*HEALTHY])))
    stopped, complete = trials(study)
    assert (stopped.state, stopped.value, complete.state) == (TrialState.PRUNED, 0.3, TrialState.COMPLETE)
    assert study.results()[0] == Result(
        number=0, origin="baseline", state="stopped", seed=1234, loss=0.3, reason="The loss is not finite."
    )


def test_a_trial_stopped_before_any_validation_has_no_value(open_study: Open) -> None:
    study = open_study()
    list(study.run(1, Executor([training(1), SICK])))
    (frozen,), (result,) = trials(study), study.results()
    assert (frozen.state, frozen.value) == (TrialState.PRUNED, None)
    assert (result.state, result.loss) == ("stopped", None)


def test_a_fault_fails_the_trial_and_is_raised(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(OutOfMemoryError):
        list(study.run(1, Executor([training(1), FULL])))
    (frozen,) = trials(study)
    assert (frozen.state, frozen.user_attrs["error"]) == (TrialState.FAIL, "The GPU has no memory left.")
    assert study.results() == []


def test_a_failed_trial_is_tried_again_with_its_seed(open_study: Open) -> None:
    with pytest.raises(OutOfMemoryError):
        list(open_study().run(2, Executor([FULL])))
    study, again = open_study(), Executor([*HEALTHY], [*HEALTHY])
    list(study.run(2, again))
    assert [(trial.number, trial.origin, trial.settings.hparams.seed) for trial in again.trials] == [
        (1, "retried", 1234),
        (2, "replicate", 1235),
    ]
    assert [trial.state.name for trial in trials(study)] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_bug_fails_the_trial_and_is_raised(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(ZeroDivisionError):
        list(study.run(1, Executor([training(1), ZeroDivisionError("a bug")])))
    assert [trial.state for trial in trials(study)] == [TrialState.FAIL]


# going on


@pytest.mark.parametrize(
    "end", [INTERRUPTED, CheckpointError("The disk is full."), TrackingError("The store is away.")]
)
def test_an_interrupted_trial_goes_on_as_the_same_trial(open_study: Open, end: SmartTunerError) -> None:
    with pytest.raises(type(end)):
        list(open_study().run(1, Executor([training(1), validation(3, 0.5), end])))
    study, again = open_study(), Executor([training(2), validation(3, 0.5), validation(6, 0.3)])
    assert [trial.state for trial in trials(study)] == [TrialState.RUNNING]
    list(study.run(1, again))
    assert [(trial.number, trial.origin, trial.settings.hparams.seed) for trial in again.trials] == [
        (0, "baseline", 1234)
    ]
    (frozen,) = trials(study)
    assert (frozen.state, frozen.value, frozen.intermediate_values) == (TrialState.COMPLETE, 0.3, {12: 0.5, 24: 0.3})


def test_a_trial_that_a_kill_left_open_goes_on(open_study: Open) -> None:
    killed = open_study().run(2, Executor([*HEALTHY], [training(1), validation(3, 0.5)]))
    for trial, event in killed:
        if trial.number == 1 and event == validation(3, 0.5):
            break
    killed.close()
    again = Executor([validation(3, 0.5), validation(6, 0.2)])
    list(open_study().run(2, again))
    assert [(trial.number, trial.origin, trial.settings.hparams.seed) for trial in again.trials] == [
        (1, "replicate", 1235)
    ]
    assert [trial.value for trial in trials(open_study())] == [0.3, 0.2]


def test_a_validation_told_again_is_not_shown_again(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        list(open_study().run(1, Executor([validation(3, 0.1), INTERRUPTED])))
    events = [event for _, event in open_study().run(1, Executor([validation(3, 0.1), validation(6, 0.3)]))]
    assert [event.step for event in events if isinstance(event, Progress)] == [6]


def test_the_best_of_an_earlier_session_counts(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        list(open_study().run(1, Executor([validation(3, 0.1), INTERRUPTED])))
    study = open_study()
    list(study.run(1, Executor([validation(6, 0.3)])))
    assert trials(study)[0].value == study.results()[0].loss == 0.1


def test_a_kill_between_enqueueing_and_asking_leaves_no_stray_trial(open_study: Open) -> None:
    study = open_study()
    study.study.enqueue_trial({}, user_attrs={"trial.origin": "baseline", "seed": 1234})
    again = Executor([*HEALTHY])
    list(open_study().run(1, again))
    assert [(trial.number, trial.origin) for trial in again.trials] == [(0, "baseline")]
    assert [trial.state for trial in trials(study)] == [TrialState.COMPLETE]


def test_a_finished_study_adds_nothing(open_study: Open) -> None:
    list(open_study().run(2, Executor([*HEALTHY], [SICK])))
    idle = Executor()
    assert list(open_study().run(2, idle)) == []
    assert idle.trials == []
    assert len(trials(open_study())) == 2


def test_more_trials_add_the_missing_ones_with_the_next_seeds(open_study: Open) -> None:
    first, more = Executor([*HEALTHY]), Executor([*HEALTHY], [*HEALTHY])
    list(open_study().run(1, first))
    list(open_study().run(3, more))
    ran = [*first.trials, *more.trials]
    assert [(trial.number, trial.origin, trial.settings.hparams.seed) for trial in ran] == [
        (0, "baseline", 1234),
        (1, "replicate", 1235),
        (2, "replicate", 1236),
    ]
    assert [trial.settings.replace(seed=0) for trial in ran] == [small.settings(seed=0)] * 3


# what a study is made of


def test_other_settings_are_refused_and_named(open_study: Open, tmp_path: Path) -> None:
    open_study()
    changed = small.settings(learning_rate=2e-2, batch_size=5)
    with pytest.raises(StorageError, match=r"'s' was made with other settings \(batch_size: 4; learning_rate: 0.01\)"):
        TrainStudy("s", f"sqlite:///{tmp_path}/smart_tuner.db", changed, "c0rpus")


def test_another_corpus_is_refused_and_named(open_study: Open, tmp_path: Path) -> None:
    open_study()
    with pytest.raises(StorageError, match=r"'s' was made on another corpus \(digest c0rpus, now 0ther\)"):
        TrainStudy("s", f"sqlite:///{tmp_path}/smart_tuner.db", small.settings(), "0ther")


def test_studies_of_other_names_do_not_mix(open_study: Open, tmp_path: Path) -> None:
    list(open_study().run(1, Executor([*HEALTHY])))
    other = TrainStudy("t", f"sqlite:///{tmp_path}/smart_tuner.db", small.settings(learning_rate=0.1), "0ther")
    assert other.results() == []
    list(other.run(1, Executor([validation(3, 0.7)])))
    assert [result.loss for result in open_study().results()] == [0.3]


def text_file(folder: Path) -> str:
    (folder / "study.db").write_text("no database, " * 100)
    return f"sqlite:///{folder}/study.db"


def tracking_store(folder: Path) -> str:
    return small.tracking_store(folder)


def no_url(folder: Path) -> str:
    return str(folder)


def no_folder(folder: Path) -> str:
    return f"sqlite:///{folder}/missing/study.db"


@pytest.mark.parametrize("make", [text_file, tracking_store, no_url, no_folder])
def test_what_is_no_study_storage_is_refused(tmp_path: Path, make: Callable[[Path], str]) -> None:
    storage = make(tmp_path)
    with pytest.raises(StorageError, match=re.escape(f"The study storage {storage} cannot be used: ")) as refused:
        TrainStudy("s", storage, small.settings(), "c0rpus")
    assert "\n" not in str(refused.value)


# what a study says


def result(number: int, loss: float | None, state: str = "complete") -> Result:
    return Result(number=number, origin="replicate", state=state, seed=number, loss=loss, reason="")


def test_a_summary_has_the_best_and_the_spread_of_complete_trials() -> None:
    results = [result(0, 0.5), result(1, 0.1, "stopped"), result(2, 0.2), result(3, 0.8), result(4, None, "stopped")]
    summary = summarise(results)
    assert summary.best == results[2]
    assert summary.mean == pytest.approx(0.5)
    assert summary.spread == pytest.approx(0.3)  # sample standard deviation of 0.5, 0.2, 0.8


def test_one_trial_has_no_spread_and_none_has_nothing() -> None:
    alone = summarise([result(0, 0.5)])
    assert (alone.best, alone.mean, alone.spread) == (result(0, 0.5), 0.5, None)
    nothing = summarise([result(0, 0.1, "stopped")])
    assert (nothing.best, nothing.mean, nothing.spread) == (None, None, None)
