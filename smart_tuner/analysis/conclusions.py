"""What a search says in the end: the best, whether its lead is more than luck, and what to take over."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy.special import betaincinv, stdtrit

from smart_tuner.analysis.results import Result
from smart_tuner.space.objective import Objective

GainVerdict = Literal["better", "not distinguishable from the baseline", "worse", "not healthy", "open"]
GainKind = Literal["sick", "no_baseline", "few", "same", "noise", "interval"]
WinnerReason = Literal[
    "own", "not_rerun", "sick", "worse", "no_better", "confirmed", "not_healthy", "unmeasured", "few", "noise"
]
CONFIDENCE = 0.95


def cost(value: float, direction: str) -> float:
    """The value, or its opposite when it is maximised: lower is better in either direction."""
    return -value if direction == "maximize" else value


def list_searched(results: Sequence[Result]) -> list[Result]:
    """The trials of the search itself: no reruns that confirm."""
    return [result for result in results if not result.confirms]


def reached_end(result: Result) -> bool:
    """Whether it spent its budget, audited or not, within the constraints and with a finite objective."""
    known = result.value is not None and math.isfinite(result.value)
    ended = result.state == "complete" or (result.state == "audited" and result.utterances >= result.planned)
    return ended and result.feasible and known


def find_lowest(results: Sequence[Result], direction: str) -> Result | None:
    """The best of trials that reached their end, the earlier one when two are equal; None without any."""
    ended = [(cost(result.value, direction), result) for result in results if result.value is not None]
    return min(ended, key=lambda pair: (pair[0], pair[1].number), default=(0.0, None))[1]


def best_trial(results: Sequence[Result], direction: str = "minimize") -> Result | None:
    """The best complete, feasible trial of the search; None without any."""
    return find_lowest(
        [result for result in list_searched(results) if result.state == "complete" and reached_end(result)], direction
    )


def baseline_trial(results: Sequence[Result]) -> Result | None:
    """The first trial of the settings' own values; None when it has not ended."""
    rerun = next((result.values for result in results if result.confirms == "baseline"), None)
    own = [
        result
        for result in list_searched(results)
        if (result.values == rerun if rerun is not None else result.own or result.origin == "baseline")
    ]
    return min(own, key=lambda result: (not result.own, result.number), default=None)


# the noise floor


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs of the same values with different seeds."""

    values: tuple[float, ...]
    """Objective of those that ended healthy and within the constraints."""
    sick: int
    """Number of the others: stopped, or outside the constraints."""

    @property
    def total(self) -> int:
        """All of them."""
        return len(self.values) + self.sick


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The best against the baseline, by runs that were not chosen for their value."""

    number: int
    """The best trial; its own run does not count, for it was chosen because it was low (the winner's curse)."""
    best: Runs
    baseline: Runs
    gain: float | None
    """Difference of the means, above 0 when the best is better; None when a side has no value."""
    interval: tuple[float, float] | None
    """Welch's 95 % interval of the gain; None with fewer than two values on a side, or when no value differs."""
    verdict: GainVerdict

    @property
    def kind(self) -> GainKind:
        """What can be said of the gain."""
        if self.best.sick:
            return "sick"
        if self.gain is None:
            return "no_baseline"
        if self.interval is None:
            return "few" if min(len(self.best.values), len(self.baseline.values)) < 2 else "same"
        return "noise" if self.verdict == "not distinguishable from the baseline" else "interval"


def confirmation(results: Sequence[Result], direction: str = "minimize") -> Confirmation | None:
    """The noise floor; None when the best is the baseline itself, or no rerun of the best has ended."""
    best, baseline = best_trial(results, direction), baseline_trial(results)
    if best is None or (baseline is not None and best.values == baseline.values):
        return None
    reruns = count_runs([result for result in results if result.confirms == "best" and result.values == best.values])
    if not reruns.total:
        return None
    others = count_runs(baseline_runs(results))
    gain = interval = None
    if reruns.values and others.values:
        costs, base = [[cost(value, direction) for value in side.values] for side in (reruns, others)]
        gain = statistics.mean(base) - statistics.mean(costs)
        interval = welch(base, costs)
    return Confirmation(
        number=best.number,
        best=reruns,
        baseline=others,
        gain=gain,
        interval=interval,
        verdict=judge_gain(reruns, others, interval),
    )


