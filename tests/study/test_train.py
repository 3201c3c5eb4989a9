"""The train study against a real Optuna store: states, values, seeds, and what the same command does the next time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from smart_tuner.analysis.results import Result
from smart_tuner.errors import (
    CheckpointError,
    DataError,
    Interrupted,
    OutOfMemoryError,
    SmartTunerError,
    StorageError,
    TrackingError,
    Verdict,
)
from smart_tuner.health.rule import Repair
from smart_tuner.paths import StudyFolder
from smart_tuner.progress import Progress
from smart_tuner.settings.hparams import Hparams
from smart_tuner.study.train import FindRepair, TrainStudy
from smart_tuner.study.trials import TrialPlan, list_handed_out
from smart_tuner.trial import InitialWeights
from tests.support import small
from tests.support.scripted import Executor, Killed, run, stop, training, validation
from tests.support.searches import FULL, INTERRUPTED, finish, trials
from tests.support.studies import Memory

SICK = stop("non_finite", "The loss is not finite.", observed={"training.loss": 7.0}, threshold="1")
HEALTHY = [training(1), validation(3, 0.5), validation(6, 0.3), validation(9, 0.4)]


Open = Callable[..., TrainStudy]


@pytest.fixture
def open_study(memory: Memory, tmp_path: Path) -> Open:
    """Opens the same study, as a program that is started again does."""

    def opened(trials: int = 1, repair: FindRepair | None = None) -> TrainStudy:
        return TrainStudy(
            "s", memory.open(), small.settings(), "c0rpus", trials, repair=repair, folder=StudyFolder(tmp_path)
        )

    return opened


def started(executor: Executor) -> list[tuple[int, str, int]]:
    return [(trial.number, trial.origin, trial.settings.hparams.seed) for trial in executor.trials]


# outcomes


def test_a_complete_trial_has_its_lowest_loss(open_study: Open) -> None:
    study = open_study()
    events = [event for _, event in run(study, Executor(HEALTHY))]
    (frozen,) = trials(study)
    assert (frozen.state, frozen.value) == (TrialState.COMPLETE, 0.3)
    assert frozen.intermediate_values == {12: 0.5, 24: 0.3, 36: 0.4}
    assert events[:-1] == HEALTHY
    result = events[-1]
    assert isinstance(result, Result)
    assert (result.number, result.origin, result.state, result.seed, result.value) == (
        0,
        "baseline",
        "complete",
        1234,
        0.3,
    )
    assert (result.metrics["validation.loss"], result.utterances, result.seconds) == (0.3, 36, 0.5)


def test_a_stopped_trial_is_pruned_with_its_reason_and_the_study_goes_on(open_study: Open) -> None:
    study = open_study(2)
    finish(study, Executor([*HEALTHY[:3], SICK], HEALTHY))
    stopped, complete = trials(study)
    assert (stopped.state, stopped.value, complete.state) == (TrialState.PRUNED, 0.3, TrialState.COMPLETE)
    result = study.results()[0]
    assert (result.state, result.value, result.reason) == ("stopped", 0.3, "The loss is not finite.")
    assert (result.rule, result.kind, result.judged_at) == ("non_finite", "health", 16)
    assert Verdict(**stopped.user_attrs["stop"]) == SICK.verdict


def test_a_trial_stopped_before_any_validation_has_no_value(open_study: Open) -> None:
    study = open_study()
    finish(study, Executor([training(1), SICK]))
    (frozen,), (result,) = trials(study), study.results()
    assert (frozen.state, frozen.value) == (TrialState.PRUNED, None)
    assert (result.state, result.value) == ("stopped", None)


def test_bad_data_fails_the_trial_and_ends_the_study(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(DataError):
        finish(study, Executor([training(1), DataError("A mel is broken.")]))
    (frozen,) = trials(study)
    assert (frozen.state, frozen.user_attrs["error"]) == (TrialState.FAIL, "A mel is broken.")
    (failed,) = list_handed_out([frozen])
    assert (failed.result().reason, failed.result().fault) == ("A mel is broken.", "DataError")
    assert study.results() == []


def test_lack_of_memory_is_tried_once_more_with_the_same_seed(open_study: Open) -> None:
    study, executor = open_study(2), Executor([FULL], HEALTHY, HEALTHY)
    results = [event for _, event in run(study, executor) if isinstance(event, Result)]
    assert started(executor) == [(0, "baseline", 1234), (1, "retried", 1234), (2, "replicate", 1235)]
    assert [(result.state, result.reason) for result in results] == [
        ("failed", "The GPU has no memory left."),
        ("complete", ""),
        ("complete", ""),
    ]
    assert trials(study)[1].user_attrs["plan"]["retry_of"] == 0


def test_the_second_lack_of_memory_ends_the_study(open_study: Open) -> None:
    study, executor = open_study(), Executor([FULL], [FULL])
    with pytest.raises(OutOfMemoryError):
        finish(study, executor)
    assert [trial.state for trial in trials(study)] == [TrialState.FAIL, TrialState.FAIL]


def test_a_failed_trial_is_tried_again_by_the_same_command(open_study: Open) -> None:
    with pytest.raises(DataError):
        finish(open_study(2), Executor([DataError("A mel is broken.")]))
    study = open_study(2)
    again = finish(study, Executor(HEALTHY, HEALTHY))
    assert started(again) == [(1, "retried", 1234), (2, "replicate", 1235)]
    assert [trial.state.name for trial in trials(study)] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_bug_fails_the_trial_and_is_raised(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(ZeroDivisionError):
        finish(study, Executor([training(1), ZeroDivisionError("a bug")]))
    assert [trial.state for trial in trials(study)] == [TrialState.FAIL]


# repairs


def lower_rate(rule: str, hparams: Hparams, attempt: int) -> Repair | None:
    """A tenth of the learning rate, twice."""
    assert rule == "non_finite"
    if attempt > 2:
        return None
    rate = hparams.learning_rate / 10
    changes = {"learning_rate": rate, "final_learning_rate": rate / 10}
    return Repair(changes=changes, change=f"learning rate {rate:g}", roll_back=attempt == 2)


def test_what_is_stopped_is_repaired_and_a_repair_that_holds_is_replicated(open_study: Open) -> None:
    study = open_study(3, lower_rate)
    executor = finish(study, Executor([SICK], HEALTHY, HEALTHY))
    assert started(executor) == [(0, "baseline", 1234), (1, "repaired", 1235), (2, "replicate", 1236)]
    assert [trial.settings.hparams.learning_rate for trial in executor.trials] == pytest.approx([1e-2, 1e-3, 1e-3])
    assert [trial.note for trial in executor.trials] == ["", "learning rate 0.001", ""]
    assert study.results()[1].values == {"hparams.learning_rate": 0.001, "hparams.final_learning_rate": 0.0001}


def test_repairs_build_on_each_other_and_end_when_nothing_is_left(open_study: Open) -> None:
    study = open_study(9, lower_rate)
    executor = finish(study, Executor([SICK], [SICK], [SICK]))
    assert [trial.origin for trial in executor.trials] == ["baseline", "repaired", "repaired"]
    assert executor.trials[2].settings.hparams.learning_rate == pytest.approx(1e-4)
    assert len(study.results()) == 3


def test_each_rule_has_its_own_repairs(open_study: Open) -> None:
    asked: list[tuple[str, int]] = []

    def note(rule: str, hparams: Hparams, attempt: int) -> Repair | None:
        asked.append((rule, attempt))
        return Repair(changes={}, change="", roll_back=False)

    late = stop("attention_late")
    finish(open_study(5, note), Executor([SICK], [late], [SICK], [late], HEALTHY))
    assert asked == [("non_finite", 1), ("attention_late", 1), ("non_finite", 2), ("attention_late", 2)]


def test_a_roll_back_starts_from_the_stopped_trials_best_checkpoint(open_study: Open, tmp_path: Path) -> None:
    best = StudyFolder(tmp_path).trial(1).best
    best.parent.mkdir()
    best.touch()
    executor = finish(open_study(3, lower_rate), Executor([SICK], [SICK], HEALTHY))
    assert [trial.start_from for trial in executor.trials] == [None, None, best]


def test_a_roll_back_without_a_checkpoint_starts_afresh(open_study: Open) -> None:
    executor = finish(open_study(3, lower_rate), Executor([SICK], [SICK], HEALTHY))
    assert executor.trials[2].start_from is None


def test_all_trials_start_from_the_studys_checkpoint_and_keep_its_layers(memory: Memory, tmp_path: Path) -> None:
    own = small.settings()
    start = InitialWeights(file=tmp_path / "voice.pt", digest="d1")

    def larger_steps(rule: str, hparams: Hparams, attempt: int) -> Repair | None:
        changes = [{"reduction_factor": 2}, {"learning_rate": 1e-4}]
        return Repair(changes=changes[attempt - 1], change="", roll_back=False)

    executor = Executor([SICK], HEALTHY)
    finish(TrainStudy("warm", memory.open(), own, "c", 2, repair=larger_steps, start=start), executor)
    assert [trial.start_from for trial in executor.trials] == [start.file] * 2
    repaired = executor.trials[1].settings.hparams
    assert (repaired.learning_rate, repaired.reduction_factor) == (1e-4, own.hparams.reduction_factor)
    with pytest.raises(StorageError, match="another --checkpoint, or none"):
        TrainStudy("warm", memory.open(), own, "c", 2)


def test_an_interrupted_repair_goes_on_with_its_changes(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        finish(open_study(2, lower_rate), Executor([SICK], [training(1), INTERRUPTED]))
    again = finish(open_study(2, lower_rate), Executor(HEALTHY))
    assert started(again) == [(1, "repaired", 1235)]
    assert again.trials[0].settings.hparams.learning_rate == pytest.approx(1e-3)


def test_a_failed_repair_is_tried_again_with_its_changes(open_study: Open) -> None:
    executor = finish(open_study(3, lower_rate), Executor([SICK], [FULL], [SICK], HEALTHY))
    assert [trial.origin for trial in executor.trials] == ["baseline", "repaired", "retried", "repaired"]
    assert [trial.settings.hparams.learning_rate for trial in executor.trials] == pytest.approx(
        [1e-2, 1e-3, 1e-3, 1e-4]
    )


# going on


@pytest.mark.parametrize(
    "end",
    [INTERRUPTED, CheckpointError("The disk is full."), TrackingError("The store is away."), StorageError("Used.")],
)
def test_an_interrupted_trial_goes_on_as_the_same_trial(open_study: Open, end: SmartTunerError) -> None:
    with pytest.raises(type(end)):
        finish(open_study(), Executor([training(1), validation(3, 0.5), end]))
    study, again = open_study(), Executor([training(2), validation(3, 0.5), validation(6, 0.3)])
    assert [trial.state for trial in trials(study)] == [TrialState.RUNNING]
    finish(study, again)
    assert started(again) == [(0, "baseline", 1234)]
    (frozen,) = trials(study)
    assert (frozen.state, frozen.value, frozen.intermediate_values) == (TrialState.COMPLETE, 0.3, {12: 0.5, 24: 0.3})


def test_a_trial_that_a_kill_left_open_goes_on(open_study: Open) -> None:
    with pytest.raises(Killed):
        finish(open_study(2), Executor(HEALTHY, [training(1), validation(3, 0.5), Killed()]))
    again = finish(open_study(2), Executor([validation(3, 0.5), validation(6, 0.2)]))
    assert started(again) == [(1, "replicate", 1235)]
    assert [trial.value for trial in trials(open_study())] == [0.3, 0.2]


def test_what_is_told_again_is_not_shown_again_and_counts_once(open_study: Open) -> None:
    past = [training(1), training(2), training(3), validation(3, 0.1)]
    with pytest.raises(Interrupted):
        finish(open_study(), Executor([*past, INTERRUPTED]))
    study = open_study()
    events = [event for _, event in run(study, Executor([*past, training(4), validation(6, 0.3)]))]
    assert [(event.kind, event.step) for event in events if isinstance(event, Progress)] == [
        ("training", 4),
        ("validation", 6),
    ]
    assert study.results()[0].seconds == pytest.approx(4 * 0.5)


def test_the_best_of_an_earlier_session_counts(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        finish(open_study(), Executor([validation(3, 0.1), INTERRUPTED]))
    study = open_study()
    finish(study, Executor([validation(6, 0.3)]))
    assert trials(study)[0].value == study.results()[0].value == 0.1


def test_a_kill_between_enqueueing_and_asking_leaves_no_stray_trial(open_study: Open) -> None:
    study = open_study()
    study.study.enqueue_trial({}, user_attrs=TrialPlan(origin="baseline", seed=1234).to_attributes())
    again = finish(open_study(), Executor(HEALTHY))
    assert [(trial.number, trial.origin) for trial in again.trials] == [(0, "baseline")]
    assert [trial.state for trial in trials(study)] == [TrialState.COMPLETE]


def test_a_finished_study_adds_nothing(open_study: Open) -> None:
    finish(open_study(2), Executor(HEALTHY, [SICK]))
    idle = Executor()
    assert list(run(open_study(2), idle)) == []
    assert idle.trials == []
    assert len(trials(open_study())) == 2


def test_more_trials_add_the_missing_ones_with_the_next_seeds(open_study: Open) -> None:
    first, more = Executor(HEALTHY), Executor(HEALTHY, HEALTHY)
    finish(open_study(1), first)
    finish(open_study(3), more)
    assert started(first) + started(more) == [(0, "baseline", 1234), (1, "replicate", 1235), (2, "replicate", 1236)]
    ran = [*first.trials, *more.trials]
    assert [trial.settings.replace(seed=0) for trial in ran] == [small.settings(seed=0)] * 3


# several at a time


def test_replicates_run_side_by_side_once_the_first_trial_is_healthy(open_study: Open) -> None:
    study, executor = open_study(4), Executor(HEALTHY, HEALTHY, HEALTHY, HEALTHY, slots=3)
    running = []
    for trial, event in run(study, executor):
        running.append(trial.number if not isinstance(event, Result) else -1)
    assert set(running[:5]) == {0, -1}  # alone until it had ended
    assert executor.most_running == 3
    assert sorted(started(executor)) == [
        (number, "baseline" if not number else "replicate", 1234 + number) for number in range(4)
    ]
    assert len(study.results()) == 4


def test_a_repair_waits_for_the_trials_beside_it(open_study: Open) -> None:
    study, stopped = open_study(9, lower_rate), Executor(HEALTHY, [SICK], HEALTHY, HEALTHY, slots=2)
    events = run(study, stopped)
    while not any(result.state == "stopped" for result in study.results()):
        next(events)
    assert study.next_trial(1) is None
