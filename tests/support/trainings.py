"""Trainings that only count, for tests of what runs them. Light: each process that trains one imports this."""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import torch

from smart_tuner.errors import Interrupted, TrialStopped
from smart_tuner.paths import TrialFolder
from smart_tuner.progress import Entry, Progress
from smart_tuner.trial import Control, Ended, Event, Opening, Trial


def count(
    trial: Trial, device: str, folder: TrialFolder, control: Control, *, iterations: int = 9, every: int = 3
) -> Iterator[Event]:
    """Iterations with a validation after every third; the last checkpoint is the number of the iteration it is of."""
    folder.path.mkdir(parents=True, exist_ok=True)
    step = 0
    try:
        yield Opening(params={"device": device, "threads": torch.get_num_threads()}, tags={})
        for step in range(1, iterations + 1):
            yield from tell("training", step, control)
            if step % every == 0:
                yield from tell("validation", step, control)
    except (Interrupted, GeneratorExit):
        folder.last.write_text(str(step))
        raise
    yield Ended(None)


def tell(kind: str, step: int, control: Control) -> Iterator[Event]:
    progress = Progress(kind=kind, step=step, utterances=4 * step, fraction=0.5, metrics={})  # type: ignore[arg-type]
    yield Entry(progress, milliseconds=step)
    answer = control.ask(progress)
    if isinstance(answer, TrialStopped):
        raise answer
    if answer is not None:
        raise Interrupted("Stopped.", step=step, kind=answer)


def break_down(*given: object) -> Iterator[Event]:
    """A bug."""
    yield Opening(params={}, tags={})
    raise ZeroDivisionError("a bug")


def leave(*given: object) -> Iterator[Event]:
    """The process is gone without a word."""
    sys.exit(7)
    yield Ended(None)


def be_killed(*given: object) -> Iterator[Event]:
    """As when the machine's memory is full."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield Ended(None)


def be_cut_short(trial: Trial, device: str, folder: TrialFolder, control: Any) -> Iterator[Event]:
    """The same in the middle of an event."""
    os.write(control.pipe.fileno(), (1000).to_bytes(4, "big") + b"the first of a thousand bytes")
    yield from be_killed()
