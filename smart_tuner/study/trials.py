"""What a study keeps of each trial in its storage: what it was made with, and what has come of it so far."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from smart_tuner.analysis.conclusions import best_trial
from smart_tuner.analysis.results import Result, TrialOutcome
from smart_tuner.errors import Interrupted, Outage, StorageError, TrialStopped, Verdict
from smart_tuner.progress import Origin, Progress

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""A trial that failed is tried again or passed over, so it does not count."""
RUN_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAIL: "FAILED"}
"""How the run of an ended trial has to end in MLflow."""
STAYS_OPEN = (Interrupted, Outage, StorageError)
"""Outcomes after which a trial goes on with the next session; StorageError: another process trains it."""


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What a trial was made with. It is one attribute of the trial: without it, it was never handed out."""

    origin: Origin
    seed: int
    values: dict[str, Any] = field(default_factory=dict)
    """The tuned values; in a train study, what repairs changed."""
    note: str = ""
    """Why it exists, for a person."""
    baseline: int | None = None
    """Its place among the baselines; 0 has the settings' own values."""
    protected: bool = False
    """The pruner does not stop it."""
    audited: bool = False
    """Doomed, it runs on, to learn whether the stop was right."""
    rungs: tuple[int, ...] = ()
    """Utterances at which it is compared."""
    planned: int = 0
    """Utterances that its budget holds; 0 when that is wall time, and in a train study."""
    confirms: Literal["best", "baseline", ""] = ""
    confirms_number: int | None = None
    """The trial that it trains again with another seed."""
    retry_of: int | None = None
    """The trial that failed, and that it tries again."""
    retry_depth: int = 0
    """How many tries have failed before it."""
    roll_back_to: int | None = None
    """The trial whose best checkpoint it starts from."""
    taken_from: str = ""
    """study/number of a warm start's trial."""

    def to_attributes(self) -> dict[str, Any]:
        """As kept in the trial's user_attrs; what is as by default is left out."""
        kept = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        plain = asdict(TrialPlan(origin=self.origin, seed=self.seed))
        always = ("origin", "seed")
        return {"plan": {name: value for name, value in kept.items() if name in always or value != plain[name]}}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> "TrialPlan | None":
        """What to_attributes kept; None when nothing was."""
        kept = attributes.get("plan")
        return None if kept is None else cls(**{**kept, "rungs": tuple(kept.get("rungs", ()))})


@dataclass(frozen=True, kw_only=True)
class BestValidation:
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


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What has come of a trial; each field is an attribute of the trial."""

    best: BestValidation | None = None
    spent: Spent = Spent()
    stop: Verdict | None = None
    """What stops it."""
    audit: Verdict | None = None
    """What would have stopped it, was it not audited."""
    audit_final: float | None = None
    """The first objective that an audited trial came to in the end."""
    doomed_at: int | None = None
    """The rung at which the pruner said stop, whatever came of that."""
    error: str = ""
    """What it failed by, in a sentence."""
    error_kind: str = ""
    """The class of that error: OutOfMemoryError."""
    retry: bool = False
    """Whether that is worth another try."""

    def to_attributes(self) -> dict[str, Any]:
        """As kept in the trial's user_attrs; what is as by default is left out."""
        plain, default = asdict(self), asdict(TrialRecord())
        return {name: value for name, value in plain.items() if value != default[name]}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> "TrialRecord":
        """What to_attributes kept."""
        kept = {spec.name: attributes[spec.name] for spec in fields(cls) if spec.name in attributes}
        for name, kind in {"best": BestValidation, "spent": Spent, "stop": Verdict, "audit": Verdict}.items():
            if name in kept:
                kept[name] = kind(**kept[name])
        return cls(**kept)


@dataclass(frozen=True)
class StudyTrial:
    """A trial that was handed out, as the storage has it."""

    frozen: FrozenTrial
    plan: TrialPlan

    @property
    def number(self) -> int:
        """Its place in the study, from 0."""
        return self.frozen.number

    @property
    def state(self) -> TrialState:
        """Optuna's word for what has become of it."""
        return self.frozen.state

    @cached_property
    def record(self) -> TrialRecord:
        """What has come of it."""
        return TrialRecord.from_attributes(self.frozen.user_attrs)

    @property
    def finished(self) -> bool:
        """Whether it has ended and counts."""
        return self.state in FINISHED

    @property
    def is_own(self) -> bool:
        """Whether this study handed it out, rather than taking it over from another."""
        return self.plan.origin != "warm-start"

    def result(self) -> Result:
        """An ended trial as plain data."""
        plan, record = self.plan, self.record
        audited = record.audit_final is not None
        verdict = record.audit if audited else record.stop
        best = record.best
        return Result(
            number=self.number,
            origin=plan.origin,
            state=self._outcome(),
            seed=plan.seed,
            reason=verdict.sentence if verdict is not None else record.error,
            fault=record.error_kind,
            value=best.value if best is not None else None,
            values=plan.values,
            metrics=best.metrics if best is not None else {},
            feasible=best.feasible if best is not None else True,
            rule=verdict.rule if verdict is not None else "",
            kind=verdict.kind if verdict is not None else "",
            judged_at=verdict.utterances if verdict is not None else 0,
            seconds=record.spent.seconds,
            utterances=record.spent.utterances,
            planned=plan.planned,
            rungs={rung: value for rung, value in self.frozen.intermediate_values.items() if rung in plan.rungs},
            confirms=plan.confirms,
            own=plan.baseline == 0,
        )

    def _outcome(self) -> TrialOutcome:
        if self.state is TrialState.PRUNED:
            return "audited" if self.record.audit is not None else "stopped"
        return "complete" if self.state is TrialState.COMPLETE else "failed"


