"""Trials of an earlier search, taken over where the spaces agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial

from smart_tuner.errors import SettingsError, StorageError
from smart_tuner.space.space import Category, Parameter, Space
from smart_tuner.study.agenda import TAKEN_OVER, is_own
from smart_tuner.study.record import FINISHED, READY

MUST_AGREE = ("objective", "corpus", "budget", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a warm start did."""

    taken: int
    left: dict[str, int]
    """Trials left out, by reason."""

    def __str__(self) -> str:
        left = "".join(f"; left out {count} {reason}" for reason, count in self.left.items())
        return f"{self.taken} trial(s) taken over{left}"


def take_over(study: optuna.Study, other: optuna.Study, space: Space) -> Taken:
    """Add the finished trials of another study, each once. Raises StorageError for one that does not compare."""
    require_comparable(study.user_attrs, other)
    before = {trial.user_attrs.get("taken.from") for trial in study.get_trials(deepcopy=False)}
    done = f"taken.{other.study_name}"
    if done in study.user_attrs:
        return Taken(**study.user_attrs[done])
    taken, left = 0, dict[str, int]()
    for trial in other.get_trials(deepcopy=False, states=FINISHED):
        if not is_own(trial):
            continue  # it was taken over itself
        reason = misfit(space, trial)
        if reason:
            left[reason] = left.get(reason, 0) + 1
            continue
        taken += 1
        source = f"{other.study_name}/{trial.number}"
        if source not in before:  # or a kill came in between
            study.add_trial(translated_trial(space, trial, source))
    study.set_user_attr(done, {"taken": taken, "left": left})
    return Taken(taken=taken, left=left)


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


def misfit(space: Space, trial: FrozenTrial) -> str:
    """Why a trial does not belong to the space; empty when it does."""
    values: Mapping[str, Category] = trial.user_attrs["values"]
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


def translated_trial(space: Space, trial: FrozenTrial, source: str) -> FrozenTrial:
    """The trial as one of this study, with today's ranges and constraints."""
    known = trial.user_attrs
    values = known["values"]
    return create_trial(
        state=trial.state,
        values=trial.values,
        params=values,
        distributions={name: distribution(space.by_name[name]) for name in values},
        user_attrs={"trial.origin": TAKEN_OVER, "values": values, "taken.from": source, READY: known[READY]},
        intermediate_values=trial.intermediate_values,
        constraints=violations(space, known.get("best", {}).get("metrics")),
    )


def violations(space: Space, metrics: Mapping[str, float] | None) -> dict[str, float] | None:
    """How far a trial is from today's constraints; None when it did not log what they name."""
    if metrics is None or not space.constraints:
        return None
    try:
        return {str(constraint): constraint.violation(metrics) for constraint in space.constraints}
    except SettingsError:
        return None  # the sampler then takes it for feasible


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter in Optuna's words."""
    if parameter.type == "categorical":
        return CategoricalDistribution(parameter.choices)
    if parameter.type == "int":
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


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
