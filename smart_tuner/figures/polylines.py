"""What is done to the points of a line before it is drawn: smoothed, thinned."""

from collections.abc import Sequence

import numpy as np

Polyline = list[tuple[float, float]]


def choose_window(points: int) -> int:
    """Points that a smoothed value is the median of; 1 for a line too short to smooth."""
    return min(101, 2 * (points // 30) + 1)


def smooth(line: Sequence[tuple[float, float]], window: int) -> Polyline:
    """The median of the window around each point (window odd), cut at the ends: a single peak leaves no trace there."""
    half = max(0, min(window, len(line)) - 1) // 2
    if not half:
        return list(line)
    values = np.array([value for _, value in line])
    inner = np.median(np.lib.stride_tricks.sliding_window_view(values, 2 * half + 1), axis=1)
    first = [float(np.median(values[: half + place + 1])) for place in range(half)]
    last = [float(np.median(values[len(values) - half - place - 1 :])) for place in reversed(range(half))]
    return [(x, y) for (x, _), y in zip(line, [*first, *inner.tolist(), *last], strict=True)]


def thin(line: Sequence[tuple[float, float]], most: int) -> Polyline:
    """At most so many points: of each stretch of the axis the lowest and the highest, so that no peak is lost.

    The first and the last point stay.
    """
    if len(line) <= most:
        return list(line)
    stretches = max(1, (most - 2) // 2)
    places, values = np.array(line).T
    extent = places[-1] - places[0]
    stretch_of = np.minimum((places - places[0]) / (extent or 1.0) * stretches, stretches - 1).astype(int)
    kept = {0, len(line) - 1}
    for stretch in np.unique(stretch_of):
        inside = np.flatnonzero(stretch_of == stretch)
        kept |= {int(inside[values[inside].argmin()]), int(inside[values[inside].argmax()])}
    return [line[place] for place in sorted(kept)]
