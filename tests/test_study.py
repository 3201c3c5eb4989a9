"""The train study against a real Optuna store: states, values, seeds, and what the same command does the next time."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import (
    CheckpointError,
    DataError,
    Interrupted,
    OutOfMemoryError,
    SmartTunerError,
    StorageError,
    TrackingError,
    TrialStopped,
)
from smart_tuner.health.repairs import Repair
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings
from smart_tuner.study.loop import run
from smart_tuner.study.results import Result, State, summarise
from smart_tuner.study.train import Mend, TrainStudy
from smart_tuner.training import Start, Trial
from tests import small
from tests.scripted import Executor, Killed, memory, training, validation

SICK = TrialStopped(
    "The loss is not finite.", rule="non_finite", step=4, utterances=16, observed={"training.loss": 7.0}, threshold="1"
)
INTERRUPTED = Interrupted("Interrupted after iteration 3.", step=3)
FULL = OutOfMemoryError("The GPU has no memory left.")
HEALTHY = [training(1), validation(3, 0.5), validation(6, 0.3), validation(9, 0.4)]


Open = Callable[..., TrainStudy]
Event = tuple[Trial, Progress | Finding | Result]


@pytest.fixture
def url() -> Iterator[str]:
    with memory() as made:
        yield made


@pytest.fixture
def open_study(url: str, tmp_path: Path) -> Open:
    """Opens the same study, as a program that is started again does."""

    def opened(trials: int = 1, repair: Mend | None = None) -> TrainStudy:
        return TrainStudy("s", url, small.settings(), "c0rpus", trials, repair=repair, folder=tmp_path)

    return opened


def trials(study: TrainStudy) -> list[FrozenTrial]:
    return study.study.get_trials(deepcopy=False)


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
    assert (result.number, result.origin, result.state, result.seed, result.loss) == (
        0,
        "baseline",
        "complete",
        1234,
        0.3,
    )
    assert (result.metrics["validation.loss"], result.utterances, result.seconds) == (0.3, 36, 0.5)


def test_a_stopped_trial_is_pruned_with_its_reason_and_the_study_goes_on(open_study: Open) -> None:
    study = open_study(2)
    list(run(study, Executor([*HEALTHY[:3], SICK], HEALTHY)))
    stopped, complete = trials(study)
    assert (stopped.state, stopped.value, complete.state) == (TrialState.PRUNED, 0.3, TrialState.COMPLETE)
    result = study.results()[0]
    assert (result.state, result.loss, result.reason) == ("stopped", 0.3, "The loss is not finite.")
    assert (result.rule, result.kind, result.judged_at) == ("non_finite", "health", 16)
    assert (stopped.user_attrs["stop.observed"], stopped.user_attrs["stop.threshold"]) == ({"training.loss": 7.0}, "1")


def test_a_trial_stopped_before_any_validation_has_no_value(open_study: Open) -> None:
    study = open_study()
    list(run(study, Executor([training(1), SICK])))
    (frozen,), (result,) = trials(study), study.results()
    assert (frozen.state, frozen.value) == (TrialState.PRUNED, None)
    assert (result.state, result.loss) == ("stopped", None)


def test_bad_data_fails_the_trial_and_ends_the_study(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(DataError):
        list(run(study, Executor([training(1), DataError("A mel is broken.")])))
    (frozen,) = trials(study)
    assert (frozen.state, frozen.user_attrs["error"]) == (TrialState.FAIL, "A mel is broken.")
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
    assert trials(study)[1].user_attrs["retry.of"] == 0


def test_the_second_lack_of_memory_ends_the_study(open_study: Open) -> None:
    study, executor = open_study(), Executor([FULL], [FULL])
    with pytest.raises(OutOfMemoryError):
        list(run(study, executor))
    assert [trial.state for trial in trials(study)] == [TrialState.FAIL, TrialState.FAIL]


def test_a_failed_trial_is_tried_again_by_the_same_command(open_study: Open) -> None:
    with pytest.raises(DataError):
        list(run(open_study(2), Executor([DataError("A mel is broken.")])))
    study, again = open_study(2), Executor(HEALTHY, HEALTHY)
    list(run(study, again))
    assert started(again) == [(1, "retried", 1234), (2, "replicate", 1235)]
    assert [trial.state.name for trial in trials(study)] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_bug_fails_the_trial_and_is_raised(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(ZeroDivisionError):
        list(run(study, Executor([training(1), ZeroDivisionError("a bug")])))
    assert [trial.state for trial in trials(study)] == [TrialState.FAIL]


# repairs


def lower_rate(rule: str, settings: Settings, attempt: int) -> Repair | None:
    """A hundredth of the learning rate, twice."""
    assert rule == "non_finite"
    if attempt > 2:
        return None
    rate = settings.hparams.learning_rate / 10
    repaired = settings.replace(learning_rate=rate, final_learning_rate=rate / 10)
    return Repair(settings=repaired, change=f"learning rate {rate:g}", roll_back=attempt == 2)


def test_what_is_stopped_is_repaired_and_a_repair_that_holds_is_replicated(open_study: Open) -> None:
    study, executor = open_study(3, lower_rate), Executor([SICK], HEALTHY, HEALTHY)
    list(run(study, executor))
    assert started(executor) == [(0, "baseline", 1234), (1, "repaired", 1235), (2, "replicate", 1236)]
    assert [trial.settings.hparams.learning_rate for trial in executor.trials] == pytest.approx([1e-2, 1e-3, 1e-3])
    assert [trial.note for trial in executor.trials] == ["", "learning rate 0.001", ""]
    assert study.results()[1].values == {"hparams.learning_rate": 0.001, "hparams.final_learning_rate": 0.0001}


def test_repairs_build_on_each_other_and_end_when_nothing_is_left(open_study: Open) -> None:
    study, executor = open_study(9, lower_rate), Executor([SICK], [SICK], [SICK])
    list(run(study, executor))
    assert [trial.origin for trial in executor.trials] == ["baseline", "repaired", "repaired"]
    assert executor.trials[2].settings.hparams.learning_rate == pytest.approx(1e-4)
    assert len(study.results()) == 3


def test_each_rule_has_its_own_repairs(open_study: Open) -> None:
    asked: list[tuple[str, int]] = []

    def note(rule: str, settings: Settings, attempt: int) -> Repair | None:
        asked.append((rule, attempt))
        return Repair(settings=settings, change="", roll_back=False)

    late = TrialStopped("No attention.", rule="attention_late", step=4, observed={})
    list(run(open_study(5, note), Executor([SICK], [late], [SICK], [late], HEALTHY)))
    assert asked == [("non_finite", 1), ("attention_late", 1), ("non_finite", 2), ("attention_late", 2)]


def test_ended_trials_have_their_runs_status(open_study: Open) -> None:
    study = open_study(3)
    with pytest.raises(DataError):
        list(run(study, Executor(HEALTHY, [SICK], [DataError("No.")])))
    assert study.statuses() == {0: "FINISHED", 1: "KILLED", 2: "FAILED"}


def test_a_roll_back_starts_from_the_stopped_trials_best_checkpoint(open_study: Open, tmp_path: Path) -> None:
    best = tmp_path / "trial-0001" / "best.pt"
    best.parent.mkdir()
    best.touch()
    executor = Executor([SICK], [SICK], HEALTHY)
    list(run(open_study(3, lower_rate), executor))
    assert [trial.start_from for trial in executor.trials] == [None, None, best]


def test_a_roll_back_without_a_checkpoint_starts_afresh(open_study: Open) -> None:
    executor = Executor([SICK], [SICK], HEALTHY)
    list(run(open_study(3, lower_rate), executor))
    assert executor.trials[2].start_from is None


def test_all_trials_start_from_the_studys_checkpoint_and_keep_its_layers(url: str, tmp_path: Path) -> None:
    own = small.settings()
    start = Start(file=tmp_path / "voice.pt", digest="d1")

    def larger_steps(rule: str, settings: Settings, attempt: int) -> Repair | None:
        changes = [{"reduction_factor": 2}, {"learning_rate": 1e-4}]
        return Repair(settings=settings.replace(**changes[attempt - 1]), change="", roll_back=False)

    executor = Executor([SICK], HEALTHY)
    list(run(TrainStudy("warm", url, own, "c", 2, repair=larger_steps, start=start), executor))
    assert [trial.start_from for trial in executor.trials] == [start.file] * 2
    repaired = executor.trials[1].settings.hparams
    assert (repaired.learning_rate, repaired.reduction_factor) == (1e-4, own.hparams.reduction_factor)
    with pytest.raises(StorageError, match="another --checkpoint, or none"):
        TrainStudy("warm", url, own, "c", 2)


def test_an_interrupted_repair_goes_on_with_its_changes(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        list(run(open_study(2, lower_rate), Executor([SICK], [training(1), INTERRUPTED])))
    again = Executor(HEALTHY)
    list(run(open_study(2, lower_rate), again))
    assert started(again) == [(1, "repaired", 1235)]
    assert again.trials[0].settings.hparams.learning_rate == pytest.approx(1e-3)


def test_a_failed_repair_is_tried_again_with_its_changes(open_study: Open) -> None:
    executor = Executor([SICK], [FULL], [SICK], HEALTHY)
    list(run(open_study(3, lower_rate), executor))
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
        list(run(open_study(), Executor([training(1), validation(3, 0.5), end])))
    study, again = open_study(), Executor([training(2), validation(3, 0.5), validation(6, 0.3)])
    assert [trial.state for trial in trials(study)] == [TrialState.RUNNING]
    list(run(study, again))
    assert started(again) == [(0, "baseline", 1234)]
    (frozen,) = trials(study)
    assert (frozen.state, frozen.value, frozen.intermediate_values) == (TrialState.COMPLETE, 0.3, {12: 0.5, 24: 0.3})


def test_a_trial_that_a_kill_left_open_goes_on(open_study: Open) -> None:
    with pytest.raises(Killed):
        list(run(open_study(2), Executor(HEALTHY, [training(1), validation(3, 0.5), Killed()])))
    again = Executor([validation(3, 0.5), validation(6, 0.2)])
    list(run(open_study(2), again))
    assert started(again) == [(1, "replicate", 1235)]
    assert [trial.value for trial in trials(open_study())] == [0.3, 0.2]


def test_what_is_told_again_is_not_shown_again_and_counts_once(open_study: Open) -> None:
    past = [training(1), training(2), training(3), validation(3, 0.1)]
    with pytest.raises(Interrupted):
        list(run(open_study(), Executor([*past, INTERRUPTED])))
    study = open_study()
    events = [event for _, event in run(study, Executor([*past, training(4), validation(6, 0.3)]))]
    assert [(event.kind, event.step) for event in events if isinstance(event, Progress)] == [
        ("training", 4),
        ("validation", 6),
    ]
    assert study.results()[0].seconds == pytest.approx(4 * 0.5)


def test_the_best_of_an_earlier_session_counts(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        list(run(open_study(), Executor([validation(3, 0.1), INTERRUPTED])))
    study = open_study()
    list(run(study, Executor([validation(6, 0.3)])))
    assert trials(study)[0].value == study.results()[0].loss == 0.1


def test_a_kill_between_enqueueing_and_asking_leaves_no_stray_trial(open_study: Open) -> None:
    study = open_study()
    study.study.enqueue_trial({}, user_attrs={"trial.origin": "baseline", "seed": 1234})
    again = Executor(HEALTHY)
    list(run(open_study(), again))
    assert [(trial.number, trial.origin) for trial in again.trials] == [(0, "baseline")]
    assert [trial.state for trial in trials(study)] == [TrialState.COMPLETE]


def test_a_finished_study_adds_nothing(open_study: Open) -> None:
    list(run(open_study(2), Executor(HEALTHY, [SICK])))
    idle = Executor()
    assert list(run(open_study(2), idle)) == []
    assert idle.trials == []
    assert len(trials(open_study())) == 2


def test_more_trials_add_the_missing_ones_with_the_next_seeds(open_study: Open) -> None:
    first, more = Executor(HEALTHY), Executor(HEALTHY, HEALTHY)
    list(run(open_study(1), first))
    list(run(open_study(3), more))
    assert started(first) + started(more) == [
        (0, "baseline", 1234),
        (1, "replicate", 1235),
        (2, "replicate", 1236),
    ]
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
    assert study.next(1) is None


# what a study is made of


def test_other_settings_are_refused_and_named(open_study: Open, url: str) -> None:
    open_study()
    changed = small.settings(learning_rate=2e-2, batch_size=5)
    with pytest.raises(StorageError, match=r"'s' was made with other settings \(batch_size: 4; learning_rate: 0.01\)"):
        TrainStudy("s", url, changed, "c0rpus", 1)


def test_another_corpus_is_refused_and_named(open_study: Open, url: str) -> None:
    open_study()
    with pytest.raises(StorageError, match=r"'s' was made on another corpus \(digest c0rpus, now 0ther\)"):
        TrainStudy("s", url, small.settings(), "0ther", 1)


def test_another_budget_is_refused_and_named(open_study: Open, url: str) -> None:
    open_study()
    with pytest.raises(
        StorageError, match="'s' was made with trials of 6it, not 9it: use that budget, or name another"
    ):
        TrainStudy("s", url, small.settings(budget="9it"), "c0rpus", 1)


def test_another_programs_study_is_refused(open_study: Open, url: str) -> None:
    theirs = optuna.create_study(storage=url, study_name="s")
    theirs.tell(theirs.ask(), 1.0)
    with pytest.raises(StorageError, match="'s' was made by another program, not --mode train"):
        open_study()


def test_another_direction_is_refused(open_study: Open, url: str) -> None:
    optuna.create_study(storage=url, study_name="s", direction="maximize")
    with pytest.raises(StorageError, match=r"'s' was made to maximize, not to minimize validation\.loss; name another"):
        open_study()


def test_studies_of_other_names_do_not_mix(open_study: Open, url: str) -> None:
    list(run(open_study(), Executor(HEALTHY)))
    other = TrainStudy("t", url, small.settings(learning_rate=0.1), "0ther", 1)
    assert other.results() == []
    list(run(other, Executor([validation(3, 0.7)])))
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
    url = make(tmp_path)
    with pytest.raises(StorageError, match=re.escape(f"The study storage {url} cannot be used: ")) as refused:
        TrainStudy("s", url, small.settings(), "c0rpus", 1)
    assert "\n" not in str(refused.value)


# what a study says


def result(number: int, loss: float | None, state: State = "complete") -> Result:
    return Result(number=number, origin="replicate", state=state, seed=number, loss=loss)


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
