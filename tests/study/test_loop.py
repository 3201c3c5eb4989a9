"""The loop: slots are filled, every validation is answered, and what ends a study ends it in order."""

import time

import pytest

from smart_tuner.analysis.results import Result
from smart_tuner.errors import (
    CheckpointError,
    DataError,
    Interrupted,
    SmartTunerError,
    TrackingError,
    TrialStopped,
    Verdict,
)
from smart_tuner.progress import Progress
from smart_tuner.study.loop import run_trials
from smart_tuner.trial import Ended, Event, Trial
from tests.support import small
from tests.support.scripted import Executor, Recorder, Script, run, stop, training, validation

LATE = stop("asha", "Too slow.", kind="pruner", step=3)
WARNING = Verdict(level="warn", rule="duration_growing", sentence="Slower.", step=1, utterances=4)


class Plan:
    """Starts so many trials; stops those that are told to at their first validation."""

    def __init__(self, count: int, stop: tuple[int, ...] = (), old: int = 0) -> None:
        self.count, self.stop, self.old = count, stop, old
        self.heard_of: list[tuple[int, str, int]] = []
        self.verdicts: list[Verdict] = []
        self.outcomes: dict[int, Exception | None] = {}
        self.started = 0
        self.running_when_asked: list[int] = []

    def next_trial(self, running: int) -> Trial | None:
        self.running_when_asked.append(running)
        if self.started == self.count:
            return None
        self.started += 1
        return Trial(number=self.started - 1, origin="sampled", settings=small.settings())

    def is_replay(self, trial: Trial, event: Progress | Verdict) -> bool:
        return event.step <= self.old

    def on_progress(self, trial: Trial, progress: Progress) -> TrialStopped | None:
        self.heard_of.append((trial.number, progress.kind, progress.step))
        return LATE if progress.kind == "validation" and trial.number in self.stop else None

    def on_verdict(self, trial: Trial, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def on_end(self, trial: Trial, outcome: Exception | None) -> Result | None:
        self.outcomes[trial.number] = outcome
        if isinstance(outcome, DataError):
            raise outcome
        if isinstance(outcome, Interrupted | CheckpointError | TrackingError):
            return None
        return Result(number=trial.number, origin=trial.origin, state="complete", seed=0)


HEALTHY: Script = [training(1), validation(3, 0.5), validation(6, 0.3)]


def test_slots_are_kept_full() -> None:
    plan, executor = Plan(5), Executor(*[HEALTHY] * 5, slots=2)
    results = [event.number for _, event in run(plan, executor) if isinstance(event, Result)]
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert executor.most_running == 2
    assert plan.running_when_asked[:3] == [0, 1, 1]


def test_every_validation_is_answered_once_also_those_told_again() -> None:
    plan, executor = Plan(1, old=3), Executor(HEALTHY)
    events = [event for _, event in run(plan, executor)]
    assert executor.answers == [(0, None), (0, None)]
    assert [kind for _, kind, _ in plan.heard_of] == ["training", "validation", "validation"]
    assert events[:-1] == [validation(6, 0.3)]  # what was told before is not told on


def test_a_verdict_ends_its_trial_alone() -> None:
    plan, executor = Plan(2, stop=(0,)), Executor(HEALTHY, HEALTHY, slots=2)
    list(run(plan, executor))
    assert plan.outcomes == {0: LATE, 1: None}
    assert (0, LATE) in executor.answers


def test_verdicts_are_taken_and_told() -> None:
    plan = Plan(1)
    events = [event for _, event in run(plan, Executor([training(1), WARNING]))]
    assert plan.verdicts == [WARNING]
    assert events[1] == WARNING


@pytest.mark.parametrize(
    "end", [Interrupted("Stopped.", step=1), CheckpointError("The disk is full."), DataError("Broken.")]
)
def test_after_what_ends_the_study_the_others_end_and_nothing_starts(end: SmartTunerError) -> None:
    plan, executor = Plan(9), Executor([training(1), end], HEALTHY, slots=2)
    events, told = run(plan, executor), list[tuple[int, type]]()
    with pytest.raises(type(end)) as raised:
        told.extend((trial.number, type(event)) for trial, event in events)
    assert raised.value is end
    assert plan.started == 2
    assert plan.outcomes == {0: end, 1: None}
    assert told[-1] == (1, Result)


def test_of_two_failures_the_first_is_raised() -> None:
    first, second = Interrupted("First.", step=1), DataError("Second.")
    with pytest.raises(Interrupted, match="First"):
        list(run(Plan(2), Executor([first], [training(1), second], slots=2)))


def test_a_bug_in_a_trial_is_raised_at_once() -> None:
    class Strict(Plan):
        def on_end(self, trial: Trial, outcome: Exception | None) -> Result | None:
            assert outcome is not None
            raise outcome

    with pytest.raises(ZeroDivisionError):
        list(run(Strict(2), Executor([ZeroDivisionError()], HEALTHY, slots=2)))


def test_nothing_starts_after_the_deadline() -> None:
    plan = Plan(3)
    assert list(run(plan, Executor(), deadline=time.monotonic() - 1)) == []
    assert plan.started == 0


def test_at_the_deadline_each_running_trial_is_told_once_and_nothing_starts() -> None:
    class Slow(Executor):
        def wait(self, seconds: float) -> tuple[int, Event] | None:
            clock.append(1.0)
            return super().wait(seconds)

        def answer(self, number: int, answer: object) -> None:
            told.append((number, answer))
            super().answer(number, answer)  # type: ignore[arg-type]

    clock, told = list[float](), list[tuple[int, object]]()
    plan = Plan(9)
    executor = Slow([training(step) for step in range(1, 9)], [training(1)] * 8, slots=2)
    with pytest.raises(Interrupted):
        list(run_trials(plan, executor, Recorder(), lambda: "budget" if len(clock) >= 3 else None))
    assert sorted(told) == [(0, "budget"), (1, "budget")]
    assert plan.started == 2
    assert executor.closed


# what is written down


def test_every_event_is_written_and_what_was_opened_is_closed() -> None:
    recorder = Recorder()
    list(run_trials(Plan(2), Executor(HEALTHY, [training(1), WARNING]), recorder))
    assert (recorder.opened, recorder.closed) == ([0, 1], True)
    ends = [(number, type(event)) for number, event in recorder.written if isinstance(event, Ended)]
    assert (len(recorder.written), ends) == (7, [(0, Ended), (1, Ended)])
    assert (1, WARNING) in recorder.written


def test_a_store_that_is_away_starts_nothing_and_leaves_the_trial_open() -> None:
    away = TrackingError("The store is away.")
    plan, executor, recorder = Plan(3), Executor(), Recorder(away)
    with pytest.raises(TrackingError) as raised:
        list(run_trials(plan, executor, recorder))
    assert raised.value is away
    assert (plan.outcomes, executor.trials, executor.closed, recorder.closed) == ({0: away}, [], True, True)


def test_a_trial_whose_store_failed_is_told_to_save_and_the_failure_is_its_outcome() -> None:
    away = TrackingError("The store is away.")

    class Failing(Recorder):
        def write(self, trial: Trial, event: Event) -> Event:
            return Ended(away) if isinstance(event, Ended) and trial.number == 0 else super().write(trial, event)

        def has_failed(self, trial: Trial) -> bool:
            return trial.number == 0 and bool(self.written)

    plan, executor = Plan(5), Executor([training(step) for step in range(1, 99)], HEALTHY, slots=2)
    with pytest.raises(TrackingError):
        list(run_trials(plan, executor, Failing()))
    assert plan.outcomes == {0: away, 1: None}  # the other one ends, and nothing starts


def test_a_bug_of_the_executor_is_written_to_every_run_and_raised() -> None:
    class Broken(Executor):
        def wait(self, seconds: float) -> tuple[int, Event] | None:
            raise bug

    bug, recorder, executor = ZeroDivisionError("a bug"), Recorder(), Broken(HEALTHY, HEALTHY, slots=2)
    with pytest.raises(ZeroDivisionError):
        list(run_trials(Plan(2), executor, recorder))
    assert recorder.written == [(0, Ended(bug)), (1, Ended(bug))]
    assert executor.closed
