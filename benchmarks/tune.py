"""Is the tuner worth it: `python -m benchmarks.tune [--minutes 8] [--seeds 3] [--jobs 2]`, or make bench-tune.

Three searches of the space demo on the demo corpus, with the same trainer and the same wall time, one thread
each: ours; plain Optuna (TPE and its median pruner, fed the same validation losses at equal iterations, no health
watch); random search without pruning. Prints the best feasible validation.loss over time and when ours came as low as
plain Optuna ended. Neither side writes to MLflow; every search starts with the settings' own values.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import optuna
import torch

from benchmarks.demo_corpus import prepare_demo
from smart_tuner.errors import Interrupted, TrialStopped
from smart_tuner.execution.in_process import InThisProcess
from smart_tuner.execution.slots import Slot
from smart_tuner.paths import StudyFolder, TrialFolder
from smart_tuner.progress import Entry, Progress
from smart_tuner.settings.settings import Settings, load_settings
from smart_tuner.space.file import load_space
from smart_tuner.space.shipped import locate_space
from smart_tuner.space.space import Space
from smart_tuner.speech.corpus import Examples
from smart_tuner.study.loop import run_trials
from smart_tuner.study.tune import TuneStudy
from smart_tuner.training.run import make_trainer, train_trial
from smart_tuner.training.trainer import Trainer
from smart_tuner.trial import Event, Trial

CPU = torch.device("cpu")
MARKS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the wall time at which the best so far is printed."""


@dataclass
class Log:
    """What a search has found, and when."""

    started: float = field(default_factory=time.monotonic)
    found: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and the validation.loss of a validation that meets the constraints."""
    trials: int = 0

    def note(self, space: Space, progress: Progress) -> None:
        """Take a validation."""
        if all(constraint.violation(progress.metrics) <= 0 for constraint in space.constraints):
            self.found.append((time.monotonic() - self.started, progress.metrics["validation.loss"]))

    def best_by(self, seconds: float) -> float | None:
        """The lowest loss found until then."""
        return min((loss for at, loss in self.found if at <= seconds), default=None)

    def reached(self, loss: float) -> float | None:
        """When a loss as low as this was found first."""
        return next((at for at, found in sorted(self.found) if found <= loss), None)


class Listener:
    """A Recorder that writes to no store, and notes every validation in the log."""

    def __init__(self, log: Log, space: Space) -> None:
        self.log, self.space = log, space

    def open(self, trial: Trial) -> None:
        self.log.trials += 1

    def write(self, trial: Trial, event: Event) -> Event:
        if isinstance(event, Entry) and event.progress.kind == "validation":
            self.log.note(self.space, event.progress)
        return event

    def has_failed(self, trial: Trial) -> bool:
        return False

    def close(self) -> None:
        pass


def ours(space: Space, settings: Settings, examples: Examples, folder: Path, seconds: float) -> Log:
    """The search of this project, without the confirmation that follows it."""
    log, searched = Log(), replace(space, confirm=0)
    study = TuneStudy("ours", f"sqlite:///{folder}/ours.db", searched, settings, "bench", len(examples.train), 10_000)
    executor = InThisProcess(partial(train_trial, examples=examples), Slot("cpu", 1), StudyFolder(folder))

    def why_stop() -> Literal["budget"] | None:
        return "budget" if time.monotonic() >= log.started + seconds else None

    try:
        for _ in run_trials(study, executor, Listener(log, space), why_stop):
            pass
    except Interrupted:
        pass  # the time is up
    return log


def plain(
    space: Space, settings: Settings, examples: Examples, folder: Path, seconds: float, *, random: bool = False
) -> Log:
    """What a script with Optuna does: median pruner at equal iterations; or random search, nothing pruned."""
    log, seed = Log(), settings.hparams.seed
    sampler = optuna.samplers.RandomSampler(seed=seed) if random else optuna.samplers.TPESampler(seed=seed)
    pruner = optuna.pruners.NopPruner() if random else optuna.pruners.MedianPruner()
    study = optuna.create_study(storage=f"sqlite:///{folder}/plain.db", sampler=sampler, pruner=pruner)
    study.enqueue_trial(space.own(settings))
    for number in count():
        trial = study.ask()
        chosen = space.apply(settings, space.suggest(trial)).replace(seed=seed + number)
        log.trials += 1
        losses = []
        try:
            for progress in trainer(chosen, examples, folder / f"{number:04d}").steps():
                if time.monotonic() - log.started >= seconds:
                    return log
                if progress.kind == "validation":
                    log.note(space, progress)
                    losses.append(progress.metrics["validation.loss"])
                    trial.report(losses[-1], step=progress.step)
                    if trial.should_prune():
                        break
        except TrialStopped:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)  # a loss that is not finite, as a script has it
            continue
        ended = progress.fraction >= 1
        state = optuna.trial.TrialState.COMPLETE if ended else optuna.trial.TrialState.PRUNED
        study.tell(trial, min(losses) if ended else None, state=state)
    raise AssertionError("a search ends by its time")


def trainer(settings: Settings, examples: Examples, folder: Path) -> Trainer:
    """The same trainer for all, without the free-running evaluations that a script has not."""
    folder.mkdir(parents=True)
    silent = replace(settings, tracking=replace(settings.tracking, freerun_evaluations=0))
    return make_trainer(Trial(number=0, origin="sampled", settings=silent), examples, CPU, TrialFolder(folder))


Search = Callable[[Space, Settings, Examples, Path, float], Log]
SEARCHES: dict[str, Search] = {"ours": ours, "plain Optuna": plain, "random": partial(plain, random=True)}


def prepare(files: Path, seed: int) -> tuple[Space, Settings, Examples]:
    """Space, settings of a trial, and the demo corpus with its mels."""
    base = load_settings("demo", None, [f"hparams.seed={seed}"])
    space = load_space(locate_space("demo"), base)
    settings = base.replace(budget=space.budget or base.hparams.budget)
    return space, settings, prepare_demo(settings, files)


def search(name: str, seed: int, files: Path, seconds: float) -> tuple[str, int, Log]:
    """One search in a process of its own."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with TemporaryDirectory(prefix="smart-tuner-bench-") as folder:
        log = SEARCHES[name](*prepare(files, seed), Path(folder), seconds)
    return name, seed, log


