"""Trials in this process and in their own: answers that arrive, slots that come back, and processes that die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from smart_tuner.checkpoint import read_checkpoint
from smart_tuner.errors import Interrupted, LostWorkerError, TrialStopped
from smart_tuner.execution.in_process import InThisProcess
from smart_tuner.execution.processes import Processes
from smart_tuner.execution.signals import SIGNALS
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import StudyFolder
from smart_tuner.progress import Entry, Progress
from smart_tuner.settings.settings import Settings
from smart_tuner.study.loop import Executor
from smart_tuner.training.journal import read_journal
from smart_tuner.training.run import train_trial
from smart_tuner.trial import Answer, Ended, Event, Opening, Train, Trial
from tests.support import small, trainings
from tests.support.scripted import stop

pytestmark = pytest.mark.xdist_group("processes")  # one fork server is enough

ROOT = Path(__file__).parents[2]
PRUNED = stop("asha", "Worse than others.", observed={"validation.loss": 2.5}, kind="pruner")
LONG = partial(trainings.count, iterations=1_000_000, every=1_000_000)

Say = Callable[[Progress], Answer]
Several = Callable[..., Processes]
Make = Callable[..., Executor]


@pytest.fixture(autouse=True)
def threads_of_one_test() -> Iterator[None]:
    given = torch.get_num_threads()
    yield
    torch.set_num_threads(given)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Several]:
    with ExitStack() as stack:

        def make(train: Train = trainings.count, slots: int = 1, threads: int = 1) -> Processes:
            places = [Slot("cpu", threads)] * slots
            return stack.enter_context(closing(Processes(train, places, StudyFolder(tmp_path))))

        yield make


@pytest.fixture(params=["in this process", pytest.param("in processes", marks=pytest.mark.slow)])
def make(request: pytest.FixtureRequest, processes: Several, tmp_path: Path) -> Make:
    if request.param == "in processes":
        return processes
    return lambda train=trainings.count, threads=1: InThisProcess(train, Slot("cpu", threads), StudyFolder(tmp_path))


def trial(number: int = 0, settings: Settings | None = None) -> Trial:
    return Trial(number=number, origin="sampled", settings=settings or Settings())


def until(answer: Answer, kind: str, step: int) -> Say:
    """An answer to one Progress."""
    return lambda progress: answer if (progress.kind, progress.step) == (kind, step) else None


def events_of(running: Executor, say: Say) -> Iterator[Event]:
    """Events until a trial has ended; validations are answered when the next event is asked for."""
    while True:
        arrived = running.wait(60)
        assert arrived is not None, "nothing in a minute"
        number, event = arrived
        yield event
        if isinstance(event, Ended):
            return
        answer = say(event.progress) if isinstance(event, Entry) else None
        if answer is not None or (isinstance(event, Entry) and event.progress.kind == "validation"):
            running.answer(number, answer)


def follow(running: Executor, say: Say = lambda _: None) -> tuple[list[Progress], Exception | None]:
    """What a trial tells, and how it ends."""
    *events, ended = events_of(running, say)
    assert isinstance(ended, Ended)
    return [event.progress for event in events if isinstance(event, Entry)], ended.outcome


def started(running: Any) -> Any:
    """The executor with a trial that has begun."""
    running.start(trial())
    return running


def can_train(running: Executor) -> bool:
    """Whether it has a slot for a trial, which then ends by itself."""
    return follow(started(running))[1] is None


def validate(running: Executor, step: int) -> None:
    """Follow a trial up to a validation, which is left without an answer."""
    for event in events_of(running, lambda _: None):
        if isinstance(event, Entry) and (event.progress.kind, event.progress.step) == ("validation", step):
            return
    raise AssertionError(f"no validation after {step}")


def saved(folder: Path, number: int = 0) -> int:
    """The iteration that a trial's last checkpoint is of."""
    return int(StudyFolder(folder).trial(number).last.read_text())


# both


def test_a_trial_tells_what_its_training_tells(make: Make) -> None:
    running = started(make())
    progress, outcome = follow(running)
    assert outcome is None
    assert [one.step for one in progress if one.kind == "training"] == list(range(1, 10))
    assert [one.step for one in progress if one.kind == "validation"] == [3, 6, 9]


def test_a_stop_after_a_validation_stops_right_there(make: Make) -> None:
    running = started(make())
    progress, outcome = follow(running, until(PRUNED, "validation", 3))
    assert [(one.kind, one.step) for one in progress[-2:]] == [("training", 3), ("validation", 3)]
    assert isinstance(outcome, TrialStopped)
    assert (str(outcome), outcome.verdict) == (str(PRUNED), PRUNED.verdict)


@pytest.mark.parametrize("why", ["user", "budget"])
def test_an_interrupted_trial_says_why_and_its_slot_is_free(make: Make, tmp_path: Path, why: Any) -> None:
    running = started(make())
    _, outcome = follow(running, until(why, "validation", 6))
    assert isinstance(outcome, Interrupted)
    assert (outcome.kind, outcome.step, saved(tmp_path)) == (why, 6, 6)
    assert can_train(running)


def test_a_trial_is_told_to_stop_between_validations(make: Make, tmp_path: Path) -> None:
    running = started(make(LONG))
    progress, outcome = follow(running, until("user", "training", 2))
    assert isinstance(outcome, Interrupted)
    assert progress[-1].step == outcome.step == saved(tmp_path) < 1_000_000


def test_an_answer_of_an_earlier_trial_is_forgotten(make: Make) -> None:
    running = make()
    running.start(trial(0))
    follow(running, until("user", "validation", 3))
    running.answer(0, "user")  # it has ended: nobody hears
    running.start(trial(1))
    assert follow(running)[1] is None


