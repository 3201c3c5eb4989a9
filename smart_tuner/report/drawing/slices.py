"""A search's trials by their values, ready to be drawn: who is who, axes, groups of a parameter's values."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from smart_tuner.figures.scales import Scale
from smart_tuner.report.catalogue import Said, said
from smart_tuner.report.drawing.shapes import spread
from smart_tuner.report.evidence import Evidence
from smart_tuner.report.phrases import figure
from smart_tuner.study.conclusions import baseline_trial, best_trial, cost, name, reached_end, searched
from smart_tuner.study.results import Result
from smart_tuner.study.summary import number, plain

FEW = 8
"""A quarter of fewer trials says nothing."""
FAR = 3.0
"""Values that stretch an axis to this many times the extent of the others stand at its end instead."""
MOST_NAMED = 6
"""Values of a whole-number parameter that are named one by one."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
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
        return tuple(dict.fromkeys(plain(one) for one in (*self.plain["choices"], *self.tried)))

    def place(self, value: Any) -> float:
        """Where a value stands: itself, or its position among the choices."""
        return float(self.choices.index(plain(value))) if self.choices else float(value)

    def aside(self, value: Any, shift: float) -> float:
        """A place beside the value's, by a shift from -0.5 to 0.5, when there are few values; else the value's."""
        scale = self.scale()
        if not scale.choices and not scale.marks:
            return self.place(value)
        if scale.log:
            return float(self.place(value) * (scale.high / scale.low) ** (0.06 * shift))
        width = 0.3 if scale.choices else 0.06 * (scale.high - scale.low)
        return self.place(value) + width * shift

    def scale(self, margin: float = 0.0) -> Scale:
        """The axis over its range, and over what was tried beyond it; margin: a share of it, on either side."""
        if self.choices:
            return Scale(
                label=self.short, low=-10 * margin, high=len(self.choices) - 1 + 10 * margin, choices=self.choices
            )
        low, high = min(self.plain["low"], *self.tried), max(self.plain["high"], *self.tried)
        distinct = sorted({float(one) for one in self.tried})
        marks = tuple(distinct) if self.plain["type"] == "int" and len(distinct) <= MOST_NAMED else ()
        return widened(
            Scale(label=self.short, low=low, high=high, log=bool(self.plain["log"]) and low > 0, marks=marks), margin
        )


