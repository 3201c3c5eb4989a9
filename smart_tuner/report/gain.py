"""Is the best more than luck? The gain over the baseline, what --from-study therefore gives, and the noise of seeds."""

from collections.abc import Sequence

from smart_tuner.analysis.conclusions import (
    Confirmation,
    GainKind,
    WinnerReason,
    baseline_trial,
    best_trial,
    confirmation,
    cost,
    find_winner,
    reached_end,
)
from smart_tuner.analysis.results import Result, summarise_training
from smart_tuner.paths import trial_name
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.message import Message, join_sentences

PAIR = 2.8
"""Standard deviations within which 19 of 20 pairs of single runs differ: 1.96 times the square root of 2."""
HARDLY_KNOWN = 2
"""Seeds whose spread says little of the spread itself: its 95 % interval goes from half of it to 32 times of it."""
GAIN: dict[GainKind, Message] = {
    "sick": Message("Not confirmed: of {best.total} reruns of the best, {best.sick} did not end healthy."),
    "no_baseline": Message(
        "No number: no run of the baseline ended healthy (of {base.total}); the best did in {reruns} of {best.total} "
        "reruns."
    ),
    "few": Message(
        "{difference} in the mean; an interval takes at least 2 runs on each side (reruns of the best {reruns}, runs "
        "of the baseline {runs})."
    ),
    "same": Message(
        "{difference} in the mean; no run differs from the others of its side, so the noise is unknown (reruns of the "
        "best {reruns}, runs of the baseline {runs})."
    ),
    "noise": Message(
        "Not distinguishable from the baseline: {difference} in the mean, but the 95 % interval of the gain, {low:.4f} "
        "to {high:.4f}, holds 0 (reruns of the best {reruns}, runs of the baseline {runs})."
    ),
    "interval": Message(
        "{difference}; 95 % interval of the gain {low:.4f} to {high:.4f}, over seeds (reruns of the best {reruns}, "
        "runs of the baseline {runs})."
    ),
}
WINNER: dict[WinnerReason, Message] = {
    "own": Message("Winner: {name}, the baseline's own values: no other trial beat them."),
    "not_rerun": Message("Winner: {name}, not confirmed: it was not rerun with new seeds."),
    "sick": Message("Winner: {name}, the baseline: not all reruns of {best} ended healthy."),
    "worse": Message("Winner: {name}, the baseline: the reruns of {best} are worse beyond the noise."),
    "no_better": Message("Winner: {name}, the baseline: the reruns of {best} are not better in the mean."),
    "confirmed": Message("Winner: {name}, confirmed by reruns with new seeds."),
    "not_healthy": Message(
        "Winner: {name}, not confirmed: not all its reruns ended healthy, but no run of the baseline did."
    ),
    "unmeasured": Message("Winner: {name}, not confirmed: there is no healthy run of the baseline to beat."),
    "few": Message("Winner: {name}, not confirmed: too few runs to tell its lead from luck."),
    "noise": Message("Winner: {name}, better in the mean of its reruns, but within the noise."),
}


def describe_gain(evidence: Evidence) -> Message:
    if evidence.mode == "runs":
        return Message("Unknown: runs without a study have no baseline and no reruns.")
    if evidence.mode == "train":
        return describe_noise(evidence.results)
    if len(evidence.objectives) > 1:
        return Message(
            "With several objectives there is no single best and no rerun, so what is luck here is not known."
        )
    gain = compare_with_baseline(evidence.results, evidence.objective.direction)
    return join_sentences(gain, describe_winner(evidence))


def describe_winner(evidence: Evidence) -> Message | None:
    """What --from-study gives, and why; None before that is concluded, and when trials have ended since."""
    given = find_winner(evidence.results, evidence.objective.direction)
    if given is None or given.number != evidence.winner:
        return None
    return WINNER[given.reason].fill(name=trial_name(given.number), best=trial_name(given.best))


def compare_with_baseline(results: Sequence[Result], direction: str) -> Message:
    """The gain of a search's best over the baseline, with its interval, or why it is not known."""
    best, own = best_trial(results, direction), baseline_trial(results)
    confirmed = confirmation(results, direction)
    if best is None:
        return Message("None: there is no best trial to compare.")
    if confirmed is not None:
        return describe_confirmation(confirmed)
    if own is not None and best.values == own.values:
        return Message("None: the best trial has the baseline's values.")
    unknown = Message("Unknown: no rerun of the best with a new seed has ended.")
    if own is None or own.value is None or best.value is None or not reached_end(own):
        return unknown
    difference = describe_difference(cost(own.value, direction) - cost(best.value, direction))
    chosen = Message(
        "Its own run is {difference}, but it was chosen for that value, so part of it may be luck.",
        difference=difference,
    )
    return join_sentences(unknown, chosen)


def describe_confirmation(confirmed: Confirmation) -> Message:
    best, base = confirmed.best, confirmed.baseline
    low, high = confirmed.interval or (None, None)
    text = GAIN[confirmed.kind].fill(
        best=best,
        base=base,
        reruns=len(best.values),
        runs=len(base.values),
        difference=describe_difference(confirmed.gain or 0.0),
        low=low,
        high=high,
    )
    if not base.sick or confirmed.kind == "no_baseline":
        return text
    left_out = Message("Of {base.total} runs of the baseline, {base.sick} did not end healthy and are left out here.")
    return join_sentences(text, left_out.fill(base=base))


def describe_difference(gain: float) -> Message:
    if not gain:
        return Message("equal to the baseline")
    if gain > 0:
        return Message("{amount:.4f} better than the baseline", amount=gain)
    return Message("{amount:.4f} worse than the baseline", amount=-gain)


def describe_noise(results: Sequence[Result]) -> Message:
    """What a train study says of luck: the spread over runs of the best one's settings."""
    summary = summarise_training(results)
    if summary.best is None or summary.mean is None:
        return Message("Unknown: no trial that ran to its end has a known validation.loss.")
    if summary.spread is None:
        return Message("Unknown: only one run with these settings has ended healthy.")
    complete = [result for result in results if result.state == "complete" and result.values == summary.best.values]
    runs = sum(result.value is not None for result in complete)
    spread = Message(
        "{mean:.4f} ± {spread:.4f} (mean and standard deviation over seeds, runs {runs}). Two single runs differ by up "
        "to about {pair:.4f}, {factor:g} standard deviations, by the seed alone: a smaller difference between two runs "
        "shows nothing.",
        mean=summary.mean,
        spread=summary.spread,
        runs=runs,
        pair=PAIR * summary.spread,
        factor=PAIR,
    )
    if runs > HARDLY_KNOWN:
        return spread
    return join_sentences(spread, Message("With {runs} seeds the spread itself is hardly known.", runs=runs))
