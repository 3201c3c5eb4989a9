"""A search's trials by their values, ready to be drawn: who is who, axes, groups of a parameter's values."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from smart_tuner.analysis.conclusions import baseline_trial, best_trial, cost, list_searched, reached_end
from smart_tuner.analysis.ranking import format_value
from smart_tuner.analysis.results import Result
from smart_tuner.figures.scales import Scale, needs_log
from smart_tuner.paths import trial_name
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.message import Message, format_metric

FEW_FOR_QUARTER = 8
"""A quarter of fewer trials says nothing."""
FAR = 3.0
"""Values that stretch an axis to this many times the extent of the others stand at its end instead."""
MOST_NAMED = 6
"""Values of a whole-number parameter that are named one by one."""
MOST_GROUPS = 4


@dataclass(frozen=True, kw_only=True)
class TriedParameter:
    """A parameter of the space, as trials have tried it."""

    name: str
    plain: Mapping[str, Any]
    """Of Space.to_plain()."""
    tried: Sequence[Any]

    @property
    def short(self) -> str:
        """Without its section: learning_rate."""
        return self.name.partition(".")[2] or self.name

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """Texts of a categorical parameter's values; a value beyond the space's comes last."""
        if self.plain["type"] != "categorical":
            return ()
        return tuple(dict.fromkeys(format_value(value) for value in (*self.plain["choices"], *self.tried)))

    def select(self, trials: Sequence[Result]) -> list[Result]:
        """The trials that have it: with conditions not all do."""
        return [trial for trial in trials if self.name in trial.values]

    def place(self, value: Any) -> float:
        """Where a value stands: itself, or its position among the choices."""
        return float(self.choices.index(format_value(value))) if self.choices else float(value)

    def place_aside(self, value: Any, number: int) -> float:
        """A place a little beside a choice's, so that its trials do not hide each other."""
        shift = (number * 0.618) % 1 - 0.5  # the golden ratio spreads successive numbers evenly
        return self.place(value) + (0.3 * shift if self.choices else 0.0)

    @property
    def scale(self) -> Scale:
        """The axis over its range, and over what was tried beyond it."""
        if self.choices:
            return Scale(label=self.short, low=-0.4, high=len(self.choices) - 0.6, choices=self.choices)
        low, high = min(self.plain["low"], *self.tried), max(self.plain["high"], *self.tried)
        distinct = sorted({float(value) for value in self.tried})
        marks = tuple(distinct) if self.plain["type"] == "int" and len(distinct) <= MOST_NAMED else ()
        is_log = bool(self.plain["log"]) and low > 0
        return Scale(label=self.short, low=low, high=high, log=is_log, marks=marks).widen(0.04)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The trials of a search that have a finite objective, by what they are."""

    metric: str
    direction: str
    all: tuple[Result, ...]
    best: Result | None
    baseline: Result | None
    space: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def ended(self) -> list[Result]:
        """Candidates for the best: complete, within the constraints; best first."""
        return [trial for trial in self.ranked if trial.state == "complete" and reached_end(trial)]

    @cached_property
    def stopped(self) -> list[Result]:
        return [trial for trial in self.ranked if trial.state == "stopped"]

    @cached_property
    def apart(self) -> list[Result]:
        """Those that are no candidates though they were not stopped: infeasible or audited."""
        numbers = {trial.number for trial in (*self.ended, *self.stopped)}
        return [trial for trial in self.ranked if trial.number not in numbers]

    @cached_property
    def ranked(self) -> list[Result]:
        """All, the lowest cost first."""
        return sorted(self.all, key=lambda trial: (self.cost(trial), trial.number))

    @cached_property
    def quarter(self) -> list[Result]:
        """The best quarter of the candidates; none of a few."""
        return self.ended[: len(self.ended) // 4] if len(self.ended) >= FEW_FOR_QUARTER else []

    def cost(self, trial: Result) -> float:
        """The objective, lower is better."""
        return cost(value_of(trial), self.direction)

    def parameter(self, name: str) -> TriedParameter:
        """A parameter of the space as these trials have it."""
        tried = [trial.values[name] for trial in self.all if name in trial.values]
        return TriedParameter(name=name, plain=self.space[name], tried=tried)

    @cached_property
    def usual(self) -> list[float]:
        """The objectives, without the worst twentieth when it lies far from the others."""
        values = [value_of(trial) for trial in self.ranked]
        kept = values[: max(1, math.ceil(0.95 * len(values)) - 1)]
        is_far = abs(values[-1] - values[0]) > FAR * abs(kept[-1] - kept[0]) > 0
        return kept if is_far else values

    @property
    def scale(self) -> Scale:
        """The objective's axis; powers of ten when some of its values are that far away."""
        low, high = min(self.usual), max(self.usual)
        return Scale(label=self.metric, low=low, high=high, log=needs_log(self.usual)).widen(0.06)

    def describe(self, trial: Result, *parameters: TriedParameter) -> str:
        """A trial in a line: what the pointer shows."""
        measured = f"{trial_name(trial.number)}: {self.metric} {format_metric(trial.value)}"
        values = [
            f"{parameter.short}={format_value(trial.values[parameter.name])}"
            for parameter in parameters
            if parameter.name in trial.values
        ]
        return ", ".join([measured, *values])


