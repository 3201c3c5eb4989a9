"""Ranges of a search space: at which end values lie, and how a range is widened or shifted."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal

from smart_tuner.settings import SECTIONS
from smart_tuner.space.linter import boundary_warnings
from smart_tuner.space.rules import listed
from smart_tuner.space.space import Category, Parameter, Space

End = Literal["low", "high"]
LONGEST_STEP = 10.0
"""A log range grows by this factor at most at an end."""


def end_of(parameter: Parameter, value: Category) -> End | None:
    """The end of its range at which a value lies, by the linter's notion; None within, or where no more is allowed."""
    space = Space(file=Path(), parameters=(parameter,))
    if isinstance(value, bool | str) or not boundary_warnings(space, {parameter.name: value}):
        return None
    low, high = extremes(parameter)
    middle = math.sqrt(low * high) if parameter.log else (low + high) / 2
    return "low" if value < middle else "high"


def extremes(parameter: Parameter) -> tuple[float, float]:
    """The smallest and the largest number that it can have."""
    numbers = sorted(float(one) for one in parameter.corners())
    return numbers[0], numbers[-1]


def outermost(parameter: Parameter, end: End) -> Category:
    """The value at an end of its range."""
    return (min if end == "low" else max)(parameter.corners(), key=float)


def extent(parameter: Parameter) -> str:
    """Its values without words."""
    low, high = extremes(parameter)
    return listed(parameter.choices) if parameter.type == "categorical" else f"{low:g}–{high:g}"


def wider(parameter: Parameter, end: End) -> str:
    """The range, or the choices, with more room at an end, within the setting's own limits; as a person reads it."""
    if parameter.type == "categorical":
        return listed(sorted([*parameter.choices, beyond(parameter, end)], key=float))
    low, high = extremes(parameter)
    if end == "low":
        low = rounded(parameter, low, stretched(parameter, -1))
    else:
        high = rounded(parameter, high, stretched(parameter, 1))
    return span(parameter, low, high)


def stretched(parameter: Parameter, way: int) -> float:
    """An end moved out by half of the range: of its ratio when it is log, of its width otherwise."""
    low, high = extremes(parameter)
    if parameter.log:
        factor = min(LONGEST_STEP, max(2.0, math.sqrt(high / low)))
        return high * factor if way > 0 else low / factor
    moved = high + (high - low) / 2 if way > 0 else low - (high - low) / 2
    return moved if moved > 0 or low <= 0 else low / 2


def rounded(parameter: Parameter, end: float, moved: float) -> float:
    """A new end in one digit, on the parameter's steps, and within the setting's limits."""
    if parameter.step is not None:
        return within(parameter.name, end + parameter.step * round((moved - end) / parameter.step))
    short = next((one for one in fewer_digits(moved) if (one - end) * (moved - end) > 0), moved)
    return within(parameter.name, float(round(short)) if parameter.type == "int" else short)


def fewer_digits(value: float) -> tuple[float, float]:
    """The value in one digit and in two."""
    return float(f"{value:.1g}"), float(f"{value:.2g}")


def beyond(parameter: Parameter, end: End) -> Category:
    """The choice that follows the outermost one as that follows the next: by ratio, unless all distances are equal."""
    numbers = sorted(float(one) for one in parameter.choices)
    last, before = (numbers[-1], numbers[-2]) if end == "high" else (numbers[0], numbers[1])
    even = len({round(b - a, 9) for a, b in itertools.pairwise(numbers)}) == 1 and len(numbers) > 2
    by_ratio = last * last / before if before > 0 and last > 0 and not even else last + (last - before)
    value = within(parameter.name, float(f"{by_ratio:.2g}"))
    return round(value) if all(isinstance(one, int) for one in parameter.choices) else value


def shifted(parameter: Parameter, ratio: float) -> str:
    """The range with both ends times a ratio, within the setting's limits."""
    low, high = (within(parameter.name, float(f"{end * ratio:.2g}")) for end in extremes(parameter))
    if parameter.type == "int":
        low, high = float(round(low)), float(round(high))
    return span(parameter, low, high)


def span(parameter: Parameter, low: float, high: float) -> str:
    """A range as low: 1, high: 2 of a space file."""
    number = int if parameter.type == "int" else float
    return f"low: {number(low):g}, high: {number(high):g}"


def within(name: str, value: float) -> float:
    """The value, or the setting's own limit when it lies beyond."""
    section, _, key = name.partition(".")
    limits = next(spec.metadata for spec in fields(SECTIONS[section]) if spec.name == key)
    low, high = limits.get("low"), limits.get("high")
    raised = value if low is None else max(value, low)
    return raised if high is None else min(raised, high)


def crowded(parameter: Parameter, values: Sequence[Category], share: float) -> End | None:
    """The end at which at least this share of the values lies; None without."""
    ends = [end_of(parameter, value) for value in values]
    return next((end for end in ("low", "high") if ends and ends.count(end) >= share * len(ends)), None)
