"""Axes of charts: ranges, round values in them, and their texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator


@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis."""

    label: str
    low: float
    high: float
    log: bool = False
    choices: tuple[str, ...] = ()
    """Texts of the values 0, 1, 2 ...: a categorical axis."""
    marks: tuple[float, ...] = ()
    """The only values that there are, each to be named."""

    def nearest(self, value: float) -> float:
        """The value, or the end that it lies beyond."""
        return min(max(value, self.low), self.high)

    def widen(self, margin: float) -> "Scale":
        """With this share of it more on both sides; one without an extent gets some."""
        if self.log:
            factor = (self.high / self.low) ** margin if self.high > self.low else 1 + margin
            return replace(self, low=self.low / factor, high=self.high * factor)
        more = margin * (self.high - self.low or abs(self.high) or 1.0)
        return replace(self, low=self.low - more, high=self.high + more)

    def ticks(self, most: int) -> list[float]:
        """Some round values in it."""
        if self.choices:
            return [float(place) for place in range(len(self.choices))]
        if self.marks:
            return list(self.marks)
        if not self.log:
            values = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            return [float(value) for value in values if self.low <= value <= self.high]
        if self.high < 4 * self.low:  # less than a few steps of a decade: they would be one tick or none
            return replace(self, log=False).ticks(most)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            values = [step * 10.0**decade for decade in decades for step in steps]
            inside = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]

    def say(self, value: float) -> str:
        """A tick's text."""
        return self.choices[round(value)] if self.choices else format_number(value)


def needs_log(values: Sequence[float]) -> bool:
    """Whether values are all positive and span more than a power of ten: then their axis is to be logarithmic."""
    lowest, highest = min(values, default=0.0), max(values, default=0.0)
    return lowest > 0 and highest > 10 * lowest


def set_ticks(axis: Axis, scale: Scale) -> None:
    """Ticks that can be read, as plain numbers on logarithmic axes too."""
    axis.set_major_locator(FixedLocator(scale.ticks(5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: scale.say(value)))
    axis.set_minor_locator(NullLocator())


def format_number(value: float) -> str:
    """A number as short as it can be: 0.0005, 1e-05, 20 000."""
    if value and (abs(value) < 1e-4 or abs(value) >= 1e7):
        return f"{value:.0e}" if f"{value:.0e}" == f"{value:.3g}" else f"{value:.3g}"
    return f"{value:,.6g}".replace(",", "\N{NARROW NO-BREAK SPACE}")
