"""What the rules of advice look at: the evidence, what was made of it, and how a range of its space is moved."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from smart_tuner.analysis.conclusions import Confirmation, confirmation, list_searched
from smart_tuner.analysis.importance import Importance
from smart_tuner.analysis.results import Result
from smart_tuner.report.commands import Commands, format_setting, list_assignments, parse_options
from smart_tuner.report.evidence import Evidence, Points, Run
from smart_tuner.report.finalists import Finalists
from smart_tuner.report.view import Verdicts
from smart_tuner.settings.budget import Budget
from smart_tuner.settings.settings import Settings, limits_of, parse_settings, with_values
from smart_tuner.space.parameter import TRIALS_PER_DIMENSION, Category, End, Parameter, read_parameters

LONGEST_STEP = 10.0
"""A log range grows by this factor at most at an end."""
OFF_DIAGONAL = "attention_off_diagonal"
"""The health rule whose stops speak of the corpus rather than of a setting."""
LONGEST_NAME = 100
"""Characters of a study's name."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A study to give advice on."""

    evidence: Evidence
    finalists: Finalists
    importance: Importance
    verdicts: Verdicts = field(default_factory=dict)
    utterances: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """What each validation utterance came to, by the run's name."""
    losses: Mapping[str, Points] = field(default_factory=dict)
    """validation.loss over the iterations, by the run's name; the best's at least."""

    @cached_property
    def commands(self) -> Commands:
        return Commands(self.evidence)

    @cached_property
    def trials(self) -> list[Result]:
        return list_searched(self.evidence.results)

    @property
    def direction(self) -> str:
        """Of the first objective."""
        return self.evidence.objective.direction

    @property
    def best(self) -> Result | None:
        """The best trial; None without one, and for runs without a study."""
        return None if self.finalists.best is None else self.finalists.best.result

    @property
    def confirmed(self) -> Confirmation | None:
        """What the reruns came to; None without any, and with several objectives, which are not rerun."""
        return None if len(self.evidence.objectives) > 1 else confirmation(self.evidence.results, self.direction)

    @property
    def failed(self) -> list[Run]:
        return [run for run in self.evidence.runs if run.state == "failed"]

    @cached_property
    def space(self) -> Mapping[str, Any]:
        """Space.to_plain(); empty without a search."""
        return self.evidence.space or {}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        return read_parameters(self.space)

    @property
    def wanted(self) -> int:
        """Trials that the space takes, at least those there are."""
        return max(TRIALS_PER_DIMENSION * len(self.parameters), len(self.trials))

    @property
    def asked(self) -> int:
        """Trials that the study's own command line asks for; 0 when it is unknown."""
        asked = parse_options(self.evidence.command).get("trials", "")
        return int(asked) if asked.isdecimal() else 0

    @property
    def aim(self) -> int:
        """Trials to ask for: what the space takes, and no fewer than were asked for before."""
        return max(self.wanted, self.asked)

    @cached_property
    def settings(self) -> Settings | None:
        """The study's settings; None when they are unknown, or another version's."""
        return parse_settings(self.evidence.settings)

    def settings_of(self, values: Mapping[str, Any]) -> Settings | None:
        return None if self.settings is None else with_values(self.settings, values)

    def sibling(self, suffix: str) -> str:
        return self.evidence.name[: LONGEST_NAME - len(suffix)] + suffix

    def begin_sibling(self, suffix: str, changes: Mapping[str, Any]) -> str:
        """The command for another study with these settings."""
        return self.commands.with_settings(self.sibling(suffix), list_assignments(changes))

    @property
    def twice(self) -> str:
        return double_budget(self.evidence.budget) if self.evidence.budget else ""


def double_budget(budget: str) -> str:
    parsed = Budget.parse(budget)
    return f"{2 * parsed.amount:.12g}{parsed.unit}"


# ranges


def find_end(parameter: Parameter, value: Category) -> End | None:
    """The end of its range at which a value lies, if the setting goes on there."""
    return parameter.end_at(value, limits_of(parameter.name))


def describe_extent(parameter: Parameter) -> str:
    """Its values without words."""
    low, high = parameter.extremes()
    return ", ".join(map(format_setting, parameter.choices)) if parameter.choices else f"{low:g}–{high:g}"


def widen_range(parameter: Parameter, end: End) -> str:
    """The range, or the choices, with more room at an end, within the setting's own limits; as a person reads it."""
    if parameter.type == "categorical":
        choices = sorted([*parameter.choices, extrapolate_choice(parameter, end)], key=float)
        return ", ".join(map(format_setting, choices))
    low, high = parameter.extremes()
    if end == "low":
        low = round_end(parameter, low, stretch_end(parameter, -1))
    else:
        high = round_end(parameter, high, stretch_end(parameter, 1))
    return write_range(parameter, low, high)


def stretch_end(parameter: Parameter, way: int) -> float:
    """An end moved out by half of the range: of its ratio when it is log, of its width otherwise."""
    low, high = parameter.extremes()
    if parameter.log:
        factor = min(LONGEST_STEP, max(2.0, math.sqrt(high / low)))
        return high * factor if way > 0 else low / factor
    moved = high + (high - low) / 2 if way > 0 else low - (high - low) / 2
    return moved if moved > 0 or low <= 0 else low / 2  # a range above 0 stays above it


def round_end(parameter: Parameter, end: float, moved: float) -> float:
    """A new end in one digit or two, on the parameter's steps, and within the setting's limits."""
    if parameter.step is not None:
        return limit_setting(parameter.name, end + parameter.step * round((moved - end) / parameter.step))
    # the shortest number that is still further out than the old end
    digits = (float(f"{moved:.1g}"), float(f"{moved:.2g}"))
    short = next((number for number in digits if (number - end) * (moved - end) > 0), moved)
    return limit_setting(parameter.name, float(round(short)) if parameter.type == "int" else short)


def extrapolate_choice(parameter: Parameter, end: End) -> Category:
    """The choice that follows the outermost one as that follows the next: by ratio, from 0 on by distance."""
    numbers = sorted(float(choice) for choice in parameter.choices)
    last, before = (numbers[-1], numbers[-2]) if end == "high" else (numbers[0], numbers[1])
    further = last * last / before if before > 0 and last > 0 else last + (last - before)
    value = limit_setting(parameter.name, float(f"{further:.2g}"))
    return round(value) if all(isinstance(choice, int) for choice in parameter.choices) else value


def shift_range(parameter: Parameter, ratio: float) -> str:
    """The range with both ends times a ratio, within the setting's limits."""
    low, high = (limit_setting(parameter.name, float(f"{end * ratio:.2g}")) for end in parameter.extremes())
    if parameter.type == "int":
        low, high = float(round(low)), float(round(high))
    return write_range(parameter, low, high)


def write_range(parameter: Parameter, low: float, high: float) -> str:
    """A range as low: 1, high: 2 of a space file."""
    number = int if parameter.type == "int" else float
    return f"low: {number(low):g}, high: {number(high):g}"


def limit_setting(name: str, value: float) -> float:
    """The value, or the setting's own limit when it lies beyond."""
    low, high = limits_of(name)
    raised = value if low is None else max(value, low)
    return raised if high is None else min(raised, high)
