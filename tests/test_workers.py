"""Trials in this process and in their own: the same numbers, answers that arrive, and processes that die."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from smart_tuner import checkpoint, journal, workers
from smart_tuner.errors import Interrupted, LostWorkerError, SettingsError, StorageError, TrialStopped
from smart_tuner.journal import Entry
from smart_tuner.progress import Progress
from smart_tuner.settings import Tracking
from smart_tuner.signals import SIGNALS
from smart_tuner.training import JOURNAL, Answer, Ended, Event, Trial
from smart_tuner.workers import InThisProcess, Processes, Slot, Workers
from tests import small

ROOT = Path(__file__).parent.parent
SLOT = Slot(small.CPU, 1)
PRUNED = TrialStopped("Worse than others.", rule="asha", step=3, observed={"validation.loss": 2.5}, kind="pruner")

Make = Callable[[Path, int], Workers]
Say = Callable[[Progress], Answer]


@pytest.fixture(autouse=True)
def threads_of_one_test() -> Iterator[None]:
    given = torch.get_num_threads()
    yield
    torch.set_num_threads(given)


@pytest.fixture
def processes() -> Iterator[Callable[[Path, int], Processes]]:
    with ExitStack() as stack:
        yield lambda folder, slots: stack.enter_context(
            closing(Processes(small.corpus(folder), [SLOT] * slots, lambda number: folder / f"trial-{number}"))
        )


@pytest.fixture(params=["in this process", "in processes"])
def make(request: pytest.FixtureRequest, processes: Callable[[Path, int], Processes]) -> Make:
    if request.param == "in processes":
        return processes
    return lambda folder, _: InThisProcess(small.corpus(folder), SLOT, lambda number: folder / f"trial-{number}")


def trial(number: int = 0, **hparams: Any) -> Trial:
    """Nine iterations, validated and saved after every third."""
    often = dataclasses.replace(
        small.settings(**{"budget": "9it", **hparams}), tracking=Tracking(checkpoint_seconds=0.0, freerun_evaluations=0)
    )
    return Trial(number=number, origin="sampled", settings=often)


def go_on(_: Progress) -> Answer:
    return None


def until(answer: Answer, kind: str, step: int) -> Say:
    """An answer to one Progress."""
    return lambda progress: answer if (progress.kind, progress.step) == (kind, step) else None


def events_of(running: Workers, say: Say = go_on) -> Iterator[tuple[int, Event]]:
    """Events until a trial has ended; validations are answered when the next event is asked for."""
    while True:
        arrived = running.wait(60)
        assert arrived is not None, "nothing in a minute"
        number, event = arrived
        yield arrived
        if isinstance(event, Ended):
            return
        answer = say(event.progress) if isinstance(event, Entry) else None
        if answer is not None or (isinstance(event, Entry) and event.progress.kind == "validation"):
            running.answer(number, answer)


def followed(running: Workers, say: Say = go_on) -> tuple[list[Progress], Exception | None]:
    """What a trial tells, and how it ends."""
    events = [event for _, event in events_of(running, say)]
    assert isinstance(events[-1], Ended)
    return [event.progress for event in events if isinstance(event, Entry)], events[-1].outcome


def validating(running: Workers, step: int) -> list[Progress]:
    """Progress up to a validation, which is left without an answer."""
    seen = []
    for _, event in events_of(running):
        if isinstance(event, Entry):
            seen.append(event.progress)
            if (seen[-1].kind, seen[-1].step) == ("validation", step):
                return seen
    raise AssertionError(f"no validation after {step}")


def iteration(folder: Path) -> int:
    found: int = checkpoint.read(folder / checkpoint.LAST)["position"]["iteration"]
    return found


def whole(folder: Path) -> list[dict[str, Any]]:
    """What the trial tells when nothing interrupts it."""
    return small.lines(small.trainer(folder, budget="9it").steps())


# both


def test_a_trial_tells_the_same_in_any_process(make: Make, tmp_path: Path) -> None:
    running = make(tmp_path, 1)
    running.start(trial())
    progress, outcome = followed(running)
    assert outcome is None
    assert small.lines(progress) == whole(tmp_path / "again")


def test_a_stop_after_a_validation_stops_right_there(make: Make, tmp_path: Path) -> None:
    running = make(tmp_path, 1)
    running.start(trial())
    progress, outcome = followed(running, until(PRUNED, "validation", 3))
    assert [(one.kind, one.step) for one in progress[-2:]] == [("training", 3), ("validation", 3)]
    assert isinstance(outcome, TrialStopped)
    assert (str(outcome), vars(outcome)) == (str(PRUNED), vars(PRUNED))


@pytest.mark.parametrize("why", ["user", "budget"])
def test_an_interrupted_trial_goes_on_to_the_same_numbers(make: Make, tmp_path: Path, why: Any) -> None:
    running = make(tmp_path, 1)
    running.start(trial())
    before, outcome = followed(running, until(why, "validation", 6))
    assert isinstance(outcome, Interrupted)
    assert (outcome.kind, outcome.step, iteration(tmp_path / "trial-0")) == (why, 6, 6)
    running.start(trial())
    again, _ = followed(running)
    assert again[: len(before)] == before
    assert small.lines(again) == whole(tmp_path / "again")


def test_a_trial_is_told_to_stop_between_validations(make: Make, tmp_path: Path) -> None:
    running = make(tmp_path, 1)
    running.start(trial(budget="5000it", validation_freq=1_000_000))
    progress, outcome = followed(running, until("user", "training", 2))
    assert isinstance(outcome, Interrupted)
    assert progress[-1].step == outcome.step == iteration(tmp_path / "trial-0") < 5000


def test_an_answer_of_an_earlier_trial_is_forgotten(make: Make, tmp_path: Path) -> None:
    running = make(tmp_path, 1)
    running.start(trial(0))
    followed(running, until("user", "validation", 3))
    running.answer(0, "user")  # it has ended: nobody hears
    running.start(trial(1))
    assert followed(running)[1] is None


def test_what_is_left_saves_itself(make: Make, tmp_path: Path) -> None:
    running = make(tmp_path, 1)
    running.start(trial(validation_freq=4))
    validating(running, 4)
    running.close()
    assert iteration(tmp_path / "trial-0") == 4
    with FileLock(tmp_path / "trial-0" / ".lock", timeout=0):
        pass


def test_without_an_event_nothing_is_told(make: Make, tmp_path: Path) -> None:
    assert make(tmp_path, 1).wait(0.01) is None


def test_a_folder_that_is_in_use_ends_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smart_tuner.training.LOCK_SECONDS", 0.05)
    running = InThisProcess(small.corpus(tmp_path), SLOT, lambda _: tmp_path)
    running.start(trial())
    with FileLock(tmp_path / ".lock"):
        assert isinstance(followed(running)[1], StorageError)


def test_a_bug_in_this_process_is_raised_as_it_is(tmp_path: Path) -> None:
    running = InThisProcess(with_a_bug(tmp_path), SLOT, lambda _: tmp_path)
    running.start(trial())
    with pytest.raises(TypeError):
        followed(running)


def with_a_bug(folder: Path) -> Any:
    examples = small.corpus(folder)
    broken = [dataclasses.replace(one, tokens=None) for one in examples.train]  # type: ignore[arg-type]
    return dataclasses.replace(examples, train=broken)


# processes

Several = Callable[[Path, int], Processes]


def pid_of(running: Processes) -> int:
    (one,) = running._running.values()
    assert one.process.pid is not None
    return one.process.pid


def test_two_trials_train_at_a_time(processes: Several, tmp_path: Path) -> None:
    running = processes(tmp_path, 2)
    for number in (0, 1):
        running.start(trial(number))
    waiting: list[int] = []
    while len(waiting) < 2:  # neither has an answer, so neither can end before the other validates
        arrived = running.wait(60)
        assert arrived is not None
        if isinstance(arrived[1], Entry) and arrived[1].progress.kind == "validation":
            waiting.append(arrived[0])
    assert sorted(waiting) == [0, 1]


def test_a_process_waits_for_the_answer_to_a_validation(processes: Several, tmp_path: Path) -> None:
    running = processes(tmp_path, 1)
    running.start(trial())
    validating(running, 3)
    while (arrived := running.wait(1.0)) is not None:  # plots and speech
        assert not isinstance(arrived[1], Entry)


def test_a_busy_trial_does_not_keep_another_from_being_heard(processes: Several, tmp_path: Path) -> None:
    running = processes(tmp_path, 2)
    for number in (0, 1):
        running.start(trial(number))
    journals = [tmp_path / f"trial-{number}" / JOURNAL for number in (0, 1)]
    small.wait_until(lambda: all(len(journal.read(path)) == 4 for path in journals))  # both wait for an answer
    assert {(running.wait(60) or (None,))[0] for _ in range(2)} == {0, 1}


def test_a_killed_process_gives_its_slot_back_and_its_trial_goes_on(processes: Several, tmp_path: Path) -> None:
    running = processes(tmp_path, 1)
    running.start(trial())
    validating(running, 6)  # its checkpoint is of iteration 3
    os.kill(pid_of(running), signal.SIGKILL)
    *_, (_, event) = events_of(running)  # what it sent before may still lie in the pipe
    assert isinstance(event, Ended)
    assert isinstance(event.outcome, LostWorkerError)
    assert str(event.outcome) == "The process of trial-0000 ended by signal SIGKILL."
    running.start(trial())
    progress, outcome = followed(running)
    assert outcome is None
    assert small.lines(progress) == whole(tmp_path / "again")
    assert [entry.progress for entry in journal.read(tmp_path / "trial-0" / JOURNAL)] == progress


def exits(*_: object) -> None:
    sys.exit(7)


def cut_short(pipe: Connection, *_: object) -> None:
    os.write(pipe.fileno(), (1000).to_bytes(4, "big") + b"the first of a thousand bytes")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("work", "how"), [(exits, "with exit code 7"), (cut_short, "by signal SIGKILL")])
def test_a_process_that_ends_without_a_word_is_lost(
    processes: Several, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Any, how: str
) -> None:
    monkeypatch.setattr(workers, "work", work)
    running = processes(tmp_path, 1)
    running.start(trial())
    _, outcome = followed(running)
    assert isinstance(outcome, LostWorkerError)
    assert str(outcome).endswith(how + ".")


def test_a_bug_arrives_with_its_traceback(processes: Several, tmp_path: Path) -> None:
    running = processes(tmp_path, 1)
    running.examples = with_a_bug(tmp_path)
    running.start(trial())
    _, outcome = followed(running)
    assert type(outcome) is RuntimeError
    assert "A bug in the process of trial-0000:\nTraceback" in str(outcome)
    assert "batches.py" in str(outcome)
    running.examples = small.corpus(tmp_path)
    running.start(trial())
    assert followed(running)[1] is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_leaves_signals_to_its_parent(processes: Several, tmp_path: Path, number: int) -> None:
    running = processes(tmp_path, 1)
    running.start(trial())
    validating(running, 3)
    os.kill(pid_of(running), number)
    running.answer(0, None)
    assert followed(running)[1] is None


def tells_its_threads(*_: object) -> Iterator[Event]:
    yield Ended(RuntimeError(f"{torch.get_num_threads()} threads"))


def works_and_tells_its_threads(*given: Any) -> None:
    workers.train = tells_its_threads  # type: ignore[assignment]  # in this process, which ends with the trial
    workers.work(*given)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_trial_computes_with_the_threads_of_its_slot(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(workers, "train", tells_its_threads)
    running = make(tmp_path, 1)
    if isinstance(running, Processes):
        monkeypatch.setattr(workers, "work", works_and_tells_its_threads)
        running._free = [Slot(small.CPU, threads)]
    elif isinstance(running, InThisProcess):
        running.slot = Slot(small.CPU, threads)
    running.start(trial())
    assert str(followed(running)[1]) == f"{threads} threads"


PARENT = """
import signal, sys
from contextlib import closing
from pathlib import Path
from smart_tuner.training import Ended
from tests import small, test_workers
signal.signal(signal.SIGINT, lambda *_: None)
signal.signal(signal.SIGTERM, lambda *_: None)
folder = Path(sys.argv[1])
running = test_workers.Processes(small.corpus(folder), [test_workers.SLOT], lambda _: folder / "trial-0")
print("starts", flush=True)
running.start(test_workers.trial())
if sys.argv[2] == "validating":
    test_workers.validating(running, 3)
    print("waits", flush=True)
    signal.pause()
