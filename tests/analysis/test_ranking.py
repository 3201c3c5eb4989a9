"""Trials in the order of what they are worth, and what they change."""

import math

import pytest

from smart_tuner.analysis.ranking import format_assignments, format_changes, pareto_front, rank_of
from smart_tuner.analysis.results import Result
from smart_tuner.space.objective import Objective
from tests.support.evidenced import OWN, baseline, reruns, result, stopped

BOTH = [Objective(), Objective(metric="duration")]


def measured(number: int, loss: float, seconds: float) -> Result:
    return result(number, loss, metrics={"validation.loss": loss, "duration": seconds})


def test_trials_are_ordered_by_what_they_are_worth() -> None:
    doomed = result(4, 0.1, state="audited", kind="pruner", rule="asha")
    unknown = [result(6, math.nan), result(2, None)]
    results = [stopped(5), doomed, result(3, 0.1, feasible=False), *reruns("best", 0.1), *unknown, result(1, 0.3)]
    ordered = sorted([*results, baseline(0.5)], key=lambda one: rank_of(one, "minimize"))
    assert [one.number for one in ordered] == [1, 0, 2, 6, 50, 3, 4, 5]


@pytest.mark.parametrize(("direction", "first"), [("minimize", 0), ("maximize", 1)])
def test_the_direction_says_which_trial_is_first(direction: str, first: int) -> None:
    assert min([baseline(0.5), result(1, 0.7)], key=lambda one: rank_of(one, direction)).number == first


def test_the_front_holds_complete_feasible_trials_of_the_search_by_the_first_objective() -> None:
    perfect = {"metrics": {"validation.loss": 0.1, "duration": 0.1}}
    others = [
        result(7, 0.1, feasible=False, **perfect),
        *reruns("best", 0.1, **perfect),
        stopped(8, feasible=True, **perfect),
    ]
    found = pareto_front([measured(0, 0.5, 1.0), measured(1, 0.4, 2.0), measured(2, 0.6, 2.0), *others], BOTH)
    assert [one.number for one in found] == [1, 0]


def test_changes_are_what_differs_from_the_baseline_as_set_takes_it() -> None:
    trial = result(1, 0.4, values=OWN | {"hparams.use_guided_attn": True, "hparams.guide_weight": 1 / 3})
    changes = "hparams.use_guided_attn=true, hparams.guide_weight=0.3333"
    assert format_changes(trial, baseline(0.5)) == changes
    assert format_changes(baseline(0.5), trial) == ""  # what does not count there is no change
    assert format_assignments({"a": None, "b": 3, "c": "cosine"}) == "a=null, b=3, c=cosine"
