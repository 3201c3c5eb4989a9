"""Finished trials in order, and in what they differ: what leaderboards are made of."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from smart_tuner.analysis.conclusions import cost, list_searched, pareto
from smart_tuner.analysis.results import Result
from smart_tuner.space.objective import Objective


def pareto_front(results: Sequence[Result], objectives: Sequence[Objective]) -> list[Result]:
    """The complete, feasible trials that no other beats in every objective, by the first objective."""
    ended = [result for result in list_searched(results) if result.state == "complete" and result.feasible]
    found = [ended[position] for position in pareto([result.metrics for result in ended], objectives)]
    first = objectives[0]
    return sorted(found, key=lambda result: (cost(result.metrics[first.metric], first.direction), result.number))


def rank_of(result: Result, direction: str) -> tuple[tuple[bool, ...], float, int]:
    """What trials are sorted by: feasible ones, reruns, infeasible, audited, stopped ones; each kind best first."""
    known = result.value is not None and math.isfinite(result.value)
    infeasible = result.state == "complete" and not result.feasible
    groups = (result.state == "stopped", result.state == "audited", infeasible, bool(result.confirms))
    value = cost(result.value, direction) if known and result.value is not None else math.inf
    return groups, value, result.number


def format_changes(result: Result, baseline: Result) -> str:
    """The values that differ from the baseline's; one whose condition does not hold is no change."""
    return format_assignments({key: value for key, value in result.values.items() if baseline.values.get(key) != value})


def format_assignments(values: Mapping[str, Any]) -> str:
    """Values as --set takes them."""
    return ", ".join(f"{key}={format_value(value)}" for key, value in values.items())


def format_value(value: Any) -> str:
    """A value as YAML has it, floats in four digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value)
