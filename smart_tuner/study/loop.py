"""The loop of every study: trials start when a slot is free, and what they tell is judged as it comes."""

import time
from collections.abc import Generator
from typing import Protocol

from smart_tuner.errors import SmartTunerError, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.study.results import Result
from smart_tuner.training import Ended, Trial


class Executor(Protocol):
    """Trains trials, here or elsewhere, as many at a time as it has slots."""

    slots: int

    def start(self, trial: Trial, /) -> None:
        """Begin a trial, or go on with one that was begun earlier."""
        ...

    def wait(self, deadline: float | None, /) -> tuple[Trial, Progress | Finding | Ended]:
        """The next event of any running trial; after the deadline (time.monotonic()) all end Interrupted."""
        ...

    def answer(self, trial: Trial, verdict: TrialStopped | None, /) -> None:
        """Say whether a trial goes on after a validation; it waits for that."""
        ...


class Plan(Protocol):
    """Says which trials to train and what becomes of them."""

    def next(self, running: int, /) -> Trial | None:
        """A trial to start beside this many running ones; None: wait for those, or all is done when there are none."""
        ...

    def known(self, trial: Trial, event: Progress | Finding, /) -> bool:
        """Whether a trial that goes on told this in an earlier session already."""
        ...

    def heard(self, trial: Trial, progress: Progress, /) -> TrialStopped | None:
        """Take a Progress, told again or not; what stops the trial, which only follows a validation."""
        ...

    def note_finding(self, trial: Trial, finding: Finding, /) -> None:
        """Take what the health watch has found."""
        ...

    def ended(self, trial: Trial, outcome: Exception | None, /) -> Result | None:
        """Close a trial; None: it stays open and goes on with the next session. Raises what ends the whole study."""
        ...


def run(
    plan: Plan, executor: Executor, deadline: float | None = None
) -> Generator[tuple[Trial, Progress | Finding | Result]]:
    """Train what the plan says, yielding all that is told for the first time and each trial's result.

    When a trial stays open or a fault ends the study, no other trial starts; the running ones end, and what happened
    first is raised: Interrupted, Fault, UserError. After the deadline (time.monotonic()) nothing starts either.
    """
    running = 0
    failure: Exception | None = None
    while True:
        while failure is None and running < executor.slots and not _past(deadline):
            trial = plan.next(running)
            if trial is None:
                break
            executor.start(trial)
            running += 1
        if not running:
            break
        trial, event = executor.wait(deadline)
        if isinstance(event, Ended):
            running -= 1
            try:
                result = plan.ended(trial, event.outcome)
            except SmartTunerError as fault:
                failure = failure or fault
                continue
            if result is not None:
                yield trial, result
            elif failure is None:
                failure = event.outcome
            continue
        known = plan.known(trial, event)
        if isinstance(event, Finding):
            plan.note_finding(trial, event)
        else:
            verdict = plan.heard(trial, event)
            if event.kind == "validation":
                executor.answer(trial, verdict)
        if not known:
            yield trial, event
    if failure is not None:
        raise failure


def _past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
