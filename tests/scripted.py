"""An executor whose trials do what a script says, for tests of studies."""

import functools
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna

from smart_tuner.errors import Interrupted, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.training import Ended, Trial

Item = Progress | Finding | BaseException
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
        self._running: dict[int, tuple[Trial, Script]] = {}
        self._asking: set[int] = set()

    def start(self, trial: Trial) -> None:
        assert len(self._running) < self.slots
        assert trial.number not in self._running
        self.trials.append(trial)
        self._running[trial.number] = (trial, list(self.act(trial)) if self.act else self.scripts.pop(0))
        self.most_running = max(self.most_running, len(self._running))

    def wait(self, deadline: float | None) -> tuple[Trial, Progress | Finding | Ended]:
        assert not self._asking, "a validation was not answered"
        number = next(iter(self._running))
        trial, script = self._running.pop(number)
        if deadline is not None and time.monotonic() >= deadline:
            return trial, Ended(Interrupted("Out of time.", step=0, kind="budget"))
        item = script.pop(0) if script else None
        if isinstance(item, Killed):
            raise item
        if item is None or isinstance(item, Exception):
            return trial, Ended(item)
        assert isinstance(item, Progress | Finding)
        self._running[number] = (trial, script)  # behind the others
        if isinstance(item, Progress) and item.kind == "validation":
            self._asking.add(number)
        return trial, item

    def answer(self, trial: Trial, verdict: TrialStopped | None) -> None:
        self._asking.remove(trial.number)
        self.answers.append((trial.number, verdict))
        if verdict is not None:
            self._running[trial.number] = (trial, [verdict])


def training(step: int, duration: float = 0.5) -> Progress:
    metrics = {"training.loss": 1.0, "duration": duration}
    return Progress(kind="training", step=step, utterances=4 * step, fraction=min(1.0, step / 9), metrics=metrics)


def validation(step: int, loss: float, alignment: float = 0.8) -> Progress:
    metrics = {"validation.loss": loss, "validation.alignment_score": alignment}
    return Progress(kind="validation", step=step, utterances=4 * step, fraction=min(1.0, step / 9), metrics=metrics)


@functools.cache
def _empty_storage() -> sqlite3.Connection:
    """A database with the tables of a study storage; making them takes a second."""
    made = sqlite3.connect(":memory:")
    with TemporaryDirectory() as folder:
        optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db").remove_session()
        with closing(sqlite3.connect(f"{folder}/study.db")) as file:
            file.backup(made)
    return made


def storage(folder: Path) -> str:
    """The URL of an empty study storage in a folder."""
    with closing(sqlite3.connect(folder / "smart_tuner.db")) as file:
        _empty_storage().backup(file)
    return f"sqlite:///{folder}/smart_tuner.db"


_numbers = itertools.count()


@contextmanager
def memory() -> Iterator[str]:
    """The URL of an empty study storage that waits for no disk; studies can be opened in it again and again."""
    name = f"file:/study{next(_numbers)}?vfs=memdb"
    with closing(sqlite3.connect(name, uri=True)) as kept:
        _empty_storage().backup(kept)
        yield f"sqlite:///{name}&uri=true"