def row(name: str, seed: int, log: Log, seconds: float) -> str:
    """A search's line in the table."""
    bests = [log.best_by(share * seconds) for share in MARKS]
    shown = " | ".join("none" if best is None else f"{best:.4f}" for best in bests)
    return f"| {name} | {seed} | {log.trials} | {shown} |"


def main() -> None:
    """Run all searches, so many at a time, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--files", type=Path, default=Path("smart_tuner_files"))
    chosen = parser.parse_args()
    seconds, seeds = chosen.minutes * 60, [1234 + 1000 * number for number in range(chosen.seeds)]
    prepare(chosen.files, seeds[0])  # the corpus is spoken once, before anything is timed
    print("| search | seed | trials | " + " | ".join(f"best by {share:.0%}" for share in MARKS) + " |", flush=True)
    logs: dict[tuple[str, int], Log] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.jobs, mp_context=context) as pool:
        jobs = [pool.submit(search, name, seed, chosen.files, seconds) for seed in seeds for name in SEARCHES]
        for job in jobs:
            name, seed, log = job.result()
            logs[name, seed] = log
            print(row(name, seed, log, seconds), flush=True)
    shares = []
    for seed in seeds:
        target = logs["plain Optuna", seed].best_by(seconds)
        when = None if target is None else logs["ours", seed].reached(target)
        took = None if target is None else logs["plain Optuna", seed].reached(target)
        if took is not None:
            shares.append(math.inf if when is None else when / took)  # never as low: no seed is left out
        shown = [None if at is None else round(at) for at in (took, when)]
        print(
            json.dumps(
                {"seed": seed, "plain Optuna's best": target, "found after s": shown[0], "ours after s": shown[1]}
            )
        )
    if shares:
        print(f"ours took {statistics.median(shares):.2f} of plain Optuna's time (median; wanted 0.33): {shares}")


if __name__ == "__main__":
    main()
