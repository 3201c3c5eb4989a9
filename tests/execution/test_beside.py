"""A job beside the training is done, or says in a sentence why not; and it never outlives who wanted it."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from smart_tuner.errors import DataError, LostWorkerError
from smart_tuner.execution.beside import Beside
from tests.support import jobs
from tests.support.small import wait_until

pytestmark = pytest.mark.slow


def begun(folder: Path) -> int:
    """The process of a job that lasts, once it has begun."""
    wait_until((folder / "begun").exists)
    return int((folder / "begun").read_text())


def test_a_job_is_done_once(tmp_path: Path) -> None:
    with Beside(partial(jobs.write, tmp_path / "a"), "job") as beside:
        wait_until(beside.check)
        assert (tmp_path / "a").read_text() == "done"
        assert not beside.check()


def test_an_error_of_a_job_is_raised_where_one_looks() -> None:
    with Beside(jobs.fail, "job") as beside, pytest.raises(DataError, match=r"^The mel of a cannot be read\.$"):
        wait_until(beside.check)


def test_a_bug_of_a_job_comes_with_its_traceback() -> None:
    with Beside(jobs.break_down, "job") as beside, pytest.raises(RuntimeError, match=r"(?s)bug in the job.*jobs\.py"):
        wait_until(beside.check)


def test_a_job_that_is_killed_is_told_of() -> None:
    lost = r"^The process of the job ended by signal SIGKILL\.$"
    with Beside(jobs.be_killed, "job") as beside, pytest.raises(LostWorkerError, match=lost):
        wait_until(beside.check)


def test_a_job_that_is_left_cleans_up_and_ends(tmp_path: Path) -> None:
    with Beside(partial(jobs.last, tmp_path), "job") as beside:
        process = begun(tmp_path)
        assert not beside.check()
    assert (tmp_path / "cleaned").exists()
    assert not psutil.pid_exists(process)


def test_signals_that_reach_a_whole_group_are_the_parents_affair(tmp_path: Path) -> None:
    with Beside(partial(jobs.last, tmp_path), "job") as beside:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(begun(tmp_path), number)
        assert psutil.pid_exists(begun(tmp_path))
        assert not beside.check()
        assert not (tmp_path / "cleaned").exists()


def test_a_job_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = [sys.executable, "-m", "tests.support.jobs", str(tmp_path)]
    assert subprocess.run(parent, check=False, timeout=120).returncode == -signal.SIGKILL
    wait_until((tmp_path / "cleaned").exists)
    wait_until(lambda: not psutil.pid_exists(begun(tmp_path)))
