"""What studies tell of finished trials, as plain data."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

TrialOutcome = Literal["complete", "stopped", "audited", "failed"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A trial that has ended."""

    number: int
    origin: str
    """One of progress.Origin: baseline, sampled, replicate, repaired, retried."""
    state: TrialOutcome
    """audited: it was doomed and ran on; failed: told once, when it ends, and never among a study's results."""
    seed: int
    reason: str = ""
    """The sentence of the stop, of what doomed it, or of the fault; empty when the budget was spent in health."""
    fault: str = ""
    """The class of the error that it failed by: OutOfMemoryError; empty when it did not."""
    value: float | None = None
    """The first objective (of a train study: validation.loss) at the best validation; None when there was none."""
    values: dict[str, Any] = field(default_factory=dict)
    """The tuned values; in a train study, what repairs changed."""
    metrics: dict[str, float] = field(default_factory=dict)
    """All metrics at the best validation."""
    feasible: bool = True
    """Whether all constraints held at the best validation."""
    rule: str = ""
    """What stopped or doomed it: a health rule or the pruner's name."""
    kind: Literal["health", "pruner", ""] = ""
    judged_at: int = 0
    """Utterances at which that was decided."""
    seconds: float = 0.0
    """Training time of its iterations, validations not included."""
    utterances: int = 0
    """Utterances it has seen."""
    planned: int = 0
    """Utterances that its budget holds; 0 when the budget is wall time, and in a train study."""
    rungs: dict[int, float] = field(default_factory=dict)
    """The first objective at each rung that it reached, by the rung's utterances."""
    own: bool = False
    """Whether it was made to try the settings' own values: the baseline, or another try of it after a fault."""
    confirms: Literal["best", "baseline", "earlier", ""] = ""
    """What it trains again with another seed; earlier: what was the best before the search went on."""


@dataclass(frozen=True)
class TrainSummary:
    """What a train study says."""

    best: Result | None
    mean: float | None
    spread: float | None
    """Sample standard deviation over complete trials: the noise floor that a tuned gain has to beat."""


def summarise_training(results: Sequence[Result]) -> TrainSummary:
    """Best trial; mean and spread of the lowest validation losses of complete trials with the best one's settings."""
    complete = [(result.value, result) for result in results if result.state == "complete" and result.value is not None]
    if not complete:
        return TrainSummary(None, None, None)
    _, best = min(complete, key=lambda pair: pair[0])
    losses = [loss for loss, result in complete if result.values == best.values]
    return TrainSummary(best, statistics.mean(losses), statistics.stdev(losses) if len(losses) > 1 else None)
