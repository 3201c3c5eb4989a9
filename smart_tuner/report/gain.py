"""Is the best more than luck? The gain over the baseline, and what the study therefore gives to a training."""

from collections.abc import Sequence
from typing import Literal

from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.phrases import after
from smart_tuner.study.conclusions import (
    Confirmation,
    Winner,
    baseline_trial,
    best_trial,
    confirmation,
    cost,
    name,
    reached_end,
    winner,
)
from smart_tuner.study.results import Result, summarise

Reason = Literal[
    "none", "own", "not_rerun", "sick", "no_better", "confirmed", "not_healthy", "unmeasured", "few", "noise"
]


def gained(results: Sequence[Result], direction: str) -> Said:
    """The gain of a search's best over the baseline, with its interval, or why it is not known."""
    best, own = best_trial(results, direction), baseline_trial(results)
    found = confirmation(results, direction)
    if best is None:
        return said("findings.gain_none")
    if found is not None:
        return confirmed(found)
    if own is not None and best.values == own.values:
        return said("findings.gain_own")
    if own is None or own.loss is None or best.loss is None or not reached_end(own):
        return said("findings.gain_unknown")
    return after(said("findings.gain_unknown"), luck(cost(own.loss, direction) - cost(best.loss, direction)))


def luck(difference: float) -> Said:
    """The difference of two single runs, one of which was chosen for its value."""
    return said("findings.gain_chosen", difference=difference_in_words(difference))


def confirmed(found: Confirmation) -> Said:
    """What the reruns say: conclusions.Confirmation.sentence in any language."""
    base = found.baseline
    left_out = said("findings.left_out", sick=base.sick, total=base.total) if base.sick else None
    if found.best.sick:
        return after(said("findings.gain_sick", sick=found.best.sick, total=found.best.total), left_out)
    if found.gain is None:
        healthy = len(found.best.values)
        return said("findings.gain_no_baseline", runs=base.total, healthy=healthy, reruns=found.best.total)
    return after(measured_gain(found, found.gain), left_out)


def measured_gain(found: Confirmation, gain: float) -> Said:
    """The difference of the means, with its interval where there is one."""
    numbers = {
        "difference": difference_in_words(gain),
        "reruns": len(found.best.values),
        "runs": len(found.baseline.values),
    }
    if found.interval is None:
        few = min(len(found.best.values), len(found.baseline.values)) < 2
        return said("findings.gain_few" if few else "findings.gain_same", **numbers)
    low, high = found.interval
    noise = found.verdict == "not distinguishable from the baseline"
    return said("findings.gain_noise" if noise else "findings.gain_interval", low=low, high=high, **numbers)


def difference_in_words(gain: float) -> Said:
    """By how much the best is better or worse."""
    if not gain:
        return said("findings.equal")
    return said("findings.better" if gain > 0 else "findings.worse", amount=abs(gain))


def reason(results: Sequence[Result], direction: str) -> Reason:
    """Why conclusions.winner gives what it gives."""
    given, best = winner(results, direction), best_trial(results, direction)
    own, found = baseline_trial(results), confirmation(results, direction)
    if given is None or best is None:
        return "none"
    if own is not None and best.values == own.values:
        return "own"
    if found is None:
        return "not_rerun"
    if given.number != best.number:
        return "sick" if found.best.sick else "no_better"
    if given.confirmed:
        return "confirmed"
    if found.best.sick:
        return "not_healthy"
    if found.verdict == "open":
        return "few" if found.gain is not None else "unmeasured"
    return "noise"


def won(results: Sequence[Result], direction: str) -> Said | None:
    """What --from-study gives, and why: conclusions.Winner.sentence in any language; None when nothing does."""
    given: Winner | None = winner(results, direction)
    best = best_trial(results, direction)
    if given is None or best is None:
        return None
    return said(f"findings.winner_{reason(results, direction)}", name=name(given.number), best=name(best.number))


def noise(results: Sequence[Result]) -> Said:
    """What a train study says of luck: the spread over runs of the best one's settings."""
    found = summarise(results)
    if found.best is None or found.mean is None:
        return said("findings.noise_none")
    losses = [one.loss for one in results if one.state == "complete" and one.values == found.best.values]
    runs = sum(loss is not None for loss in losses)
    if found.spread is None:
        return said("findings.noise_unknown")
    return said("findings.noise", mean=found.mean, spread=found.spread, runs=runs)
