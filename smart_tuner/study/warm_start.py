"""Trials of an earlier search, taken over where the spaces agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, create_trial

from smart_tuner.errors import SettingsError, StorageError
from smart_tuner.space.parameter import Category
from smart_tuner.space.space import Space
from smart_tuner.study.samplers import make_distribution
from smart_tuner.study.trials import FINISHED, StudyTrial, TrialPlan, list_handed_out

MUST_AGREE = ("objective", "corpus", "budget", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What a warm start did."""

    taken: int
    left: dict[str, int]
    """Trials left out, by reason."""

    def __str__(self) -> str:
        left = "".join(f"; left out {count} {reason}" for reason, count in self.left.items())
        return f"{self.taken} trial(s) taken over{left}"


def take_over(study: optuna.Study, other: optuna.Study, space: Space) -> TakenOver:
    """Add the finished trials of another study, each once. Raises StorageError for one that does not compare."""
    require_comparable(study.user_attrs, other)
    before = {trial.plan.taken_from for trial in list_handed_out(study.get_trials(deepcopy=False))}
    done = f"taken.{other.study_name}"
    if done in study.user_attrs:
        return TakenOver(**study.user_attrs[done])
    taken, left = 0, dict[str, int]()
    for trial in list_handed_out(other.get_trials(deepcopy=False, states=FINISHED)):
        if not trial.is_own:
            continue  # it was taken over itself
        reason = misfit(space, trial.plan.values)
        if reason:
            left[reason] = left.get(reason, 0) + 1
            continue
        taken += 1
        source = f"{other.study_name}/{trial.number}"
        if source not in before:  # or a kill came in between
            study.add_trial(translate_trial(space, trial, source))
    study.set_user_attr(done, {"taken": taken, "left": left})
    return TakenOver(taken=taken, left=left)


def require_comparable(mine: Mapping[str, Any], other: optuna.Study) -> None:
    """Raise StorageError when a study differs from one with these attributes in what makes trials comparable."""
    theirs = other.user_attrs
    for key in MUST_AGREE:
        if mine.get(key, "") != theirs.get(key, ""):
            was, now = theirs.get(key) or "none", mine.get(key) or "none"
            raise StorageError(
                f"Study {other.study_name!r} has another {key} ({was}; here {now}), so its trials "
                f"cannot be taken over; a warm start needs the same {', '.join(MUST_AGREE)}."
            )


def misfit(space: Space, values: Mapping[str, Category]) -> str:
    """Why values do not belong to the space; empty when they do."""
    try:
        wanted = space.suggest(_Given(values))
    except KeyError as missing:
        return f"without {missing.args[0]}"
    unknown = sorted(values.keys() - wanted.keys())
    if unknown:
        return f"with {', '.join(unknown)}"
    for name, value in values.items():
        if not space.by_name[name].contains(value):
            return f"{name} out of range"
    return ""


def translate_trial(space: Space, trial: StudyTrial, source: str) -> FrozenTrial:
    """The trial as one of this study, with today's ranges and constraints."""
    values, best = trial.plan.values, trial.record.best
    plan = TrialPlan(origin="warm-start", seed=trial.plan.seed, values=values, taken_from=source)
    return create_trial(
        state=trial.state,
        values=trial.frozen.values,
        params=values,
        distributions={name: make_distribution(space.by_name[name]) for name in values},
        user_attrs=plan.to_attributes(),
        intermediate_values=trial.frozen.intermediate_values,
        constraints=violations(space, best.metrics if best is not None else None),
    )


def violations(space: Space, metrics: Mapping[str, float] | None) -> dict[str, float] | None:
    """How far a trial is from today's constraints; None when it did not log what they name."""
    if metrics is None or not space.constraints:
        return None
    try:
        return {str(constraint): constraint.violation(metrics) for constraint in space.constraints}
    except SettingsError:
        return None  # the sampler then takes it for feasible


class _Given:
    """A Chooser that gives known values; KeyError for one that is not known."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The known number."""
        return float(self.values[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The known whole number."""
        return int(self.values[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The known choice."""
        return self.values[name]
