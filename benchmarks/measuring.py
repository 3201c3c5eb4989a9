"""What a program takes: wall time, processor time, and the memory of all its processes together."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLED = 0.2
"""Seconds from one look at the memory to the next."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a program took."""

    seconds: float
    """Of wall time."""
    processor: float
    """Seconds that all its processes computed, user and system."""
    gibibytes: float
    """Largest sum of what its processes hold in memory; what they share counts for each."""

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.processor:.0f} s of processor time, {self.gibibytes:.2f} GiB"


def run_measured(command: Sequence[str], environment: dict[str, str] | None = None, cwd: Path | None = None) -> Cost:
    """Run a program to its end. Raises CalledProcessError, with its output, when it fails."""
    before, started = _processor_seconds(), time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    ) as program:
        memory = _Memory(program.pid)
        output, _ = program.communicate()
        seconds = time.perf_counter() - started
        largest = memory.stop()
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command, output)
    return Cost(seconds=seconds, processor=_processor_seconds() - before, gibibytes=largest / 2**30)


def _processor_seconds() -> float:
    """Of all children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Memory:
    """Samples the memory of a process and all below it in a thread."""

    def __init__(self, process: int) -> None:
        self._process, self._largest, self._end = psutil.Process(process), 0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Bytes of the largest sum."""
        self._end.set()
        self._thread.join()
        return self._largest

    def _sample(self) -> None:
        while not self._end.wait(SAMPLED):
            self._largest = max(self._largest, self._held())

    def _held(self) -> int:
        held = 0
        try:
            for process in [self._process, *self._process.children(recursive=True)]:
                held += process.memory_info().rss
        except psutil.NoSuchProcess:
            return held  # it has just ended; the next look finds what there is
        return held