def widened(scale: Scale, margin: float) -> Scale:
    """A scale with a margin on both sides; one without an extent gets some."""
    if scale.log:
        factor = (scale.high / scale.low) ** margin if scale.high > scale.low else 1 + margin
        low, high = scale.low / factor, scale.high * factor
    else:
        more = margin * (scale.high - scale.low or abs(scale.high) or 1.0)
        low, high = scale.low - more, scale.high + more
    return Scale(label=scale.label, low=low, high=high, log=scale.log, choices=scale.choices, marks=scale.marks)


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
        return [one for one in self.ranked if one.state == "complete" and reached_end(one)]

    @cached_property
    def stopped(self) -> list[Result]:
        """Those that a rule stopped."""
        return [one for one in self.ranked if one.state == "stopped"]

    @cached_property
    def apart(self) -> list[Result]:
        """Those that are no candidates though they were not stopped: infeasible or audited."""
        numbers = {one.number for one in (*self.ended, *self.stopped)}
        return [one for one in self.ranked if one.number not in numbers]

    @cached_property
    def ranked(self) -> list[Result]:
        """All, the lowest cost first."""
        return sorted(self.all, key=lambda one: (self.cost(one), one.number))

    @cached_property
    def ordered(self) -> list[Result]:
        """All, candidates first, each kind best first: what a sample keeps the beginning of."""
        return [*self.ended, *self.stopped, *self.apart]

    @cached_property
    def quarter(self) -> list[Result]:
        """The best quarter of the candidates; none of a few."""
        return self.ended[: len(self.ended) // 4] if len(self.ended) >= FEW else []

    def only(self, results: Sequence[Result]) -> "Trials":
        """Some of them."""
        return replace(self, all=tuple(results))

    def cost(self, result: Result) -> float:
        """The objective, lower is better."""
        return cost(value_of(result), self.direction)

    def parameter(self, parameter: str) -> Parameter:
        """A parameter of the space as these trials have it."""
        tried = [one.values[parameter] for one in self.all if parameter in one.values]
        return Parameter(name=parameter, plain=self.space[parameter], tried=tried)

    def usual(self, shown: Sequence[Result]) -> list[float]:
        """Their objectives, without the worst twentieth when it lies far from the others."""
        values = [value_of(one) for one in sorted(shown, key=lambda one: (self.cost(one), one.number))]
        kept = values[: max(1, math.ceil(0.95 * len(values)) - 1)]
        far = abs(values[-1] - values[0]) > FAR * abs(kept[-1] - kept[0]) > 0
        return kept if far else values

    def scale(self, shown: Sequence[Result], margin: float = 0.0) -> Scale:
        """The objective's axis; powers of ten when some of its values are that far away."""
        values = self.usual(shown)
        return widened(Scale(label=self.metric, low=min(values), high=max(values), log=spread(values)), margin)

    def of_metric(self, metric: str, shown: Sequence[Result], margin: float) -> Scale:
        """An axis for any metric that trials have."""
        values = [one.metrics[metric] for one in shown]
        return widened(Scale(label=metric, low=min(values), high=max(values), log=spread(values)), margin)

    def sample(self, most: int, top: int, *, among: Sequence[Result]) -> list[Result]:
        """At most so many trials, in their order: the first few, the baseline, and of the others a random sample."""
        if len(among) <= most:
            return list(among)
        kept = {one.number for one in among[:top]}
        kept |= {one.number for one in (self.best, self.baseline) if one is not None}
        others = [one.number for one in among if one.number not in kept]
        kept |= set(random.Random(0).sample(others, most - len(kept)))
        return [one for one in among if one.number in kept]

    def word(self, result: Result, parameters: Sequence[Parameter]) -> str:
        """A trial in a line: what the pointer shows."""
        values = [f"{one.short}={plain(result.values[one.name])}" for one in parameters if one.name in result.values]
        return ", ".join([f"{name(result.number)}: {self.metric} {number(result.loss)}", *values])


def trials_of(evidence: Evidence) -> Trials:
    """The trials of an evidence's search."""
    objective = evidence.objectives[0]
    results = evidence.results
    known = [one for one in searched(results) if one.loss is not None and math.isfinite(one.loss)]
    baseline = baseline_trial(results)
    return Trials(
        metric=objective.metric,
        direction=objective.direction,
        all=tuple(known),
        best=best_trial(results, objective.direction),
        baseline=baseline if baseline in known else None,
        space=(evidence.space or {}).get("parameters", {}),
    )


def value_of(result: Result) -> float:
    """Its objective, which trials here have."""
    assert result.loss is not None
    return result.loss


@dataclass(frozen=True, kw_only=True)
class Group:
    """Trials with like values of a parameter."""

    text: str
    low: float
    high: float


def groups(parameter: Parameter, trials: Sequence[Result], most: int = 4) -> list[Group]:
    """Each value of a parameter that has few, else ranges that hold equal numbers of the trials."""
    if parameter.choices:
        return [Group(text=text, low=place, high=place) for place, text in enumerate(parameter.choices)]
    values = sorted(parameter.place(one.values[parameter.name]) for one in trials if parameter.name in one.values)
    distinct = sorted(set(values))
    if len(distinct) <= most:
        return [Group(text=plain(value), low=value, high=value) for value in distinct]
    size = len(values) / most
    cuts = [values[math.ceil(place * size) - 1] for place in range(1, most + 1)]
    found, low = [], distinct[0]
    for high in dict.fromkeys(cuts):
        found.append(Group(text=plain(low) if low == high else f"{plain(low)} – {plain(high)}", low=low, high=high))
        low = next((value for value in distinct if value > high), high)
    return found


def inside(group: Group, parameter: Parameter, trials: Sequence[Result]) -> list[Result]:
    """The trials whose value belongs to a group."""
    return [
        one
        for one in trials
        if parameter.name in one.values and group.low <= parameter.place(one.values[parameter.name]) <= group.high
    ]


def table(trials: Trials, parameter: Parameter, most: int = 4) -> tuple[tuple[str, ...], ...]:
    """For each group of values: candidates, their best and median objective, and how many were stopped."""
    rows = []
    for group in groups(parameter, [*trials.ended, *trials.stopped], most):
        costs = [value_of(one) for one in inside(group, parameter, trials.ended)]
        best = (max if trials.direction == "maximize" else min)(costs, default=None)
        median = statistics.median(costs) if costs else None
        stopped = len(inside(group, parameter, trials.stopped))
        rows.append((group.text, str(len(costs)), figure(best), figure(median), str(stopped)))
    return tuple(rows)


def where(parameter: Parameter, trials: Sequence[Result]) -> Said:
    """Where trials lie on a parameter."""
    values = [one.values[parameter.name] for one in trials if parameter.name in one.values]
    distinct = sorted({plain(value): parameter.place(value) for value in values}.items(), key=lambda pair: pair[1])
    if parameter.choices or len(distinct) <= 2:
        return said("charts.at", values=[text for text, _ in distinct])
    return said("charts.between", low=distinct[0][0], high=distinct[-1][0])
