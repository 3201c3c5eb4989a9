"""How many runs on each side show a difference of means, and what difference so many show, by Welch's test."""

import bisect
import math

from scipy.special import betaincinv, nctdtr, stdtrit

SIGNIFICANCE, POWER = 0.05, 0.8
MOST_RUNS = 10_000
"""Runs beyond which no number is sought."""
PARTS = 64
"""Equally likely ratios of the two sample variances that the power is the mean over."""
HALVINGS = 50
MOST_SHIFT = 25.0
"""A power that is near 1 already; scipy has no value of the distribution far beyond."""


def power(difference: float, runs: int) -> float:
    """How often Welch's two-sided test at 5 % shows a difference the right way round, in standard deviations of a run.

    With n runs on each side the statistic has a noncentral t distribution with 2n - 2 degrees of freedom (Johnson,
    Kotz and Balakrishnan, 1995, Continuous Univariate Distributions 2, chapter 31). Welch's critical value depends on
    the ratio of the two sample variances alone, which is independent of their sum, and so of the statistic.
    """
    freedom, shift = 2 * runs - 2, min(difference * math.sqrt(runs / 2), MOST_SHIFT)
    limits = [critical(runs, (part + 0.5) / PARTS) for part in range(PARTS)]
    return 1 - sum(float(nctdtr(freedom, shift, limit)) for limit in limits) / PARTS


def critical(runs: int, place: float) -> float:
    """Welch's critical value when one side's share of the summed sample variances lies at this quantile of its own."""
    share = float(betaincinv((runs - 1) / 2, (runs - 1) / 2, place))
    freedom = (runs - 1) / (share**2 + (1 - share) ** 2)
    return float(stdtrit(freedom, 1 - SIGNIFICANCE / 2))


def runs_needed(difference: float, spread: float) -> int:
    """The least runs on each side that show a difference with a power of 80 %; at most MOST_RUNS."""
    counts = range(2, MOST_RUNS)
    return 2 + bisect.bisect_left(counts, POWER, key=lambda runs: power(difference / spread, runs))


def detectable(spread: float, runs: int) -> float:
    """The least difference that so many runs on each side show with a power of 80 %."""
    low, high = 0.0, 100.0  # of the spread; two runs on each side show 7
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, runs) < POWER else (low, middle)
    return high * spread
