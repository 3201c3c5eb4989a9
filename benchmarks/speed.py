"""Measure what the documentation promises: `python -m benchmarks.speed [NAME ...]`. Names: help, logging,
large_corpus. Without a name all run that this machine can; figures go to the terminal.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from smart_tuner.execution.recorder import MlflowRecorder
    from smart_tuner.study.loop import Executor
    from smart_tuner.trial import Trial

ROOT = Path(__file__).parent.parent
CLIPS = 13_000
"""As many as LJSpeech has."""


def help_time() -> None:
    """Wall time of --help, a new process each time."""
    seconds = []
    for _ in range(11):
        started = time.perf_counter()
        subprocess.run([sys.executable, "smart_tuner_main.py", "--help"], cwd=ROOT, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    print(f"--help: median {statistics.median(seconds):.3f} s, longest {max(seconds):.3f} s (wanted < 0.5)")


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A new folder that is the working folder within."""
    before, folder = Path.cwd(), Path(tempfile.mkdtemp(prefix="smart-tuner-bench-"))
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def logging_cost() -> None:
    """What logging everything costs an iteration: demo training as a study does it, with the tracker, in a process of
    its own that tells over a pipe; and in this process, with a tracker that drops everything.
    """
    from benchmarks.demo_corpus import prepare_demo
    from smart_tuner.execution.in_process import InThisProcess
    from smart_tuner.execution.processes import Processes
    from smart_tuner.execution.recorder import MlflowRecorder
    from smart_tuner.execution.slots import find_slots
    from smart_tuner.paths import StudyFolder
    from smart_tuner.settings.settings import load_settings
    from smart_tuner.tracking import machine
    from smart_tuner.tracking.tracker import Dataset, Tracker
    from smart_tuner.training.run import train_trial
    from smart_tuner.trial import Trial

    slots = find_slots(torch.device("cpu"), 1)
    with working_folder() as folder, contextlib.ExitStack() as stack:
        settings = load_settings("demo", None, ["hparams.budget=100it", "tracking.checkpoint_seconds=1000"])
        examples = prepare_demo(settings, folder)
        train = partial(train_trial, examples=examples)
        logged, dropped = StudyFolder(folder / "logged"), StudyFolder(folder / "dropped")
        parent = Tracker(None, "Default").open_study("bench", {})
        dataset = Dataset(name="bench", digest=examples.digest, source="bench", facts={})
        extras = machine.find_extras("true")
        sides: dict[str, tuple[Executor, MlflowRecorder]] = {
            "logged": (Processes(train, slots, logged), MlflowRecorder(parent, dataset, logged, extras)),
            "dropped": (
                InThisProcess(train, slots[0], dropped),
                MlflowRecorder(DroppingStudy(), dataset, dropped, extras),  # type: ignore[arg-type]
            ),
        }
        seconds: dict[str, list[list[float]]] = {name: [] for name in sides}
        for executor, _ in sides.values():
            stack.enter_context(contextlib.closing(executor))
        for number in range(4):
            for name, (executor, recorder) in sides.items():
                trial = Trial(number=number, origin="baseline", settings=settings)
                seconds[name].append(durations(executor, recorder, trial))
    costs = []
    for with_log, without in zip(seconds["logged"], seconds["dropped"], strict=True):  # the same batches, pair by pair
        costs += [a / b - 1 for a, b in zip(with_log[5:], without[5:], strict=True)]
    totals = [sum(a) / sum(b) - 1 for a, b in zip(seconds["logged"], seconds["dropped"], strict=True)]
    print(
        f"logging: median cost of an iteration {statistics.median(costs):+.2%} over {len(costs)} pairs; whole runs "
        f"{', '.join(f'{cost:+.2%}' for cost in totals)} (wanted < 2 %)"
    )


def durations(executor: "Executor", recorder: "MlflowRecorder", trial: "Trial") -> list[float]:
    """Seconds of each iteration of a trial."""
    from smart_tuner.progress import Entry
    from smart_tuner.trial import Ended

    seconds: list[float] = []
    recorder.open(trial)
    executor.start(trial)
    while True:
        arrived = executor.wait(1.0)
        event = recorder.write(trial, arrived[1]) if arrived is not None else None
        if isinstance(event, Ended):
            if event.outcome is not None:
                raise event.outcome
            return seconds
        if isinstance(event, Entry) and event.progress.kind == "training":
            seconds.append(event.progress.metrics["duration"])
        elif isinstance(event, Entry):
            executor.answer(trial.number, None)


class DroppingStudy:
    """Stands where the parent run stands, and keeps nothing."""

    def open_trial(self, *_: object) -> "DroppingRun":
        return DroppingRun()


class DroppingRun:
    """Stands where a trial's run stands, and drops everything."""

    link, extras = "", SimpleNamespace(on=False, plots=False, found="")

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *given, **named: None


def large_corpus() -> None:
    """13,000 different utterances of LJSpeech's lengths: what check and cache take, how soon a later start trains."""
    from benchmarks.demo_corpus import quiet
    from benchmarks.large_corpus import build_large_corpus
    from benchmarks.measuring import run_measured
    from smart_tuner.speech import demo

    with working_folder() as folder:
        hours = build_large_corpus(demo.build(folder, "en", quiet), folder / "big", CLIPS)
        program = [sys.executable, str(ROOT / "smart_tuner_main.py")]
        checked = run_measured([*program, "--mode", "check", "--data", "big"])
        train = [*program, "--mode", "train", "--data", "big", "--preset", "demo", "--budget", "3it", "--study"]
        first = [first_iteration_seconds([*train, f"s{start}"]) for start in range(3)]
        print(
            f"large corpus: {CLIPS:,} different utterances, {hours:.1f} h, checked and cached in {checked} "
            f"(wanted < 240 s and 2 GB, all processes together); later starts reach iteration 1 after "
            f"{', '.join(f'{one:.1f}' for one in first)} s (wanted < 15)"
        )


def first_iteration_seconds(command: list[str]) -> float:
    """Time from the start of the program to the line about its first iteration."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "iteration 1 " in line:
                seconds = time.perf_counter() - started
                run.stdout.read()
                return seconds
    raise RuntimeError(f"{command} never reached its first iteration")


BENCHMARKS = {
    "help": help_time,
    "logging": logging_cost,
    "large_corpus": large_corpus,
}

if __name__ == "__main__":
    for chosen_name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[chosen_name]()
