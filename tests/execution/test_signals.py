"""The first signal asks for an orderly stop, the second leaves at once, and afterwards all is as before."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from smart_tuner.execution.signals import stop_on_signal

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from smart_tuner.execution.signals import stop_on_signal
with stop_on_signal(lambda: sys.stdout.write("stopping\\n") and sys.stdout.flush()) as stop:
    for number in sys.argv[1:]:
        os.kill(os.getpid(), int(number))
    sys.stdout.write(f"orderly {stop.is_set()}\\n")
sys.exit(stop.exit_code)
"""


def ended_by(*signals: int) -> tuple[int, str]:
    """Exit code and output of a program that sends itself signals."""
    command = [sys.executable, "-c", PROGRAM, *(str(int(number)) for number in signals)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_signal_announces_and_asks_to_stop(number: signal.Signals, code: int) -> None:
    assert ended_by(number) == (code, "stopping\norderly True\n")


@pytest.mark.slow
@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_signal_leaves_at_once(signals: tuple[signal.Signals, ...]) -> None:
    assert ended_by(*signals) == (-signals[1], "stopping\n")


@pytest.mark.slow
def test_without_a_signal_nothing_happens() -> None:
    assert ended_by() == (0, "orderly False\n")


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signal(lambda: None):
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert not set(during) & set(before)
    with contextlib.suppress(ZeroDivisionError), stop_on_signal(lambda: None):
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_see_the_request() -> None:
    seen = []
    with stop_on_signal(lambda: None) as stop:
        watcher = threading.Thread(target=lambda: seen.append(stop.wait(10)))
        watcher.start()
        os.kill(os.getpid(), signal.SIGINT)
        watcher.join(10)
    assert seen == [True]
