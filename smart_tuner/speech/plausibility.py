"""Whether texts and sounds of a corpus can belong together, told from their lengths alone.

Speech takes about as long as its text is: seconds = pause + characters x pace, for one reader within a tenth or two.
What the lengths cannot say, a wrong word of the right length, is not found here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SLOWEST, FASTEST = 5.0, 30.0
"""Characters a second, spaces included, between which any reader is: dictation has 6, an auctioneer 28."""
SLOW, FAST = 10.0, 25.0
"""Between these are nearly all corpora: audiobooks have 12 to 17, espeak-ng at its usual speed 18."""
SHORT_TEXT = 20
"""Characters; a word said alone takes twice its share, so that short texts do not tell the pace."""
TOGETHER = 0.35
"""Share of the spread of lengths that the texts must explain: 0.7 to 0.9 where they belong, about 0 where not."""
SPREAD = 0.1
"""Spread of lengths, as a share, from which that can be told."""
FEWEST = 8
"""Clips from which lengths are compared at all."""
FARTHEST = 5
"""Rows by which texts are looked for elsewhere."""
FEWEST_MOVED = 6
"""Rows in a block from which their texts count as moved, not as odd."""
ODD = 2.0
"""A clip that lasts so many times what its text should take, or a part of it, is odd."""
PAIRS = 20_000
"""Of clips, by which the median slope is taken."""
STEPS = 40
"""Of the iteration that fits a line; it stands still after half of them."""


@dataclass(frozen=True)
class PaceLine:
    """How long a text takes: seconds = pause + characters x pace."""

    pause: float
    pace: float

    @classmethod
    def fit(cls, characters: Values, seconds: Values) -> "PaceLine":
        """The line with the least sum of relative errors (not of their squares: many of the clips may be wrong)."""
        weights = 1 / seconds**2
        pause = pace = 0.0
        for _ in range(STEPS):  # least squares, each time with less weight on what it missed by much
            total = weights.sum()
            text, time = weights @ characters / total, weights @ seconds / total
            spread = weights @ (characters - text) ** 2
            pace = float(weights @ ((characters - text) * (seconds - time)) / spread) if spread > 1e-9 else 0.0
            pause = float(time - pace * text)
            missed = np.abs(seconds - pause - pace * characters) / seconds
            weights = 1 / (np.maximum(missed, 1e-3) * seconds**2)
        return cls(pause, pace)

    @classmethod
    def fit_steady(cls, characters: Values, seconds: Values) -> "PaceLine":
        """The line of the median slope (Theil and Sen), which a few texts far longer or shorter do not turn."""
        first, other = np.random.default_rng(0).integers(0, len(seconds), (2, PAIRS))
        apart = characters[other] - characters[first]
        slopes = ((seconds[other] - seconds[first]) / np.where(apart, apart, 1))[apart != 0]
        pace = float(np.median(slopes)) if len(slopes) else 0.0
        return cls(float(np.median(seconds - pace * characters)), pace)

    @property
    def is_speech(self) -> bool:
        """Whether anybody could read so."""
        return 1 / self.pace < FASTEST * 1.5 if self.pace > 0 else False

    def misses(self, characters: Values, seconds: Values) -> Values:
        """Logarithms of the seconds over those expected; positive where a clip lasts too long."""
        return np.log(seconds / np.maximum(self.pause + self.pace * characters, 0.05))


@dataclass(frozen=True)
class Moved:
    """Rows whose texts fit the sounds of other rows."""

    first: int
    last: int
    """Places of the first and the last, both included."""
    by: int
    """Where the text of such a row is: so many rows after it, or, negative, before it."""


def median_pace(characters: Values, seconds: Values) -> float:
    """Characters a second, of texts that are long enough to tell if most are."""
    long = characters >= SHORT_TEXT
    chosen = long if long.sum() > len(long) / 2 else np.ones_like(long)
    return float(np.median((characters / seconds)[chosen]))


def explained(characters: Values, seconds: Values) -> float | None:
    """Share of the spread of the seconds that the texts explain, at most 1; None where there is none to explain."""
    spread = float(np.median(np.abs(np.log(seconds / np.median(seconds)))))
    if len(seconds) < FEWEST or min(spread, float(np.log(characters).std())) < SPREAD:
        return None
    left = float(np.median(np.abs(PaceLine.fit(characters, seconds).misses(characters, seconds))))
    return 1 - left / spread


def find_moved_texts(characters: Values, seconds: Values) -> Moved | None:
    """The longest block of rows whose sounds fit the texts of rows before or after them, and not their own."""
    if len(seconds) < FEWEST:
        return None
    found = []
    lines = _fit_parts(characters, seconds)
    for by in (step * side for step in range(1, FARTHEST + 1) for side in (1, -1)):
        if len(seconds) - abs(by) < FEWEST:
            continue
        ours = slice(max(0, -by), len(seconds) - max(0, by))
        theirs = slice(max(0, by), len(seconds) + min(0, by))
        # by the rows as they stand, if most do right, and by the rows as they would be
        for line in (*lines, *_fit_parts(characters[theirs], seconds[ours])):
            misses = [np.abs(each.misses(characters[ours], seconds[ours])) for each in (*lines, line)]
            own = np.min(misses, axis=0)
            other = np.abs(line.misses(characters[theirs], seconds[ours]))
            first, last = _best_block(np.minimum(own, 1) - np.minimum(other, 1))
            if last - first + 1 < FEWEST_MOVED:
                continue
            fits = float(other[first : last + 1].mean())
            if fits < 2 * SPREAD and own[first : last + 1].mean() > 2 * fits:
                found.append(Moved(first + ours.start, last + ours.start, by))
    return max(found, key=lambda moved: moved.last - moved.first, default=None)


def _fit_parts(characters: Values, seconds: Values) -> list[PaceLine]:
    """The lines of all, of the first and of the second half, as far as they are speech."""
    half = len(seconds) // 2
    parts = [slice(None), slice(half), slice(half, None)]
    return [line for part in parts if (line := PaceLine.fit(characters[part], seconds[part])).is_speech]


def _best_block(gains: Values) -> tuple[int, int]:
    """First and last place of the block with the largest sum (Kadane)."""
    best, total, start, block = 0.0, 0.0, 0, (0, -1)
    for place, gain in enumerate(gains.tolist()):
        if total <= 0:
            total, start = 0.0, place
        total += gain
        if total > best:
            best, block = total, (start, place)
    return block


def find_odd(characters: Values, seconds: Values) -> list[tuple[int, float]]:
    """Places of the clips that last far longer or shorter than their texts should, each with how many times."""
    if len(seconds) < FEWEST:
        return []
    misses = PaceLine.fit_steady(characters, seconds).misses(characters, seconds)
    return [(place, float(np.exp(miss))) for place, miss in enumerate(misses) if abs(miss) > np.log(ODD)]


def times_repeated(text: str) -> int:
    """How often a text says the same words, one after the other: 1 for an ordinary one."""
    words = text.split()
    for length in range(1, len(words) // 2 + 1):
        if len(words) % length == 0 and words[:length] * (len(words) // length) == words:
            return len(words) // length
    return 1