def test_what_is_left_saves_itself(make: Make, tmp_path: Path) -> None:
    running = started(make())
    validate(running, 6)
    running.close()
    assert saved(tmp_path) == 6


def test_without_a_trial_nothing_is_told(make: Make) -> None:
    assert make().wait(0.01) is None


@pytest.mark.parametrize("threads", [1, 2])
def test_a_trial_computes_with_the_threads_of_its_slot(make: Make, threads: int) -> None:
    running = started(make(threads=threads))
    opening = next(events_of(running, lambda _: None))
    assert opening == Opening(params={"device": "cpu", "threads": threads}, tags={})


def test_a_bug_in_this_process_is_raised_as_it_is(tmp_path: Path) -> None:
    running = started(InThisProcess(trainings.break_down, Slot("cpu", 1), StudyFolder(tmp_path)))
    with pytest.raises(ZeroDivisionError):
        follow(running)


# processes


def pid_of(running: Processes) -> int:
    (one,) = running._running.values()
    assert one.process.pid is not None
    return one.process.pid


@pytest.mark.slow
def test_two_trials_train_at_a_time_and_wait_for_the_answers_to_their_validations(processes: Several) -> None:
    running = processes(slots=2)
    for number in (0, 1):
        running.start(trial(number))
    waiting: list[int] = []
    while len(waiting) < 2:  # neither has an answer, so neither can end before the other validates
        arrived = running.wait(60)
        assert arrived is not None
        if isinstance(arrived[1], Entry) and arrived[1].progress.kind == "validation":
            waiting.append(arrived[0])
    assert sorted(waiting) == [0, 1]
    assert running.wait(0.2) is None  # both wait


@pytest.mark.slow
def test_a_busy_trial_does_not_keep_another_from_being_heard(processes: Several) -> None:
    running = processes(LONG, slots=2)
    for number in (0, 1):
        running.start(trial(number))
    small.wait_until(lambda: all(pipe.poll() for pipe in running._running))  # both have told something
    assert {(running.wait(60) or (None,))[0] for _ in range(2)} == {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "how"),
    [
        (trainings.leave, "with exit code 7"),
        (trainings.be_killed, "by signal SIGKILL"),
        (trainings.be_cut_short, "by signal SIGKILL"),
    ],
)
def test_a_process_that_ends_without_a_word_is_lost_and_its_slot_is_free(
    processes: Several, train: Train, how: str
) -> None:
    running = started(processes(train))
    _, outcome = follow(running)
    assert isinstance(outcome, LostWorkerError)
    assert str(outcome) == f"The process of trial-0000 ended {how}."
    running.train = trainings.count
    assert can_train(running)


@pytest.mark.slow
def test_a_bug_arrives_with_its_traceback_and_its_slot_is_free(processes: Several) -> None:
    running = started(processes(trainings.break_down))
    _, outcome = follow(running)
    assert type(outcome) is RuntimeError
    assert "A bug in the process of trial-0000:\nTraceback" in str(outcome)
    assert "trainings.py" in str(outcome)
    running.train = trainings.count
    assert can_train(running)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_leaves_signals_to_its_parent(processes: Several, number: int) -> None:
    running = started(processes())
    validate(running, 3)
    os.kill(pid_of(running), number)
    running.answer(0, None)
    assert follow(running)[1] is None


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_to_the_numbers_of_one_that_is_not(
    processes: Several, tmp_path: Path
) -> None:
    """The real training: its checkpoint is of iteration 3 when the process is killed after 6."""
    settings = small.settings(budget="9it")
    object.__setattr__(settings.tracking, "checkpoint_seconds", 0.0)
    object.__setattr__(settings.tracking, "freerun_evaluations", 0)
    running, folder = processes(partial(train_trial, examples=small.corpus(tmp_path))), StudyFolder(tmp_path).trial(0)
    running.start(trial(settings=settings))
    validate(running, 6)
    assert read_checkpoint(folder.last)["train_state"]["iteration"] == 3
    os.kill(pid_of(running), signal.SIGKILL)
    assert isinstance(follow(running)[1], LostWorkerError)
    running.start(trial(settings=settings))
    progress, outcome = follow(running)
    assert outcome is None
    assert small.lines(progress) == small.lines(small.trainer(tmp_path / "again", budget="9it").steps())
    assert [entry.progress for entry in read_journal(folder.journal)] == progress


PARENT = """
import signal, sys
from contextlib import closing
from pathlib import Path
from smart_tuner.execution.processes import Processes
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import StudyFolder
from smart_tuner.progress import Entry
from smart_tuner.settings.settings import Settings
from smart_tuner.trial import Ended, Trial
from tests.support import trainings

signal.signal(signal.SIGINT, lambda *_: None)
signal.signal(signal.SIGTERM, lambda *_: None)
running = Processes(trainings.count, [Slot("cpu", 1)], StudyFolder(Path(sys.argv[1])))
print("starts", flush=True)
running.start(Trial(number=0, origin="sampled", settings=Settings()))
with closing(running):
    event = None
    while not isinstance(event, Ended):
        _, event = running.wait(60)
        if isinstance(event, Entry) and event.progress.kind == "validation":
            print("validates", flush=True)
            if sys.argv[2] == "waits":
                signal.pause()
            running.answer(0, None)
print(event.outcome, flush=True)
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
    program, last = parent("waits"), StudyFolder(tmp_path).trial(0).last
    assert program.stdout is not None
    assert [program.stdout.readline() for _ in range(2)] == ["starts\n", "validates\n"]
    assert not last.exists()
    program.kill()
    small.wait_until(last.exists)
    small.wait_until(lambda: last.read_text() == "3")


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
    assert program.stdout.read() == "validates\n" * 3 + "None\n"
