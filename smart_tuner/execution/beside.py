"""A job in a process of its own, beside the training of voices."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from smart_tuner.errors import LostWorkerError, SmartTunerError
from smart_tuner.execution.processes import describe_exit, ignoring_signals
from smart_tuner.execution.signals import SIGNALS

SECONDS_TO_END = 10.0
"""For the process to come to a place where it can be left."""


class Beside:
    """Within it, the job runs; on leaving it is ended, done or not."""

    def __init__(self, job: Callable[[], object], name: str) -> None:
        """The job must be picklable, for it travels; what it returns is dropped. The name is for sentences."""
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work_beside, args=(theirs, job), daemon=True)
        with ignoring_signals():
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self._is_done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(SECONDS_TO_END)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def check(self) -> bool:
        """Whether the job is found to be done, once. Raises what it ended with; LostWorkerError if it was killed."""
        if self._is_done or not self._pipe.poll():
            return False
        try:
            told = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._is_done = True
            self._process.join()
            told = LostWorkerError(f"The process of the {self.name} ended {describe_exit(self._process)}.")
        if isinstance(told, str):
            raise RuntimeError(f"A bug in the {self.name}:\n{told}")
        if told is not None:
            raise told
        self._is_done = True
        return True


def work_beside(pipe: Connection, job: Callable[[], object]) -> None:
    """The process: sends None when the job is done, else what went wrong; ends when the parent has left.

    Ctrl-C and SIGTERM reach a whole process group: the parent hears them, and leaves when it is time.
    """
    left = threading.Event()

    def end_if_left(*_: object) -> None:
        if left.is_set():
            raise SystemExit

    def await_parents_end() -> None:
        pipe.poll(None)  # the parent says nothing: what comes is the end of the pipe
        left.set()
        os.kill(os.getpid(), signal.SIGTERM)  # a handler runs in the main thread, which cleans up

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_if_left)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=await_parents_end, daemon=True).start()
    try:
        job()
    except SmartTunerError as failure:
        _send(pipe, failure)
    except Exception:
        _send(pipe, traceback.format_exc())
        raise
    else:
        _send(pipe, None)


def _send(pipe: Connection, told: SmartTunerError | str | None) -> None:
    try:
        pipe.send(told)
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent has left
