"""What is known about one trial, kept in the study's storage as it comes, so that a kill loses nothing."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.errors import Interrupted, Outage, StorageError, TrialStopped
from smart_tuner.health.watch import Finding
from smart_tuner.progress import Progress
from smart_tuner.study.results import Result, State

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""A trial that failed is tried again or passed over, so it does not count."""
RUN_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
STAYS_OPEN = (Interrupted, Outage, StorageError)
"""Outcomes after which a trial goes on with the next session; StorageError: another process trains it."""
READY = "seed"
"""The attribute that is written last: a trial without it was never handed out."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """A trial's best validation so far."""

    step: int
    value: float
    """The first objective."""
    cost: float
    """The same, lower is better."""
    feasible: bool
    metrics: dict[str, float]
    violations: dict[str, float]
    """By constraint; at most 0 where it holds."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """How far a trial has come."""

    trained: int = 0
    """Iterations."""
    validated: int = 0
    """Iteration of the last validation."""
    utterances: int = 0
    seconds: float = 0.0
    """Sum of the iterations' durations, each iteration once."""
    compared: int = 0
    """Utterances up to which the pruner has been asked."""


class Record:
    """A trial in flight: its best validation and what it has spent."""

    def __init__(self, study: optuna.Study, frozen: FrozenTrial) -> None:
        self.live = optuna.trial.Trial(study, frozen._trial_id)
        self.number, self.attributes = frozen.number, dict(frozen.user_attrs)
        self.reported = dict(frozen.intermediate_values)
        """The first objective by utterances, as Optuna has it."""
        self.best = Best(**self.attributes["best"]) if "best" in self.attributes else None
        self.spent = self.before = Spent(**self.attributes.get("spent", {}))
        self._durations: list[float] = []

    def known(self, event: Progress | Finding) -> bool:
        """Whether an earlier session told this; a trial that goes on tells its past again."""
        training = isinstance(event, Progress) and event.kind == "training"
        return 0 < event.step <= (self.before.trained if training else self.before.validated)

    def trained(self, progress: Progress) -> None:
        """Take an iteration."""
        duration = progress.metrics.get("duration", 0.0)
        self._durations.append(duration)
        if progress.step > self.spent.trained:
            self.spent = replace(
                self.spent,
                trained=progress.step,
                utterances=progress.utterances,
                seconds=self.spent.seconds + duration,
            )

    def metrics(self, progress: Progress) -> dict[str, float]:
        """A validation's metrics, with the median duration of the iterations so far."""
        typical = {"duration": statistics.median(self._durations)} if self._durations else {}
        return typical | progress.metrics

    def improve(
        self, progress: Progress, value: float, cost: float, violations: Mapping[str, float] | None = None
    ) -> None:
        """Keep a validation that is the best so far: a feasible one before one that is not, then the lower cost."""
        violations = dict(violations or {})
        feasible = all(violation <= 0 for violation in violations.values())
        best = self.best
        if best is None or (not feasible, cost) < (not best.feasible, best.cost):
            metrics = self.metrics(progress)
            self.best = Best(
                step=progress.step, value=value, cost=cost, feasible=feasible, metrics=metrics, violations=violations
            )
            self.write(best=asdict(self.best))

    def validated(self, progress: Progress) -> None:
        """Keep that a validation was dealt with; last of all, so that after a kill the rest is done again."""
        self.spent = replace(
            self.spent,
            validated=max(self.spent.validated, progress.step),
            utterances=max(self.spent.utterances, progress.utterances),
            compared=max(self.spent.compared, progress.utterances),
        )
        self.save()

    def report(self, value: float, step: int) -> None:
        """Tell Optuna the first objective at so many utterances, once."""
        if step not in self.reported:
            self.reported[step] = value
            self.live.report(value, step)

    def save(self) -> None:
        """Keep how far the trial has come."""
        self.write(spent=asdict(self.spent))

    def write(self, **attributes: Any) -> None:
        """Keep attributes."""
        for key, value in attributes.items():
            if self.attributes.get(key) != value:
                self.attributes[key] = value
                self.live.set_user_attr(key, value)

    def write_verdict(self, prefix: Literal["stop", "audit"], verdict: TrialStopped) -> None:
        """Keep why the trial is stopped, or would be; its rule last, so that half of it counts as none."""
        facts = {
            name: getattr(verdict, name)
            for name in ("kind", "step", "utterances", "observed", "threshold", "window", "series", "rule")
        }
        facts["series"] = list(verdict.series)
        self.write(**{f"{prefix}.reason": str(verdict)}, **{f"{prefix}.{name}": fact for name, fact in facts.items()})

    def verdict(self, prefix: Literal["stop", "audit"]) -> TrialStopped | None:
        """What was kept, if it was."""
        kept = self.attributes
        if f"{prefix}.rule" not in kept:
            return None
        names = ("kind", "step", "utterances", "observed", "threshold", "window", "rule")
        facts = {name: kept[f"{prefix}.{name}"] for name in names}
        return TrialStopped(kept[f"{prefix}.reason"], series=tuple(kept[f"{prefix}.series"]), **facts)


def statuses(study: optuna.Study) -> dict[int, str]:
    """How each ended trial's run has to end in MLflow, by number."""
    return {
        trial.number: RUN_STATUS[trial.state] for trial in study.get_trials(deepcopy=False) if trial.state in RUN_STATUS
    }


def is_ready(trial: FrozenTrial) -> bool:
    """Whether a trial has all its attributes: without them it was never handed out."""
    return READY in trial.user_attrs


def retried(trials: Iterable[FrozenTrial]) -> set[int]:
    """Numbers of the failed trials that others try again."""
    return {trial.user_attrs["retry.of"] for trial in trials if "retry.of" in trial.user_attrs and is_ready(trial)}


def sentence_of(failure: BaseException) -> str:
    """What is kept about a fault or a bug."""
    return str(failure) or type(failure).__name__


def result_of(trial: FrozenTrial) -> Result:
    """An ended trial as plain data."""
    known = trial.user_attrs
    prefix = "audit" if "audit.final" in known else "stop"
    best, spent = known.get("best", {}), known.get("spent", {})
    return Result(
        number=trial.number,
        origin=known["trial.origin"],
        state=_state(trial),
        seed=known["seed"],
        reason=known.get(f"{prefix}.reason", known.get("error", "")),
        loss=best.get("value"),
        values=known.get("values", {}),
        metrics=best.get("metrics", {}),
        feasible=best.get("feasible", True),
        rule=known.get(f"{prefix}.rule", ""),
        kind=known.get(f"{prefix}.kind", ""),
        judged_at=known.get(f"{prefix}.utterances", 0),
        seconds=spent.get("seconds", 0.0),
        utterances=spent.get("utterances", 0),
        planned=known.get("planned", 0),
        rungs={rung: value for rung, value in trial.intermediate_values.items() if rung in known.get("rungs", ())},
        confirms=known.get("confirms", ""),
        own=known.get("baseline") == 0,
    )


def _state(trial: FrozenTrial) -> State:
    if trial.state is TrialState.PRUNED:
        return "audited" if "audit.rule" in trial.user_attrs else "stopped"
    return "complete" if trial.state is TrialState.COMPLETE else "failed"
