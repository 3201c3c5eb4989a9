"""Pruners by the names that a search space gives them, and why they find a trial hopeless."""

import statistics
from collections.abc import Callable, Sequence

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.trial import FrozenTrial

from smart_tuner.errors import SettingsError, TrialStopped, Verdict
from smart_tuner.progress import Progress
from smart_tuner.space.space import Pruner, Space
from smart_tuner.study.samplers import quiet_optuna

Maker = Callable[[Pruner, Sequence[int]], BasePruner]
MAKERS: dict[str, Maker] = {
    # of the trials that reached a rung so far, this one included, the best 1 in reduction_factor go on, each judged
    # when it arrives and never again. With fewer than 2 * reduction_factor of them that is the best one alone, so early
    # trials are judged harshly: the second goes on only if it beats the first. The first rung comes after the warm-up
    # for that reason, and the audit measures what it costs
    "asha": lambda pruner, rungs: SuccessiveHalvingPruner(
        min_resource=rungs[0], reduction_factor=pruner.reduction_factor
    ),
    # the same, but each trial (by its number) starts to be judged at another rung; one beyond the last rung, so that
    # rounding in its logarithm loses none
    "hyperband": lambda pruner, rungs: HyperbandPruner(
        min_resource=rungs[0], max_resource=rungs[-1] + 1, reduction_factor=pruner.reduction_factor
    ),
    # compared with complete trials, once there are startup_trials of them
    "median": lambda pruner, rungs: PercentilePruner(50.0, n_startup_trials=pruner.startup_trials),
    "percentile": lambda pruner, rungs: PercentilePruner(pruner.percentile, n_startup_trials=pruner.startup_trials),
    # compared with nothing but itself, patience rungs ago
    "patient": lambda pruner, rungs: PatientPruner(None, patience=pruner.patience),
    "none": lambda pruner, rungs: NopPruner(),
}


def make_pruner(space: Space, rungs: Sequence[int]) -> BasePruner:
    """The space's pruner, which compares trials at the rungs (utterances). Raises SettingsError for an unknown one."""
    if space.pruner.name not in MAKERS:
        raise SettingsError(f"The pruner must be one of {', '.join(MAKERS)}; received {space.pruner.name!r}.")
    if not rungs:
        return NopPruner()
    with quiet_optuna():
        return MAKERS[space.pruner.name](space.pruner, rungs)


def explain_hopeless(
    space: Space, trials: Sequence[FrozenTrial], number: int, rung: int, progress: Progress, value: float
) -> TrialStopped:
    """The stop of a trial whose first objective has this value at a rung, beside what the others had there."""
    objective, pruner = space.objectives[0], space.pruner
    others = [
        trial.intermediate_values[rung]
        for trial in trials
        if trial.number != number and rung in trial.intermediate_values
    ]
    observed = {objective.metric: value, "rung": float(rung), "trials": float(len(others))}
    beside = "no other trial has come there yet"
    if others:
        best = min(others) if objective.direction == "minimize" else max(others)
        median = statistics.median(others)
        observed |= {"best": best, "median": median}
        beside = f"{len(others)} other trial(s) had a best of {best:.4g} and a median of {median:.4g} there"
    sentence = (
        f"Stopped by the pruner at iteration {progress.step}: {objective.metric} is {value:.4g} at the comparison at "
        f"{rung:,} utterances, and {beside}. Rule {pruner.name}: {pruner.goes_on}."
    )
    return TrialStopped(
        Verdict(
            kind="pruner",
            rule=pruner.name,
            sentence=sentence,
            step=progress.step,
            utterances=progress.utterances,
            observed=observed,
            threshold=pruner.goes_on,
            window=f"the validation at {rung:,} utterances",
        )
    )