with closing(running):
    print(test_workers.followed(running)[1], flush=True)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Starts a program that trains a trial in a process, in a process group of its own as a shell would."""
    with ExitStack() as stack:
        yield lambda what: stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", PARENT, str(tmp_path), what],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )


@pytest.mark.slow
def test_a_process_whose_parent_is_killed_saves_and_ends(
    parent: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    program = parent("validating")
    assert program.stdout is not None
    assert [program.stdout.readline() for _ in range(2)] == ["starts\n", "waits\n"]
    assert not (tmp_path / "trial-0" / checkpoint.LAST).exists()
    program.kill()
    with FileLock(tmp_path / "trial-0" / ".lock", timeout=60):
        assert iteration(tmp_path / "trial-0") == 3


@pytest.mark.slow
def test_signals_to_all_while_the_fork_server_starts_break_nothing(
    parent: Callable[[str], "subprocess.Popen[str]"],
) -> None:
    program = parent("to the end")
    assert program.stdout is not None
    assert program.stdout.readline() == "starts\n"
    while program.poll() is None:
        for number in SIGNALS:
            os.killpg(program.pid, number)
        time.sleep(0.05)
    assert program.stdout.read() == "None\n"


# slots


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return lambda count: monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(count)), raising=False)


@pytest.mark.parametrize(("asked", "threads"), [(0, 2), (1, 8), (2, 4), (3, 2), (8, 1)])
def test_a_cpu_is_shared_by_its_workers_but_for_a_core(cores: Callable[[int], None], asked: int, threads: int) -> None:
    cores(9)
    assert workers.slots(small.CPU, asked) == [Slot(small.CPU, threads)] * (asked or workers.MOST_ON_CPU)


def test_one_core_is_one_thread(cores: Callable[[int], None]) -> None:
    cores(1)
    assert workers.slots(small.CPU, 0) == [Slot(small.CPU, 1)]


def test_whoever_says_how_many_threads_is_obeyed(cores: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    cores(8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [slot.threads for slot in workers.slots(small.CPU, 2)] == [3, 3]


def test_more_workers_than_cores_are_refused(cores: Callable[[int], None]) -> None:
    cores(2)
    with pytest.raises(SettingsError, match=r"^--workers is at most .*, 2 CPU core\(s\); received 3\.$"):
        workers.slots(small.CPU, 3)


ZERO, ONE = torch.device("cuda", 0), torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("asked", "per_gpu", "every", "devices"),
    [
        (0, 2, True, [ZERO, ONE, ZERO, ONE]),
        (3, 2, True, [ZERO, ONE, ZERO]),
        (0, 1, False, [ONE]),
        (2, 2, False, [ONE, ONE]),
    ],
)
def test_workers_spread_over_the_gpus_first(
    monkeypatch: pytest.MonkeyPatch, asked: int, per_gpu: int, every: bool, devices: list[torch.device]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [slot.device for slot in workers.slots(ONE, asked, per_gpu, every_gpu=every)] == devices


def test_more_workers_than_the_gpus_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SettingsError, match=r", 2 GPU\(s\) x --per-gpu 2; received 5\.$"):
        workers.slots(ZERO, 5, 2, every_gpu=True)
