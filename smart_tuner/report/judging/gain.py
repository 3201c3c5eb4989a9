"""Is the best more than luck? The gain over the baseline, and what the study therefore gives to a training."""

from collections.abc import Sequence
from typing import Any

from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.phrases import after
from smart_tuner.study.conclusions import (
    Confirmation,
    baseline_trial,
    best_trial,
    confirmation,
    cost,
    name,
    reached_end,
    winner,
)
from smart_tuner.study.results import Result, summarise

PAIR = 2.8
"""Standard deviations within which 19 of 20 pairs of single runs differ: 1.96 times the square root of 2."""
HARDLY_KNOWN = 2
"""Seeds whose spread says little of the spread itself: its 95 % interval goes from half of it to 32 times of it."""


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
    text = said(f"findings.gain_{found.finding}", **rerun_facts(found))
    return text if found.finding == "no_baseline" else after(text, left_out)


def rerun_facts(found: Confirmation) -> dict[str, Any]:
    """The numbers of a confirmation, as far as it has them."""
    low, high = found.interval or (None, None)
    return {
        "sick": found.best.sick,
        "total": found.best.total,
        "reruns": len(found.best.values),
        "runs": len(found.baseline.values),
        "baseline_total": found.baseline.total,
        "baseline_sick": found.baseline.sick,
        "difference": difference_in_words(found.gain or 0.0),
        "low": low,
        "high": high,
    }


def difference_in_words(gain: float) -> Said:
    """By how much the best is better or worse."""
    if not gain:
        return said("findings.equal")
    return said("findings.better" if gain > 0 else "findings.worse", amount=abs(gain))


def won(results: Sequence[Result], direction: str) -> Said | None:
    """What --from-study gives, and why: conclusions.Winner.sentence in any language; None when nothing does."""
    given = winner(results, direction)
    if given is None:
        return None
    return said(f"findings.winner_{given.reason}", name=name(given.number), best=name(given.best))


def noise(results: Sequence[Result]) -> Said:
    """What a train study says of luck: the spread over runs of the best one's settings."""
    found = summarise(results)
    if found.best is None or found.mean is None:
        return said("findings.noise_none")
    if found.spread is None:
        return said("findings.noise_unknown")
    losses = [one.loss for one in results if one.state == "complete" and one.values == found.best.values]
    runs = sum(loss is not None for loss in losses)
    facts = {"mean": found.mean, "spread": found.spread, "runs": runs, "pair": PAIR * found.spread, "factor": PAIR}
    rough = said("findings.noise_rough", runs=runs) if runs <= HARDLY_KNOWN else None
    return after(said("findings.noise", **facts), rough)
