"""Trials in processes of their own, each of which owns a slot."""

import multiprocessing
import signal
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.process import BaseProcess

from smart_tuner.errors import LostWorkerError, SmartTunerError
from smart_tuner.execution.signals import SIGNALS
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import StudyFolder, TrialFolder, trial_name
from smart_tuner.progress import Progress
from smart_tuner.trial import Answer, Ended, Event, Train, Trial

PRELOADED = ["torch._dynamo", "smart_tuner.execution.processes"]
"""What the fork server imports, beside the training, before any GPU is touched: a trial's process then starts at once.

torch's optimizers import torch._dynamo when the first is made, which takes a second.
"""
SECONDS_TO_END = 60.0
"""For a worker to end its iteration and write its checkpoint after its parent has left."""


class Processes:
    """The Executor of --workers N: what a trial breaks or leaks ends with its process."""

    def __init__(self, train: Train, slots: list[Slot], folder: StudyFolder) -> None:
        """What it trains with is handed in, training/run.py's train_trial; it must be picklable, for it travels."""
        self.train, self.folder = train, folder
        self.slots, self._free = len(slots), list(slots)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*PRELOADED, module_of(train)])
        self._running: dict[Connection, _Running] = {}

    def start(self, trial: Trial) -> None:
        """Fork a process for the trial."""
        slot = self._free.pop(0)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work,
            args=(theirs, self.train, trial, slot, self.folder.trial(trial.number)),
            name=trial_name(trial.number),
        )
        with ignoring_signals():
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self._running[ours] = _Running(trial.number, process, slot)

    def wait(self, seconds: float) -> tuple[int, Event] | None:
        """The next event of any process. A process that ended without one has lost its trial."""
        for pipe in wait(list(self._running), timeout=seconds):
            assert isinstance(pipe, Connection)
            running = self._running[pipe] = self._running.pop(pipe)  # last in the order: the others are heard first
            try:
                event = pipe.recv()
            except (EOFError, OSError):  # OSError: it ended in the middle of an event
                running.process.join()
                event = Ended(LostWorkerError(f"The process of {running.name} ended {describe_exit(running.process)}."))
            if isinstance(event, _Bug):
                event = Ended(RuntimeError(f"A bug in the process of {running.name}:\n{event.traceback}"))
            if isinstance(event, Ended):
                self._end(pipe)
            return running.number, event
        return None

    def answer(self, number: int, answer: Answer) -> None:
        """Send the answer; a process that has just ended needs none."""
        for pipe, running in self._running.items():
            if running.number == number:
                try:
                    pipe.send(answer)
                except (BrokenPipeError, ConnectionResetError):
                    return  # its end is the next event

    def close(self) -> None:
        """Leave all processes: each writes its checkpoint when it finds the pipe closed."""
        for pipe in list(self._running):
            pipe.close()
        for running in self._running.values():
            running.process.join(SECONDS_TO_END)
            if running.process.is_alive():
                running.process.kill()
        self._running.clear()

    def _end(self, pipe: Connection) -> None:
        running = self._running.pop(pipe)
        pipe.close()
        running.process.join()
        running.process.close()
        self._free.append(running.slot)


def module_of(train: Train) -> str:
    """The module that a function is from, however many of its arguments are fixed already."""
    function = train.func if isinstance(train, partial) else train
    return function.__module__


@dataclass(frozen=True)
class _Running:
    number: int
    process: ForkServerProcess
    slot: Slot

    @property
    def name(self) -> str:
        return trial_name(self.number)


@dataclass(frozen=True)
class _Bug:
    traceback: str


def describe_exit(process: BaseProcess) -> str:
    """How a process has ended."""
    code = process.exitcode or 0
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Processes that start within hear neither Ctrl-C nor SIGTERM, which reach a whole process group: the parent tells.

    The fork server is one of them: it could not refuse to be ended while it imports torch.
    """
    resource_tracker.ensure_running()  # the fork server starts it too, and then hears signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(pipe: Connection, train: Train, trial: Trial, slot: Slot, folder: TrialFolder) -> None:
    """The process of one trial: sends its events, hears answers; leaves with a checkpoint when the parent is gone."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent hears them and tells
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # or data loaders could not be ended
    slot.enter()
    with closing(train(trial, slot.device, folder, _Parent(pipe))) as events:
        try:
            for event in events:
                pipe.send(event)
        except (BrokenPipeError, ConnectionResetError):
            return  # the parent is gone: closing the training writes its checkpoint
        except SmartTunerError as outcome:
            _send_last(pipe, Ended(outcome))
        except Exception:
            _send_last(pipe, _Bug(traceback.format_exc()))
            raise


def _send_last(pipe: Connection, event: Ended | _Bug) -> None:
    try:
        pipe.send(event)
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent is gone; the trial is found open, and goes on from its checkpoint


class _Parent:
    """The Control of a training whose parent is at the other end of a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def ask(self, progress: Progress) -> Answer:
        """After a validation, wait for the answer; after an iteration, look whether there is one."""
        try:
            if progress.kind == "training" and not self.pipe.poll():
                return None
            answer: Answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return "user"  # the parent is gone: leave with a checkpoint
        return answer
