"""Reruns: every number here is worked out by hand."""

from typing import Any

import pytest
from cases import RATE, case, result, space, stopped

from smart_tuner.report.advising.reruns import MOST_RERUNS, noise, replicates, unconfirmed, undecided
from smart_tuner.report.view import Advice
from smart_tuner.study.power import detectable


def spoken(advice: Advice | None) -> Advice:
    assert advice is not None
    return advice


def rerun(found: list[float], base: list[float]) -> list[Any]:
    again = [result(20 + place, loss, confirms="best", values={RATE: 2e-3}) for place, loss in enumerate(found)]
    own = [result(30 + place, loss, confirms="baseline") for place, loss in enumerate(base)]
    return [result(0, 0.52), result(1, 0.3, values={RATE: 2e-3}), *again, *own]


def test_an_indistinguishable_gain_says_how_many_reruns_would_tell_it() -> None:
    # means 0.52 and 0.50, variance 0.0004 on both sides: gain 0.02 = one standard deviation
    found = spoken(replicates(case(rerun([0.48, 0.50, 0.52], [0.50, 0.54]))))
    assert found.what.facts == {"needed": 17}
    facts = found.because.facts
    assert (facts["gain"], facts["spread"]) == (pytest.approx(0.02), pytest.approx(0.02))
    assert (facts["best"], facts["baseline"], facts["rough"]) == (3, 3, "")
    assert found.command.endswith("--trials 2 --study mine")


def test_a_scatter_of_two_runs_is_called_rough() -> None:
    found = spoken(replicates(case(rerun([0.48, 0.52], [0.50, 0.54]))))
    assert found.because.facts["rough"].key == "advice.rough"


def test_a_gain_that_would_take_too_many_reruns_is_said_to_be_none_to_count_on() -> None:
    # gain 0.01, half a standard deviation: 64 as in tables of the two-sample t test
    found = spoken(replicates(case(rerun([0.49, 0.51, 0.53], [0.50, 0.54]))))
    assert (found.what.key, found.what.facts["needed"], found.command) == ("advice.replicates_many", 64, "")


@pytest.mark.parametrize("best", [[0.40, 0.42, 0.44], [0.53, 0.55, 0.54], [0.4]])
def test_a_clear_gain_a_loss_and_too_few_runs_ask_for_no_number(best: list[float]) -> None:
    assert replicates(case(rerun(best, [0.50, 0.54]))) is None
    assert replicates(case([result(0)])) is None


def base_of(one_healthy: float, sick: int) -> list[Any]:
    """The best's two reruns against one healthy run of the baseline and some that were stopped."""
    off = [stopped(30 + place, "loss_jump", confirms="baseline") for place in range(sick)]
    return [*rerun([0.30, 0.32], [])[1:], result(0, one_healthy), *off]


def test_a_verdict_left_open_asks_for_twice_the_reruns() -> None:
    found = spoken(undecided(case(base_of(0.5, 1), space=space(confirm=2))))
    assert (found.what.key, found.what.facts) == ("advice.undecided", {"confirm": 4})
    assert found.because.facts == {"best": 2, "best_of": 2, "baseline": 1, "baseline_of": 2}
    assert found.command.endswith("--space mine.yaml --trials 2 --study mine")


def test_reruns_that_are_still_to_come_are_waited_for() -> None:
    found = spoken(undecided(case(base_of(0.5, 1))))  # confirm: 3
    assert (found.what.key, found.what.facts) == ("advice.undecided_lacking", {"confirm": 3})
    assert undecided(case(base_of(0.5, 1), running=1)) is None


def test_a_decided_verdict_no_reruns_and_the_most_reruns_ask_for_none() -> None:
    assert undecided(case(rerun([0.48, 0.50, 0.52], [0.50, 0.54]))) is None
    assert undecided(case(base_of(0.5, 1), space=space(confirm=1))) is None
    assert undecided(case([result(0)])) is None
    many = [*rerun([0.3 + place / 1000 for place in range(20)], [])[1:], result(0, 0.5)]
    sick = [stopped(50 + place, "loss_jump", confirms="baseline") for place in range(19)]
    assert undecided(case([*many, *sick], space=space(confirm=MOST_RERUNS))) is None


def test_a_search_that_reruns_nothing_is_asked_to() -> None:
    trials = [result(0), result(1, 0.3, values={RATE: 2e-3})]
    found = spoken(unconfirmed(case(trials, space=space(confirm=0))))
    assert found.because.facts == {"confirm": 0, "name": "trial-0001"}
    assert unconfirmed(case(trials)) is None
    assert unconfirmed(case([result(0)], space=space(confirm=0))) is None  # the baseline is the best


def test_a_train_study_says_its_noise_or_how_to_learn_it() -> None:
    one, three = [result(0, 0.5, values={})], [result(number, 0.4 + number / 10, values={}) for number in range(3)]
    asked = spoken(noise(case(one, mode="train", space=None)))
    assert asked.what.key == "advice.seeds"
    assert "--trials 3" in asked.command
    told = spoken(noise(case(three, mode="train", space=None)))
    assert (told.because.facts["mean"], told.because.facts["spread"]) == (pytest.approx(0.5), pytest.approx(0.1))
    assert told.what.facts == {"least": pytest.approx(detectable(0.1, 3)), "runs": 3}  # 0.35
    assert told.because.facts["rough"] == ""
    two = spoken(noise(case(three[:2], mode="train", space=None)))
    assert two.because.facts["rough"].key == "advice.rough"
    assert noise(case(three)) is None
    assert noise(case([stopped(0, "loss_jump")], mode="train")) is None
