"""The loop: slots are filled, every validation is answered, and what ends a study ends it in order."""

import time

import pytest

from smart_tuner.errors import CheckpointError, DataError, Interrupted, SmartTunerError, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.study.loop import run
from smart_tuner.study.results import Result
from smart_tuner.training import Trial
from tests import small
from tests.scripted import Executor, Script, training, validation

LATE = TrialStopped("Too slow.", kind="pruner", rule="asha", step=3, observed={})
WARNING = Finding(
    level="warn",
    rule="duration_growing",
    sentence="Slower.",
    step=1,
    utterances=4,
    observed={},
    limits={},
    threshold="",
    window="",
)


class Plan:
    """Starts so many trials; stops those that are told to at their first validation."""

    def __init__(self, count: int, stop: tuple[int, ...] = (), old: int = 0) -> None:
        self.count, self.stop, self.old = count, stop, old
        self.heard_of: list[tuple[int, str, int]] = []
        self.findings: list[Finding] = []
        self.outcomes: dict[int, Exception | None] = {}
        self.started = 0
        self.running_when_asked: list[int] = []

    def next(self, running: int) -> Trial | None:
        self.running_when_asked.append(running)
        if self.started == self.count:
            return None
        self.started += 1
        return Trial(number=self.started - 1, origin="sampled", settings=small.settings())

    def known(self, trial: Trial, event: Progress | Finding) -> bool:
        return event.step <= self.old

    def heard(self, trial: Trial, progress: Progress) -> TrialStopped | None:
        self.heard_of.append((trial.number, progress.kind, progress.step))
        return LATE if progress.kind == "validation" and trial.number in self.stop else None

    def note_finding(self, trial: Trial, finding: Finding) -> None:
        self.findings.append(finding)

    def ended(self, trial: Trial, outcome: Exception | None) -> Result | None:
        self.outcomes[trial.number] = outcome
        if isinstance(outcome, DataError):
            raise outcome
        if isinstance(outcome, Interrupted | CheckpointError):
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


def test_findings_are_noted_and_told() -> None:
    plan = Plan(1)
    events = [event for _, event in run(plan, Executor([training(1), WARNING]))]
    assert plan.findings == [WARNING]
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
        def ended(self, trial: Trial, outcome: Exception | None) -> Result | None:
            assert outcome is not None
            raise outcome

    with pytest.raises(ZeroDivisionError):
        list(run(Strict(2), Executor([ZeroDivisionError()], HEALTHY, slots=2)))


def test_nothing_starts_after_the_deadline() -> None:
    plan = Plan(3)
    assert list(run(plan, Executor(), deadline=time.monotonic() - 1)) == []
    assert plan.started == 0


def test_the_executor_is_told_the_deadline() -> None:
    deadline = time.monotonic() + 3600

    class Clock(Executor):
        def wait(self, deadline: float | None) -> tuple[Trial, object]:  # type: ignore[override]
            seen.append(deadline)
            return super().wait(deadline)

    seen: list[float | None] = []
    list(run(Plan(1), Clock([training(1)]), deadline=deadline))  # type: ignore[arg-type]
    assert set(seen) == {deadline}