def find_trials(evidence: Evidence) -> Trials:
    results = evidence.results
    known = [trial for trial in list_searched(results) if trial.value is not None and math.isfinite(trial.value)]
    baseline = baseline_trial(results)
    return Trials(
        metric=evidence.objective.metric,
        direction=evidence.objective.direction,
        all=tuple(known),
        best=best_trial(results, evidence.objective.direction),
        baseline=baseline if baseline in known else None,
        space=(evidence.space or {}).get("parameters", {}),
    )


def value_of(trial: Result) -> float:
    """Its objective, which trials here have."""
    assert trial.value is not None
    return trial.value


def group_values(parameter: TriedParameter, trials: Sequence[Result]) -> list[tuple[str, float, float]]:
    """Text, lowest and highest of each choice, else of ranges of a parameter's values with equal numbers of trials."""
    if parameter.choices:
        return [(text, place, place) for place, text in enumerate(parameter.choices)]
    values = sorted(parameter.place(trial.values[parameter.name]) for trial in parameter.select(trials))
    distinct = sorted(set(values))
    cuts = [values[math.ceil(place * len(values) / MOST_GROUPS) - 1] for place in range(1, MOST_GROUPS + 1)]
    groups, low = [], distinct[0]
    for high in distinct if len(distinct) <= MOST_GROUPS else dict.fromkeys(cuts):
        text = format_value(low) if low == high else f"{format_value(low)} – {format_value(high)}"
        groups.append((text, low, high))
        low = next((value for value in distinct if value > high), high)
    return groups


def tabulate_groups(trials: Trials, parameter: TriedParameter) -> tuple[tuple[str, ...], ...]:
    """For each group of values: candidates, their best and median objective, and how many were stopped."""

    def select(among: Sequence[Result], low: float, high: float) -> list[Result]:
        having = parameter.select(among)
        return [trial for trial in having if low <= parameter.place(trial.values[parameter.name]) <= high]

    rows = []
    for text, low, high in group_values(parameter, [*trials.ended, *trials.stopped]):
        values = [value_of(trial) for trial in select(trials.ended, low, high)]
        best = (max if trials.direction == "maximize" else min)(values, default=None)
        median = statistics.median(values) if values else None
        stopped = len(select(trials.stopped, low, high))
        rows.append((text, str(len(values)), format_metric(best), format_metric(median), str(stopped)))
    return tuple(rows)


def describe_whereabouts(parameter: TriedParameter, trials: Sequence[Result]) -> Message:
    values = [trial.values[parameter.name] for trial in parameter.select(trials)]
    places = {format_value(value): parameter.place(value) for value in values}
    texts = sorted(places, key=lambda text: places[text])
    if parameter.choices or len(texts) <= 2:
        return Message("at {values}", values=texts)
    return Message("from {low} to {high}", low=texts[0], high=texts[-1])
