"""The loop of every study: trials start when a slot is free; what they tell is written down and judged as it comes."""

from collections.abc import Callable, Generator
from typing import Literal, Protocol

from smart_tuner.analysis.results import Result
from smart_tuner.errors import SmartTunerError, TrackingError, TrialStopped, Verdict
from smart_tuner.progress import Entry, Progress
from smart_tuner.trial import Answer, Ended, Event, Trial

PATIENCE_SECONDS = 0.2
"""How long to wait for an event before looking whether the user or the clock says stop."""
StopReason = Callable[[], Literal["user", "budget"] | None]
"""Why all trials shall stop, to go on another time; None: they go on."""


class Plan(Protocol):
    """Says which trials to train and what becomes of them: a study."""

    def next_trial(self, running: int, /) -> Trial | None:
        """A trial to start beside this many running ones; None: wait for those, or all is done when there are none."""
        ...

    def is_replay(self, trial: Trial, event: Progress | Verdict, /) -> bool:
        """Whether a trial that goes on told this in an earlier session already."""
        ...

    def on_progress(self, trial: Trial, progress: Progress, /) -> TrialStopped | None:
        """Take a Progress, told again or not; what stops the trial, which only follows a validation."""
        ...

    def on_verdict(self, trial: Trial, verdict: Verdict, /) -> None:
        """Take what a rule says of a trial."""
        ...

    def on_end(self, trial: Trial, outcome: Exception | None, /) -> Result | None:
        """Close a trial; None: it stays open and goes on with the next session. Raises what ends the whole study."""
        ...


class Executor(Protocol):
    """Trains trials, here or elsewhere, as many at a time as it has slots."""

    slots: int

    def start(self, trial: Trial, /) -> None:
        """Begin a trial on a free slot, or go on with one that was begun earlier."""
        ...

    def wait(self, seconds: float, /) -> tuple[int, Event] | None:
        """The next event of any trial, with the trial's number; None when there is none for so long."""
        ...

    def answer(self, number: int, answer: Answer, /) -> None:
        """Answer a validation of a trial, which waits for that, or tell it to stop at any time."""
        ...

    def close(self) -> None:
        """Leave what still runs: each trial writes its checkpoint and can go on later."""
        ...


class Recorder(Protocol):
    """Writes down what trials tell."""

    def open(self, trial: Trial, /) -> None:
        """Before its first event. Raises TrackingError."""
        ...

    def write(self, trial: Trial, event: Event, /) -> Event:
        """Write an event; an Ended comes back with the outcome that counts."""
        ...

    def has_failed(self, trial: Trial, /) -> bool:
        """Whether nothing more of a trial can be written."""
        ...

    def close(self) -> None:
        """Say of the trials that are left while they train that they go on another time."""
        ...


def run_trials(
    plan: Plan, executor: Executor, recorder: Recorder, why_stop: StopReason = lambda: None
) -> Generator[tuple[Trial, Progress | Verdict | Result]]:
    """Train what the plan says, yielding all that is told for the first time and each trial's result.

    When a trial stays open or a fault ends the study, no other trial starts; the running ones end, and what happened
    first is raised: Interrupted, Fault, UserError. Once there is a reason to stop, nothing starts either.
    """
    running: dict[int, Trial] = {}
    told_to_stop: set[int] = set()
    failure: Exception | None = None
    try:
        while True:
            # fill the free slots; after a failure, or with a reason to stop, the running ones only come to their end
            while failure is None and len(running) < executor.slots and why_stop() is None:
                trial = plan.next_trial(len(running))
                if trial is None:
                    break
                try:
                    recorder.open(trial)
                except TrackingError as outage:
                    plan.on_end(trial, outage)  # it stays open
                    failure = outage
                    break
                executor.start(trial)
                running[trial.number] = trial
            if not running:
                break

            # each is told once, and saves its checkpoint before it ends
            for number in running.keys() - told_to_stop:
                # a trial whose store has failed saves its checkpoint, and goes on when the store is back
                reason = why_stop() or ("user" if recorder.has_failed(running[number]) else None)
                if reason is not None:
                    executor.answer(number, reason)
                    told_to_stop.add(number)

            try:
                arrived = executor.wait(PATIENCE_SECONDS)
            except Exception as bug:  # of a training in this process: named in its run, then raised
                for trial in running.values():
                    recorder.write(trial, Ended(bug))
                raise
            if arrived is None:
                continue
            trial = running[arrived[0]]
            # written before it is judged: the numbers that decide a stop are in its run
            event = recorder.write(trial, arrived[1])

            if isinstance(event, Entry | Verdict):
                said = event.progress if isinstance(event, Entry) else event
                replayed = plan.is_replay(trial, said)
                if isinstance(said, Verdict):
                    plan.on_verdict(trial, said)
                else:
                    stopped = plan.on_progress(trial, said)
                    # only a validation waits for its answer, so that one training never runs ahead of the pruner
                    if said.kind == "validation":
                        executor.answer(trial.number, stopped)
                # a resumed training tells its journal again: the plan and the store want that, the terminal does not
                if not replayed:
                    yield trial, said
            elif isinstance(event, Ended):
                del running[trial.number]
                told_to_stop.discard(trial.number)
                try:
                    result = plan.on_end(trial, event.outcome)
                except SmartTunerError as fault:
                    failure = failure or fault
                    continue
                if result is not None:
                    yield trial, result
                # a trial that stays open ends the session: it goes on with the next, and so does what else is open
                elif failure is None:
                    failure = event.outcome
    finally:
        executor.close()  # first, as what still runs ends its iteration and its checkpoint; then their runs are ended
        recorder.close()
    if failure is not None:
        raise failure
