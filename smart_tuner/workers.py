"""Where trials are trained: in this process, or each in a fresh process that owns one slot of a device."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

import torch

from smart_tuner.errors import LostWorkerError, SettingsError, SmartTunerError
from smart_tuner.progress import Progress
from smart_tuner.signals import SIGNALS
from smart_tuner.speech.corpus import Examples
from smart_tuner.training import Answer, Ended, Event, Trial, train

PRELOADED = ["torch._dynamo", "smart_tuner.workers"]
"""What the fork server imports, torch with it, before any GPU is touched: a trial's process then starts at once.

torch's optimizers import torch._dynamo when the first is made, which takes a second.
"""
MOST_ON_CPU = 4
"""Workers on a CPU unless more are asked for: each takes memory."""
SECONDS_TO_END = 60.0
"""For a worker to end its iteration and write its checkpoint after its parent has left."""

Folder = Callable[[int], Path]
"""Where a trial of this number keeps its files."""


@dataclass(frozen=True)
class Slot:
    """A place for one trial at a time."""

    device: torch.device
    threads: int
    """CPU threads that its training computes with."""


class Workers(Protocol):
    """Trains trials and tells their events."""

    slots: int

    def start(self, trial: Trial) -> None:
        """Begin a trial on a free slot."""
        ...

    def wait(self, seconds: float) -> tuple[int, Event] | None:
        """The next event of any trial, with the trial's number; None when there is none for so long."""
        ...

    def answer(self, number: int, answer: Answer) -> None:
        """Answer a validation of a trial, or tell it to stop at any time."""
        ...

    def close(self) -> None:
        """End all trials; each writes its checkpoint."""
        ...


def slots(device: torch.device, workers: int, per_gpu: int = 1, *, every_gpu: bool = False) -> list[Slot]:
    """So many slots of this machine: per_gpu on the GPU or on every visible one, or one a CPU core.

    0 workers: every slot of the GPUs, up to 4 on a CPU. Raises SettingsError for more workers than slots. On a CPU
    the threads leave a core free where they can: those that wait for a busy core lose more than the core gives.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device.type == "cuda":
        gpus = [torch.device("cuda", index) for index in range(torch.cuda.device_count())] if every_gpu else [device]
        places, what = gpus * per_gpu, f"{len(gpus)} GPU(s) x --per-gpu {per_gpu}"
    else:
        places, what = [device] * cores, f"{cores} CPU core(s)"
    wanted = workers or (len(places) if device.type == "cuda" else min(len(places), MOST_ON_CPU))
    if wanted > len(places):
        raise SettingsError(f"--workers is at most the slots of this machine, {what}; received {workers}.")
    share = max(1, (cores - 1) // wanted)
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return [Slot(place, int(given) if given.isdigit() else share) for place in places[:wanted]]


def enter(slot: Slot) -> None:
    """Compute on this slot from now on: some of torch's own threads ask for the current device."""
    torch.set_num_threads(slot.threads)
    if slot.device.type == "cuda":
        torch.cuda.set_device(slot.device)


class InThisProcess:
    """One trial at a time, in this process: for debugging, and where there is nothing to share."""

    slots = 1

    def __init__(self, examples: Examples, slot: Slot, folder: Folder) -> None:
        self.examples, self.slot, self.folder = examples, slot, folder
        self._number = -1
        self._training: Generator[Event, None, None] | None = None
        self._answer: Answer = None

    def start(self, trial: Trial) -> None:
        """Begin a trial."""
        enter(self.slot)
        self._number, self._answer = trial.number, None
        self._training = train(trial, self.examples, self.slot.device, self.folder(trial.number), self)

    def wait(self, seconds: float) -> tuple[int, Event] | None:
        """Train until the next event."""
        if self._training is None:
            return None
        try:
            event = next(self._training)
        except SmartTunerError as outcome:
            event = Ended(outcome)
        if isinstance(event, Ended):
            self._training.close()
            self._training = None
        return self._number, event

    def answer(self, number: int, answer: Answer) -> None:
        """Keep the answer for when the training asks."""
        self._answer = answer or self._answer

    def ask(self, progress: Progress) -> Answer:
        """The Control of the training."""
        return self._answer

    def close(self) -> None:
        """Leave the training, which writes its checkpoint."""
        if self._training is not None:
            self._training.close()
            self._training = None


class Processes:
    """Each trial in a process of its own: what it breaks or leaks ends with it."""

    def __init__(self, examples: Examples, places: list[Slot], folder: Folder) -> None:
        self.examples, self.folder = examples, folder
        self.slots, self._free = len(places), list(places)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._running: dict[Connection, _Running] = {}

    def start(self, trial: Trial) -> None:
        """Fork a process for the trial."""
        slot = self._free.pop(0)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work,
            args=(theirs, trial, self.examples, slot, self.folder(trial.number)),
            name=f"trial-{trial.number}",
        )
        with deaf_to_signals():
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
                event = Ended(LostWorkerError(f"The process of {running.name} ended {_how(running.process)}."))
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


@dataclass(frozen=True)
class _Running:
    number: int
    process: ForkServerProcess
    slot: Slot

    @property
    def name(self) -> str:
        return f"trial-{self.number:04d}"


@dataclass(frozen=True)
class _Bug:
    traceback: str


def _how(process: ForkServerProcess) -> str:
    code = process.exitcode or 0
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


@contextmanager
def deaf_to_signals() -> Iterator[None]:
    """Processes that start within hear neither Ctrl-C nor SIGTERM, which reach a whole process group: the parent tells.

    The fork server is one of them: it could not refuse to be ended while it imports torch.
    """
    resource_tracker.ensure_running()  # the fork server starts it too, and then hears signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(pipe: Connection, trial: Trial, examples: Examples, slot: Slot, folder: Path) -> None:
    """The process of one trial: sends its events, hears answers; leaves with a checkpoint when the parent is gone."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent hears them and tells
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # or data loaders could not be ended
    enter(slot)
    with closing(train(trial, examples, slot.device, folder, _Parent(pipe))) as events:
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
