"""How trials share a machine: `python -m benchmarks.workers [throughput] [long]`.

throughput: 30 short trials on sqlite, two workers against one, one thread each (wanted: 1.6 times, no lock error).
long: a study of 500 tiny trials: the parent's memory, and the time from one trial's end to the next one's first
iteration, around trial 500 against around trial 20 (wanted: within 20 %).
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil

from benchmarks.kill import MAIN, TINY
from smart_tuner.training import journal

SPACE = """\
budget: {budget}
objective: {{metric: validation.loss, direction: minimize}}
parameters:
  hparams.learning_rate: {{type: float, low: 1.0e-3, high: 1.0e-2, log: true}}
  hparams.guide_weight: {{type: float, low: 0.1, high: 10.0, log: true}}
sampler: {sampler}
pruner: none
confirm: 0
"""
AROUND = 10
"""Trials before the one looked at whose median counts."""


def run(folder: Path, study: str, trials: int, workers: int, sets: dict[str, str]) -> Iterator[psutil.Process]:
    """Start a search and yield its process every half second while it runs. Raises when it fails."""
    words = [text for name, value in sets.items() for text in ("--set", f"{name}={value}")]
    options = ["--mode", "tune", "--trials", str(trials), "--space", str(folder / f"{study}.yaml"), "--study", study]
    command = [sys.executable, str(MAIN), *options, "--workers", str(workers), *words]
    with (folder / f"{study}.log").open("wb") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        while process.poll() is None:
            yield psutil.Process(process.pid)
            time.sleep(0.5)
    said = (folder / f"{study}.log").read_text()
    if process.returncode or "locked" in said:
        raise RuntimeError(f"{study} ended with exit code {process.returncode}:\n{said[-2000:]}")


def trials_of(folder: Path, study: str) -> list[optuna.trial.FrozenTrial]:
    """A study's trials."""
    return optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/smart_tuner.db").get_trials()


def throughput(folder: Path) -> None:
    """30 short trials by one worker and by two."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for workers in rates:
        study = f"short-{workers}"
        (folder / f"{study}.yaml").write_text(SPACE.format(budget="96utt", sampler="random"))
        for _ in run(folder, study, 30, workers, {"tracking.enhanced": "false"}):
            pass
        trials = trials_of(folder, study)
        ended = max(one.datetime_complete.timestamp() for one in trials if one.datetime_complete)
        seconds = ended - min(one.datetime_start.timestamp() for one in trials if one.datetime_start)
        rates[workers].append(30 / seconds)
        print(f"{workers} worker(s): 30 trials in {seconds:.0f} s", flush=True)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"two workers: {statistics.median(ratios):.2f} times the trials of one (pairs {ratios}; wanted 1.6)")


def long(folder: Path) -> None:
    """500 tiny trials, one worker."""
    study, memory = "long", dict[int, float]()
    (folder / f"{study}.yaml").write_text(SPACE.format(budget="32utt", sampler="tpe"))
    files = folder / "smart_tuner_files" / "studies" / study
    for process in run(folder, study, 500, 1, {**TINY, "tracking.enhanced": "false"}):
        begun = len(list(files.glob("trial-*"))) if files.exists() else 0
        memory[begun] = process.memory_info().rss / 2**20
    gaps = {}
    trials = trials_of(folder, study)
    for before, trial in itertools.pairwise(trials):
        first = journal.read_journal(files / f"trial-{trial.number:04d}" / "metrics.jsonl")[0]
        assert before.datetime_complete is not None
        began = first.milliseconds / 1000 - first.progress.metrics["duration"]
        gaps[trial.number] = began - before.datetime_complete.timestamp()
    for number in (20, 100, 250, 499):
        gap = statistics.median(gaps[one] for one in range(number - AROUND, number + 1))
        size = statistics.median(value for begun, value in memory.items() if abs(begun - number) <= AROUND)
        print(f"trial {number}: starts {gap:.3f} s after the one before, parent {size:.0f} MiB", flush=True)


def main() -> None:
    """Run what is named, or all."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chosen = sys.argv[1:] or ["throughput", "long"]
    with tempfile.TemporaryDirectory(prefix="smart-tuner-workers-") as folder:
        for name in chosen:
            {"throughput": throughput, "long": long}[name](Path(folder))


if __name__ == "__main__":
    main()
