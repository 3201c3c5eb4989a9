"""Why the pruner finds a trial hopeless, in numbers and in words."""

import statistics
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from smart_tuner.errors import TrialStopped
from smart_tuner.progress import Progress
from smart_tuner.space.space import Pruner, Space


def hopeless(
    space: Space, trials: Sequence[FrozenTrial], number: int, rung: int, progress: Progress, value: float
) -> TrialStopped:
    """The verdict on a trial whose first objective has this value at a rung, beside what the others had there."""
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
        f"{rung:,} utterances, and {beside}. Rule {pruner.name}: {rule(pruner)}."
    )
    return TrialStopped(
        sentence,
        kind="pruner",
        rule=pruner.name,
        step=progress.step,
        utterances=progress.utterances,
        observed=observed,
        threshold=rule(pruner),
        window=f"the validation at {rung:,} utterances",
        series=(objective.metric,),
    )


def rule(pruner: Pruner) -> str:
    """Which trials a pruner lets go on."""
    return {
        "asha": f"the best 1 in {pruner.reduction_factor} of those that have come so far go on",
        "hyperband": f"the best 1 in {pruner.reduction_factor} of those of its bracket that have come so far go on",
        "median": "those no worse than the median of complete trials go on",
        "percentile": f"those among the best {pruner.percentile:g} % of complete trials go on",
        "patient": f"those that have improved within their last {pruner.patience + 1} comparisons go on",
        "none": "all go on",
    }[pruner.name]
