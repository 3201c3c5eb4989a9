"""An executor whose trials do what a script says, for tests of studies."""

import time
from collections.abc import Callable, Generator
from typing import Any, Literal

from smart_tuner.analysis.results import Result
from smart_tuner.errors import Interrupted, TrackingError, TrialStopped, Verdict
from smart_tuner.progress import Entry, Progress
from smart_tuner.study.loop import Executor as LoopExecutor
from smart_tuner.study.loop import Plan, run_trials
from smart_tuner.trial import Answer, Ended, Event, Trial
from tests.support.studies import storage as storage

Item = Progress | Verdict | BaseException
Script = list[Item]


class Killed(Exception):
    """In a script: the whole process dies there."""


class Executor:
    """Gives each trial its script, one event of each running trial in turn. An exception in a script ends its trial."""

    def __init__(self, *scripts: Script, slots: int = 1, act: Callable[[Trial], Script] | None = None) -> None:
        self.scripts, self.slots, self.act = [list(script) for script in scripts], slots, act
        self.trials = list[Trial]()
        self.answers = list[tuple[int, TrialStopped | None]]()
        self.most_running = 0
        self.closed = False
        self._running: dict[int, Script] = {}
        self._asking: set[int] = set()

    def start(self, trial: Trial) -> None:
        assert len(self._running) < self.slots
        assert trial.number not in self._running
        self.trials.append(trial)
        self._running[trial.number] = list(self.act(trial)) if self.act else self.scripts.pop(0)
        self.most_running = max(self.most_running, len(self._running))

    def wait(self, seconds: float) -> tuple[int, Event] | None:
        assert not self._asking, "a validation was not answered"
        number = next(iter(self._running))
        script = self._running.pop(number)
        item = script.pop(0) if script else None
        if isinstance(item, Killed):
            raise item
        if item is None or isinstance(item, Exception):
            return number, Ended(item)
        assert isinstance(item, Progress | Verdict)
        self._running[number] = script  # behind the others
        if isinstance(item, Verdict):
            return number, item
        if item.kind == "validation":
            self._asking.add(number)
        return number, Entry(item, 0)

    def answer(self, number: int, answer: Answer) -> None:
        if isinstance(answer, str):
            self._running[number] = [Interrupted("Out of time.", step=0, kind=answer)]
            return
        self._asking.remove(number)
        self.answers.append((number, answer))
        if answer is not None:
            self._running[number] = [answer]

    def close(self) -> None:
        self.closed = True


class Recorder:
    """Remembers what it was told to write; the outage, if there is one, is what opening a trial raises."""

    def __init__(self, outage: TrackingError | None = None) -> None:
        self.outage, self.closed = outage, False
        self.opened = list[int]()
        self.written = list[tuple[int, Event]]()

    def open(self, trial: Trial) -> None:
        if self.outage is not None:
            raise self.outage
        self.opened.append(trial.number)

    def write(self, trial: Trial, event: Event) -> Event:
        self.written.append((trial.number, event))
        return event

    def has_failed(self, trial: Trial) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def run(
    plan: Plan, executor: LoopExecutor, deadline: float | None = None
) -> Generator[tuple[Trial, Progress | Verdict | Result]]:
    """The loop with nothing written down, and a clock for the only reason to stop."""

    def why_stop() -> Literal["budget"] | None:
        return "budget" if deadline is not None and time.monotonic() >= deadline else None

    return run_trials(plan, executor, Recorder(), why_stop)


def training(step: int, duration: float = 0.5) -> Progress:
    metrics = {"training.loss": 1.0, "duration": duration}
    return Progress(kind="training", step=step, utterances=4 * step, fraction=min(1.0, step / 9), metrics=metrics)


def validation(step: int, loss: float, alignment: float = 0.8) -> Progress:
    metrics = {"validation.loss": loss, "validation.alignment_score": alignment}
    return Progress(kind="validation", step=step, utterances=4 * step, fraction=min(1.0, step / 9), metrics=metrics)


def stop(rule: str, sentence: str = "Sick.", *, step: int = 4, **known: Any) -> TrialStopped:
    """The stop of a trial by a rule."""
    return TrialStopped(Verdict(rule=rule, sentence=sentence, step=step, utterances=4 * step, **known))
