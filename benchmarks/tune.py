"""Is the tuner worth it: `python -m benchmarks.tune [--minutes 8] [--seeds 3] [--jobs 2]`, or make bench-tune.

Three searches of search_spaces/demo.yaml on the demo corpus, with the same trainer and the same wall time, one thread
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
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import torch

from smart_tuner import settings as settings_module
from smart_tuner.errors import Interrupted, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.journal import Entry
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings
from smart_tuner.space import file as space_file
from smart_tuner.space.space import Space
from smart_tuner.speech import corpus, demo
from smart_tuner.speech.cache import MelCache
from smart_tuner.speech.corpus import Examples
from smart_tuner.study import loop
from smart_tuner.study.tune import TuneStudy
from smart_tuner.trainer import Trainer
from smart_tuner.training import Ended, Trial
from smart_tuner.workers import InThisProcess, Slot

SPACE = Path(__file__).parent.parent / "search_spaces" / "demo.yaml"
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


class Bare:
    """An executor of one slot that trains in this process and writes to no store."""

    slots = 1

    def __init__(self, examples: Examples, folder: Path, log: Log, space: Space) -> None:
        self.workers = InThisProcess(examples, Slot(CPU, 1), lambda number: folder / f"{number:04d}")
        self.log, self.space, self.trial = log, space, Trial(number=-1, origin="baseline", settings=Settings())
        self.told = False

    def start(self, trial: Trial) -> None:
        self.trial, self.told = trial, False
        self.log.trials += 1
        self.workers.start(trial)

    def wait(self, deadline: float | None) -> tuple[Trial, Progress | Finding | Ended]:
        while True:
            if deadline is not None and time.monotonic() >= deadline and not self.told:
                self.told = True
                self.workers.answer(self.trial.number, "budget")
            arrived = self.workers.wait(1.0)
            event = arrived[1] if arrived is not None else None
            if isinstance(event, Entry):
                if event.progress.kind == "validation":
                    self.log.note(self.space, event.progress)
                return self.trial, event.progress
            if isinstance(event, Finding | Ended):
                return self.trial, event

    def answer(self, trial: Trial, verdict: TrialStopped | None) -> None:
        self.workers.answer(trial.number, verdict)


def ours(space: Space, settings: Settings, examples: Examples, folder: Path, seconds: float) -> Log:
    """The search of this project, without the confirmation that follows it."""
    log, searched = Log(), replace(space, confirm=0)
    study = TuneStudy("ours", f"sqlite:///{folder}/ours.db", searched, settings, "bench", len(examples.train), 10_000)
    try:
        for _ in loop.run(study, Bare(examples, folder, log, space), log.started + seconds):
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
    """The same trainer for all."""
    folder.mkdir(parents=True)
    symbols = examples.corpus.symbols.symbols
    return Trainer(settings, examples.train, examples.validation, symbols, examples.mean_mel, CPU, folder)


SEARCHES = {"ours": ours, "plain Optuna": plain, "random": partial(plain, random=True)}


def opened(files: Path, seed: int) -> tuple[Space, Settings, Examples]:
    """Space, settings of a trial, and the demo corpus with its mels."""
    base = settings_module.load("demo", None, [f"hparams.seed={seed}"])
    space = space_file.load(SPACE, base)
    settings = base.replace(budget=space.budget or base.hparams.budget)
    source = demo.build(files / "demo", "en", lambda done, total: None)
    cache = MelCache(files / "mels", settings.speech)
    return space, settings, corpus.prepare(corpus.read([source], settings), settings, cache, lambda done, total: None)


def search(name: str, seed: int, files: Path, seconds: float) -> tuple[str, int, Log]:
    """One search in a process of its own."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with TemporaryDirectory(prefix="smart-tuner-bench-") as folder:
        log = SEARCHES[name](*opened(files, seed), Path(folder), seconds)
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
    opened(chosen.files, seeds[0])  # the corpus is spoken once, before anything is timed
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
