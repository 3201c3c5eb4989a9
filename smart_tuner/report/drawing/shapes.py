"""What is done to a metric's points before they are drawn: smoothed, thinned, their median taken."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smart_tuner.report.evidence import Points

Line = list[tuple[float, float]]
FEWEST = 3
"""The median of fewer lines is no median."""


def in_utterances(points: Points, batch: float) -> Line:
    """Values over the utterances seen, which compares trials of different batch sizes."""
    return [(iteration * batch, value) for iteration, value in points]


def window_of(points: int) -> int:
    """Points that a smoothed value is the median of; 1 for a line too short to smooth."""
    return min(101, 2 * (points // 30) + 1)


def smooth(line: Sequence[tuple[float, float]], window: int) -> Line:
    """The median of the window around each point (window odd), cut at the ends: a single peak leaves no trace there."""
    half = max(0, min(window, len(line)) - 1) // 2
    if not half:
        return list(line)
    values = np.array([value for _, value in line])
    inner = np.median(np.lib.stride_tricks.sliding_window_view(values, 2 * half + 1), axis=1)
    first = [float(np.median(values[: half + place + 1])) for place in range(half)]
    last = [float(np.median(values[len(values) - half - place - 1 :])) for place in reversed(range(half))]
    return [(x, y) for (x, _), y in zip(line, [*first, *inner.tolist(), *last], strict=True)]


def thin(line: Sequence[tuple[float, float]], most: int, *, log: bool = False) -> Line:
    """At most so many points: of each stretch of the axis the lowest and the highest, so that no peak is lost.

    log: stretches are equal on a logarithmic axis. The first and the last point stay.
    """
    if len(line) <= most:
        return list(line)
    stretches = max(1, (most - 2) // 2)
    places = np.array([math.log(max(x, 1e-9)) if log else x for x, _ in line])
    span = places[-1] - places[0]
    stretch = np.minimum((places - places[0]) / (span or 1.0) * stretches, stretches - 1).astype(int)
    kept = {0, len(line) - 1}
    values = np.array([value for _, value in line])
    for one in np.unique(stretch):
        inside = np.flatnonzero(stretch == one)
        kept |= {int(inside[values[inside].argmin()]), int(inside[values[inside].argmax()])}
    return [line[place] for place in sorted(kept)]


def median_curve(lines: Sequence[Sequence[tuple[float, float]]], most: int, *, log: bool = False) -> Line:
    """The median of the lines at even distances, where at least three have got; nothing without three."""
    known = [np.array(line, dtype=float) for line in lines if len(line) > 1]
    if len(known) < FEWEST:
        return []
    grid = spaced(min(line[0, 0] for line in known), max(line[-1, 0] for line in known), most, log=log)
    values = np.stack([np.interp(grid, line[:, 0], line[:, 1], left=np.nan, right=np.nan) for line in known])
    enough = np.isfinite(values).sum(axis=0) >= FEWEST
    return [(float(x), float(np.nanmedian(column))) for x, column in zip(grid[enough], values.T[enough], strict=True)]


def spaced(low: float, high: float, number: int, *, log: bool) -> NDArray[np.float64]:
    """So many places from low to high, both included."""
    return np.geomspace(low, high, number) if log and low > 0 else np.linspace(low, high, number)


def early(lines: Sequence[Sequence[tuple[float, float]]]) -> bool:
    """Whether most of the change comes in the first tenth of the axis: then it is to be logarithmic."""
    falls = []
    for line in lines:
        tenth = [value for x, value in line if x <= line[0][0] + (line[-1][0] - line[0][0]) / 10]
        whole = max(value for _, value in line) - min(value for _, value in line)
        if len(line) >= 20 and whole > 0 and line[0][0] > 0:
            falls.append((max(tenth) - min(tenth)) / whole > 0.7)
    return bool(falls) and sum(falls) > len(falls) / 2


def spread(values: Sequence[float]) -> bool:
    """Whether values are all positive and span more than a power of ten: then their axis is to be logarithmic."""
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    return lowest > 0 and highest > 10 * lowest
