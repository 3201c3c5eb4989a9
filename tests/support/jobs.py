"""Jobs for processes of their own, which import this file."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from smart_tuner.errors import DataError
from smart_tuner.execution.beside import Beside


def write(file: Path) -> None:
    file.write_text("done")


def fail() -> None:
    raise DataError("The mel of a cannot be read.")


def break_down() -> None:
    raise ZeroDivisionError("a bug")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def last(folder: Path) -> None:
    """Tells its process, and lasts until it is ended, which it tells too."""
    (folder / "part").write_text(str(os.getpid()))
    (folder / "part").replace(folder / "begun")
    try:
        while True:
            time.sleep(0.02)
    finally:
        (folder / "cleaned").touch()


if __name__ == "__main__":  # a parent that is killed while its job lasts
    chosen = Path(sys.argv[1])
    with Beside(partial(last, chosen), "job"):
        while not (chosen / "begun").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
