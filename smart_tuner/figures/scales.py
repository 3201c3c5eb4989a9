"""Axes of charts: ranges, round values in them, and their texts."""

import math
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

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1; one beyond an end lies there."""
        ends = (self.low, self.high, self.nearest(value))
        low, high, here = (math.log(one) if self.log else one for one in ends)
        return 0.5 if low == high else (here - low) / (high - low)

    def nearest(self, value: float) -> float:
        """The value, or the end that it lies beyond."""
        return min(max(value, self.low), self.high)

    def ticks(self, most: int) -> list[float]:
        """Some round values in it."""
        if self.choices:
            return [float(place) for place in range(len(self.choices))]
        if self.marks:
            return list(self.marks)
        if not self.log:
            found = [float(one) for one in MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)]
            return [one for one in found if self.low <= one <= self.high]
        if self.high < 4 * self.low:
            return replace(self, log=False).ticks(most)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            all_of = [step * 10.0**decade for decade in decades for step in steps]
            inside = [one for one in all_of if self.low * 0.999 <= one <= self.high * 1.001]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]

    def say(self, value: float) -> str:
        """A tick's text."""
        return self.choices[round(value)] if self.choices else figures(value)


def set_ticks(axis: Axis, scale: Scale) -> None:
    """Ticks that can be read, as plain numbers on logarithmic axes too."""
    axis.set_major_locator(FixedLocator(scale.ticks(5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: scale.say(value)))
    axis.set_minor_locator(NullLocator())


def figures(value: float) -> str:
    """A number as short as it can be: 0.0005, 1e-05, 20 000."""
    if value and (abs(value) < 1e-4 or abs(value) >= 1e7):
        return f"{value:.0e}" if f"{value:.0e}" == f"{value:.3g}" else f"{value:.3g}"
    return f"{value:,.6g}".replace(",", "\N{NARROW NO-BREAK SPACE}")
