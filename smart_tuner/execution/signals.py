"""Ctrl-C and SIGTERM: the first asks for an orderly stop, the second leaves at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest(Event):
    """Set by the first signal."""

    exit_code = 0
    """What a shell expects of a program that a signal ended: 128 + the signal's number."""


@contextmanager
def stop_on_signal(announce: Callable[[], None]) -> Iterator[StopRequest]:
    """Within it, a first signal calls announce and sets the request; a second has its usual effect."""
    request = StopRequest()

    def handle(number: int, _: FrameType | None) -> None:
        if request.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        request.exit_code = 128 + number
        request.set()
        announce()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