def list_handed_out(trials: Iterable[FrozenTrial]) -> list[StudyTrial]:
    """The trials that have a plan, by number."""
    plans = ((trial, TrialPlan.from_attributes(trial.user_attrs)) for trial in trials)
    return [StudyTrial(trial, plan) for trial, plan in plans if plan is not None]


def list_own_results(trials: Iterable[StudyTrial], direction: str, states: Sequence[TrialState]) -> list[Result]:
    """A study's own trials in some states, by number; those that confirm what was the best once are called so."""
    chosen = [trial for trial in trials if trial.state in states and trial.is_own]
    results = [trial.result() for trial in chosen]
    best = best_trial(results, direction)
    confirmed = {trial.number: trial.plan.confirms_number for trial in chosen}
    return [
        replace(result, confirms="earlier")
        if result.confirms == "best" and (best is None or confirmed[result.number] != best.number)
        else result
        for result in results
    ]


def find_retried(trials: Iterable[StudyTrial]) -> set[int]:
    """Numbers of the failed trials that others try again."""
    return {trial.plan.retry_of for trial in trials if trial.plan.retry_of is not None}


def run_statuses(study: optuna.Study) -> dict[int, str]:
    """How each ended trial's run has to end in MLflow, by number."""
    return {
        trial.number: RUN_STATUS[trial.state] for trial in study.get_trials(deepcopy=False) if trial.state in RUN_STATUS
    }


class LiveTrial:
    """A trial in flight: what becomes of it is kept as it comes, so that a kill loses nothing."""

    def __init__(self, study: optuna.Study, trial: StudyTrial) -> None:
        # Optuna hands out a live trial only where it makes one; a trial that goes on is made from its id, as ask() does
        self.optuna = optuna.trial.Trial(study, trial.frozen._trial_id)
        self.number, self.plan, self.record = trial.number, trial.plan, trial.record
        self._kept = dict(trial.frozen.user_attrs)
        self._before = trial.record.spent
        self._spent = trial.record.spent
        """Written at each validation and in the end: not at every iteration."""
        self._reported = set(trial.frozen.intermediate_values)
        self._durations: list[float] = []

    @property
    def spent(self) -> Spent:
        """How far it has come."""
        return self._spent

    def update(self, **changes: Any) -> None:
        """Change fields of the record, in the storage too."""
        self.record = replace(self.record, **changes)
        for name, value in self.record.to_attributes().items():
            # a write to a database a field: only what is new, for every validation comes here
            if name in changes and self._kept.get(name) != value:
                self._kept[name] = value
                self.optuna.set_user_attr(name, value)

    def fail(self, failure: Exception, *, retry: bool = False) -> None:
        """Keep what it failed by, and whether it is tried again."""
        kind = type(failure).__name__
        self.update(error=str(failure) or kind, error_kind=kind, retry=retry)

    def is_replay(self, event: Progress | Verdict) -> bool:
        """Whether an earlier session told this; a trial that goes on tells its past again."""
        training = isinstance(event, Progress) and event.kind == "training"
        # by what the storage knew when this session began; the journal may hold more, which is news to the study
        return 0 < event.step <= (self._before.trained if training else self._before.validated)

    def add_iteration(self, progress: Progress) -> None:
        """Take an iteration: what it took is counted once, however often it is told."""
        duration = progress.metrics.get("duration", 0.0)
        self._durations.append(duration)
        if progress.step > self._spent.trained:
            self._spent = replace(
                self._spent,
                trained=progress.step,
                utterances=progress.utterances,
                seconds=self._spent.seconds + duration,
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
        best = self.record.best
        # False sorts before True: a feasible one wins, whatever it costs
        if best is None or (not feasible, cost) < (not best.feasible, best.cost):
            metrics = self.metrics(progress)
            self.update(
                best=BestValidation(
                    step=progress.step,
                    value=value,
                    cost=cost,
                    feasible=feasible,
                    metrics=metrics,
                    violations=violations,
                )
            )

    def end_validation(self, progress: Progress) -> None:
        """Keep that a validation was dealt with; last of all, so that after a kill the rest is done again."""
        self._spent = replace(
            self._spent,
            validated=max(self._spent.validated, progress.step),
            utterances=max(self._spent.utterances, progress.utterances),
            compared=max(self._spent.compared, progress.utterances),
        )
        self.save()

    def report(self, value: float, step: int) -> None:
        """Tell Optuna the first objective at so many utterances, once."""
        if step not in self._reported:
            self._reported.add(step)
            self.optuna.report(value, step)

    def has_reported(self, step: int) -> bool:
        """Whether Optuna knows the first objective at so many utterances."""
        return step in self._reported

    def save(self) -> None:
        """Keep how far the trial has come."""
        self.update(spent=self._spent)

    def stopped(self) -> TrialStopped | None:
        """What was kept of a stop, if it was."""
        return TrialStopped(self.record.stop) if self.record.stop is not None else None
