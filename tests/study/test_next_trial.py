"""What a search trains next: the points of a grid, the confirmation of its best, and what time allows."""

import dataclasses
import json
import time
from collections.abc import Callable

import pytest

from smart_tuner.analysis.conclusions import best_trial
from smart_tuner.errors import Interrupted
from smart_tuner.space.space import Sampler
from smart_tuner.trial import Trial
from tests.support.scripted import Executor, Killed, Script, training, validation
from tests.support.searches import (
    FULL,
    GUIDED,
    INTERRUPTED,
    OWN,
    SICK,
    SPACE,
    Open,
    R,
    act,
    ending,
    finish,
    fixed,
    healthy,
    loss_of,
    searched,
)

# grid


def test_a_grid_is_trained_point_by_point_and_then_done(open_study: Open) -> None:
    chosen = dataclasses.replace(SPACE, parameters=(GUIDED, R), sampler=Sampler(name="grid"))
    with pytest.raises(Killed):
        finish(open_study(99, chosen), Executor(act=act({3: ending(Killed())})))
    study = open_study(99, chosen)
    finish(study)
    points = [json.dumps(result.values, sort_keys=True) for result in study.results()]
    assert len(points) == len(set(points)) == 6
    assert study.over == "The grid is done: all 6 combinations have been tried."


# confirmation

CONFIRM = dataclasses.replace(SPACE, confirm=2)


def test_the_best_and_the_baseline_are_trained_again_with_the_same_seeds(open_study: Open) -> None:
    study = open_study(5, CONFIRM)
    executor = finish(study)
    best = best_trial(study.results())
    assert best is not None
    again = executor.trials[5:]
    assert [trial.settings.hparams.seed - 1_001_234 for trial in again] == [0, 0, 1, 1]
    assert [result.confirms for result in study.results()[5:]] == ["best", "baseline"] * 2
    assert [result.values for result in study.results()[5:]] == [best.values, OWN] * 2
    assert all(trial.origin == "replicate" for trial in again)
    assert len(searched(study)) == 5


def test_the_confirmation_waits_for_the_whole_search(open_study: Open) -> None:
    study = open_study(4, CONFIRM, slots=3)
    executor = finish(study, Executor(act=healthy, slots=3))
    assert [trial.number for trial in executor.trials] == list(range(8))
    assert [bool(result.confirms) for result in study.results()] == [False] * 4 + [True] * 4


def test_a_confirmation_goes_on_where_it_was_left(open_study: Open) -> None:
    with pytest.raises(Interrupted):
        finish(open_study(3, CONFIRM), Executor(act=act({5: ending(INTERRUPTED)})))
    study = open_study(3, CONFIRM)
    assert [trial.number for trial in finish(study).trials] == [5, 6]
    assert [result.confirms for result in study.results()[3:]] == ["best", "baseline"] * 2


def test_another_best_is_confirmed_anew_and_the_old_ones_are_called_earlier(open_study: Open) -> None:
    losses = {0: fixed(0.5, 0.5, 0.5, 0.5), 1: fixed(0.4, 0.4, 0.4, 0.4), 6: fixed(0.1, 0.1, 0.1, 0.1)}
    finish(open_study(2, CONFIRM), Executor(act=act(losses)))
    study = open_study(3, CONFIRM)
    finish(study, Executor(act=act(losses)))
    labels = [result.confirms for result in study.results()]
    assert labels == ["", "", "earlier", "baseline", "earlier", "baseline", "", "best", "best"]


@pytest.mark.parametrize("losses", [{0: fixed(0.0, 0.0, 0.0, 0.0)}, {n: ending(SICK) for n in range(3)}])
def test_without_a_better_trial_there_is_nothing_to_confirm(
    open_study: Open, losses: dict[int, Callable[[Trial], Script]]
) -> None:
    assert len(finish(open_study(3, CONFIRM), Executor(act=act(losses))).trials) == 3


def test_a_sick_baseline_is_not_trained_again(open_study: Open) -> None:
    study = open_study(3, CONFIRM)
    finish(study, Executor(act=act({0: ending(SICK)})))
    assert [result.confirms for result in study.results()[3:]] == ["best", "best"]


def test_a_failed_confirmation_is_tried_once_more_and_not_for_ever(open_study: Open) -> None:
    study = open_study(2, CONFIRM)
    executor = finish(study, Executor(act=act({2: ending(FULL), 3: ending(FULL)})))
    assert [trial.origin for trial in executor.trials[2:]] == ["replicate", "retried", *["replicate"] * 3]
    assert len(searched(study)) == 2


# time


def test_the_search_keeps_the_time_for_its_confirmation(open_study: Open) -> None:
    """A complete trial takes 1000 s, so that one more and then 4 on 2 slots need 3000 s."""
    slow = [training(1, 1000.0), validation(3, 0.5)]
    finish(open_study(2, CONFIRM, slots=2), Executor(act=lambda trial: [*slow, validation(6, loss_of(trial))]))
    left = open_study(9, CONFIRM, slots=2, deadline=time.monotonic() + 2900)
    assert left.next_trial(0) is None
    assert left.over == "The time is up, but for what the confirmation needs."
    enough = open_study(9, CONFIRM, slots=2, deadline=time.monotonic() + 3100)
    assert enough.next_trial(0) is not None
    assert enough.over == ""


def test_out_of_time_the_search_ends_and_the_best_is_confirmed(open_study: Open) -> None:
    study = open_study(9, CONFIRM, deadline=time.monotonic() + 3600)
    slow = 3600 / 4 + 1
    executor = Executor(act=lambda trial: [training(1, 1.0 if trial.number < 3 else slow * 4), *healthy(trial)[1:]])
    finish(study, executor)
    assert [bool(result.confirms) for result in study.results()].index(True) == 4
    assert sum(result.confirms == "baseline" for result in study.results()) == 2