def baseline_runs(results: Sequence[Result]) -> list[Result]:
    """The baseline's own trial, which was not chosen by its value, and its reruns.

    Stopped by the pruner, the trial is neither healthy nor sick and has no value to compare: it is left out.
    """
    own = baseline_trial(results)
    comparable = own is not None and not (own.state == "stopped" and own.kind == "pruner")
    return [
        *([own] if own is not None and comparable else []),
        *(result for result in results if result.confirms == "baseline"),
    ]


def count_runs(results: Sequence[Result]) -> Runs:
    """What reruns came to."""
    values = tuple(result.value for result in results if result.value is not None and reached_end(result))
    return Runs(values=values, sick=len(results) - len(values))


def judge_gain(best: Runs, baseline: Runs, interval: tuple[float, float] | None) -> GainVerdict:
    """A best is confirmed by reruns that are all healthy, and better beyond the noise."""
    if best.sick:
        return "not healthy"
    if not baseline.values:
        return "better" if min(best.total, baseline.total) >= 2 else "open"
    if interval is None:
        return "open"
    if interval[0] > 0:
        return "better"
    return "worse" if interval[1] < 0 else "not distinguishable from the baseline"


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of mean(first) - mean(second) when their variances may differ (Welch, 1947).

    None with fewer than two values on a side, or when neither side varies.
    """
    if min(len(first), len(second)) < 2:
        return None
    one, other = statistics.variance(first) / len(first), statistics.variance(second) / len(second)
    if one + other == 0:
        return None
    freedom = (one + other) ** 2 / (one**2 / (len(first) - 1) + other**2 / (len(second) - 1))
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(one + other)
    middle = statistics.mean(first) - statistics.mean(second)
    return middle - half, middle + half


def most_wrong(wrong: int, audited: int) -> float:
    """Upper 95 % limit of the share of wrong stops from a random few (Clopper and Pearson, 1934)."""
    return 1.0 if wrong >= audited else float(betaincinv(wrong + 1, audited - wrong, CONFIDENCE))


@dataclass(frozen=True, kw_only=True)
class Winner:
    """What the study gives to a training that takes its values over."""

    number: int
    values: dict[str, Any]
    best: int
    """The best trial; another one where the baseline is given instead."""
    reason: WinnerReason
    """Why."""


def find_winner(results: Sequence[Result], direction: str = "minimize") -> Winner | None:
    """The best, unless its reruns are sick or no better in the mean: then the baseline. None if none is healthy."""
    best, own = best_trial(results, direction), baseline_trial(results)
    if best is None:
        return None
    if own is not None and best.values == own.values:
        return Winner(number=best.number, values=best.values, best=best.number, reason="own")
    found = confirmation(results, direction)
    reason: WinnerReason = "not_rerun" if found is None else why_lost(found) or why_held(found)
    given = own or baseline_runs(results)[0] if reason in ("sick", "worse", "no_better") else best
    return Winner(number=given.number, values=given.values, best=best.number, reason=reason)


def why_lost(found: Confirmation) -> WinnerReason | None:
    """Why the baseline is given in place of the best; None when it is not: for that it has to train healthy itself."""
    if not found.baseline.values:
        return None
    if found.best.sick:
        return "sick"
    if found.verdict == "worse":
        return "worse"
    return "no_better" if found.gain is not None and found.gain <= 0 else None


def why_held(found: Confirmation) -> WinnerReason:
    """How sure it is that the best is better."""
    reasons: dict[GainVerdict, WinnerReason] = {
        "better": "confirmed",
        "not healthy": "not_healthy",
        "open": "unmeasured" if found.gain is None else "few",
    }
    return reasons.get(found.verdict, "noise")


# several objectives


def pareto(metrics: Sequence[Mapping[str, float]], objectives: Sequence[Objective]) -> list[int]:
    """Positions of the points that no other point beats: at least as good in every objective, better in one.

    A point without a finite value for every objective is in no front.
    """
    costs = {
        position: [cost(point[objective.metric], objective.direction) for objective in objectives]
        for position, point in enumerate(metrics)
        if all(math.isfinite(point.get(objective.metric, math.nan)) for objective in objectives)
    }

    def beats(first: list[float], second: list[float]) -> bool:
        return first != second and all(one <= other for one, other in zip(first, second, strict=True))

    return [position for position, own in costs.items() if not any(beats(other, own) for other in costs.values())]
