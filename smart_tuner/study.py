"""Optuna: studies, their trials and what is concluded from them. The only file that imports optuna."""

import statistics
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from smart_tuner.errors import Interrupted, Outage, StorageError, TrackingError, TrialStopped
from smart_tuner.experiment import Trial
from smart_tuner.progress import Progress
from smart_tuner.settings import Settings

OBJECTIVE = "validation.loss"
STORAGE_FAILURES = (SQLAlchemyError, OSError, ImportError, RuntimeError)
"""When a storage is opened: RuntimeError for another program's tables, ImportError for a driver that is missing."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""A trial that failed is tried again, so it does not count."""


class Executor(Protocol):
    """Trains a trial, here or elsewhere; raises a Verdict or a Fault when the trial does not end by itself."""

    def __call__(self, trial: Trial, /) -> Iterator[Progress]:
        """Yield all progress of the trial."""
        ...


@contextmanager
def translated() -> Iterator[None]:
    """Turn a failure of the study's storage in the middle of a trial into TrackingError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as problem:
        raise TrackingError(f"The study storage failed: {str(problem).splitlines()[0]}.") from problem


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished trial."""

    number: int
    origin: str
    state: str
    seed: int
    loss: float | None
    """Lowest validation.loss, None when there was no validation."""
    reason: str


class TrainStudy:
    """A study of known hyperparameters: the given ones, then replicates with the next seeds."""

    def __init__(self, name: str, storage: str, settings: Settings, corpus_digest: str) -> None:
        """Open or create the study. Raises StorageError for a store that fails and a study made with other settings."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings = settings
        try:
            self.study = optuna.create_study(
                storage=storage, study_name=name, direction="minimize", load_if_exists=True
            )
            self._recognise({"settings": settings.to_yaml(), "digest": settings.digest(), "corpus": corpus_digest})
        except STORAGE_FAILURES as problem:
            first = str(problem).splitlines()[0]
            raise StorageError(f"The study storage {storage} cannot be used: {first}") from problem

    def _recognise(self, own: dict[str, str]) -> None:
        known = self.study.user_attrs
        for key, value in own.items():
            if key not in known:
                self.study.set_user_attr(key, value)
        if known.get("digest", own["digest"]) != own["digest"]:
            before, after = set(known["settings"].splitlines()), set(own["settings"].splitlines())
            changed = "; ".join(sorted(line.strip() for line in before - after)) or "an earlier version's settings"
            raise StorageError(
                f"Study {self.study.study_name!r} was made with other settings ({changed}); "
                "use those, or name another study with --study."
            )
        if known.get("corpus", own["corpus"]) != own["corpus"]:
            raise StorageError(
                f"Study {self.study.study_name!r} was made on another corpus "
                f"(digest {known['corpus']}, now {own['corpus']}); "
                "name another study with --study."
            )

    def results(self) -> list[Result]:
        """The finished trials, in order."""
        return [_result(trial) for trial in self.study.get_trials(deepcopy=False, states=FINISHED)]

    def run(self, trials: int, execute: Executor) -> Generator[tuple[Trial, Progress | Result]]:
        """Train until the study holds this many finished trials, yielding all progress and each trial's result.

        An interrupted trial stays open in Optuna (a closed one cannot be taken up again); the next call continues it.
        Raises Interrupted and Fault.
        """
        while (done := len(self.results())) < trials:
            open_trials = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            frozen = open_trials[0] if open_trials else self._ask(done)
            trial = Trial(
                number=frozen.number,
                origin=frozen.user_attrs["trial.origin"],
                settings=self.settings.replace(seed=frozen.user_attrs["seed"]),
            )
            for progress in self._execute(frozen, trial, execute):
                yield trial, progress
            yield trial, next(result for result in self.results() if result.number == trial.number)

    def _ask(self, done: int) -> FrozenTrial:
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        seed = self.settings.hparams.seed + done
        again = any(trial.user_attrs.get("seed") == seed for trial in failed)
        attributes = {"trial.origin": "retried" if again else "replicate" if done else "baseline", "seed": seed}
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # or a kill left it waiting
            self.study.enqueue_trial({}, user_attrs=attributes)  # so that a trial never exists without them
        asked = self.study.ask()
        return self.study.get_trials(deepcopy=False)[asked.number]

    def _execute(self, frozen: FrozenTrial, trial: Trial, execute: Executor) -> Iterator[Progress]:
        live = optuna.trial.Trial(self.study, frozen._trial_id)
        losses = dict(frozen.intermediate_values)
        try:
            for progress in execute(trial):
                if progress.kind == "validation":
                    if progress.utterances in losses:
                        continue  # told again by a trial that goes on
                    losses[progress.utterances] = progress.metrics[OBJECTIVE]
                    with translated():
                        live.report(progress.metrics[OBJECTIVE], step=progress.utterances)
                yield progress
        except TrialStopped as verdict:
            live.set_user_attr("stop.reason", str(verdict))
            self.study.tell(frozen.number, state=TrialState.PRUNED)
            return
        except (Interrupted, Outage):
            raise  # the trial stays open: it goes on when the user, the disk or the store is back
        except Exception as failure:
            live.set_user_attr("error", str(failure) or type(failure).__name__)
            self.study.tell(frozen.number, state=TrialState.FAIL)
            raise
        self.study.tell(frozen.number, min(losses.values()))


def _result(trial: FrozenTrial) -> Result:
    losses = trial.intermediate_values.values()
    return Result(
        number=trial.number,
        origin=trial.user_attrs["trial.origin"],
        state="complete" if trial.state is TrialState.COMPLETE else "stopped",
        seed=trial.user_attrs["seed"],
        loss=min(losses) if losses else None,
        reason=trial.user_attrs.get("stop.reason", ""),
    )


@dataclass(frozen=True)
class Summary:
    """What a train study says."""

    best: Result | None
    mean: float | None
    spread: float | None
    """Sample standard deviation over complete trials: the noise floor that a tuned gain has to beat."""


def summarise(results: list[Result]) -> Summary:
    """Best trial, mean and spread of the lowest validation losses of complete trials."""
    complete = [(result.loss, result) for result in results if result.state == "complete" and result.loss is not None]
    if not complete:
        return Summary(None, None, None)
    losses = [loss for loss, _ in complete]
    _, best = min(complete, key=lambda pair: pair[0])
    return Summary(best, statistics.mean(losses), statistics.stdev(losses) if len(losses) > 1 else None)
