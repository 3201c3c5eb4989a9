"""How to go on with a search: every number here is worked out by hand."""

import math
from typing import Any

import pytest
from cases import BATCH, BATCHES, RATE, RATES, case, result, shares, space, stopped

from smart_tuner.report import searching
from smart_tuner.report.searching import paces, runs_needed, shown
from smart_tuner.report.view import Advice

BOTH = space({RATE: RATES, BATCH: BATCHES})


def at(number: int, loss: float, rate: float, batch: int = 16, **changed: Any) -> Any:
    return result(number, loss, values={RATE: rate, BATCH: batch}, **changed)


def spoken(advice: Advice | None) -> Advice:
    assert advice is not None
    return advice


# boundary


def test_a_best_at_an_end_asks_for_a_wider_range_and_takes_the_trials_over() -> None:
    found = spoken(searching.boundary(case([at(0, 0.5, 1e-3), at(1, 0.4, 9.9e-3)], space=BOTH)))
    [wanted], [why] = found.what.facts["ranges"], found.because.facts["reasons"]
    assert wanted.facts == {"name": RATE, "range": "low: 0.0001, high: 0.1"}  # by the square root of 100
    assert (why.facts["value"], why.facts["extent"]) == ("0.0099", "0.0001–0.01")
    assert found.command.endswith("--space mine.yaml --study mine-wider --warm-start mine --trials 10")


def test_a_best_within_the_ranges_asks_for_nothing() -> None:
    assert searching.boundary(case([at(0, 0.5, 1e-3), at(1, 0.4, 2e-3)], space=BOTH)) is None
    assert searching.boundary(case([], space=BOTH)) is None


def test_a_parameter_that_matters_little_is_not_widened() -> None:
    trials = [at(0, 0.5, 1e-3), at(1, 0.4, 9.9e-3)]
    assert searching.boundary(case(trials, space=BOTH, importance=shares(learning_rate=0.1, batch_size=0.9))) is None


def test_an_outermost_choice_counts_only_when_its_trials_are_no_worse() -> None:
    lucky = [at(0, 0.5, 1e-3), at(1, 0.5, 1e-3), at(2, 0.4, 1e-3, 32), at(3, 0.7, 1e-3, 32)]
    leading = [*lucky[:3], at(3, 0.5, 1e-3, 32)]
    assert searching.boundary(case(lucky, space=BOTH)) is None  # median 0.55 against 0.5
    found = spoken(searching.boundary(case(leading, space=BOTH)))
    assert found.what.facts["ranges"][0].facts["range"] == "8, 16, 32, 64"


def test_the_best_quarter_crowding_at_an_end_asks_for_more_too() -> None:
    rates = [2e-3, 9.9e-3, 9.8e-3, 9.7e-3, *[1e-3] * 12]
    trials = [at(number, 0.4 + number / 100, rate) for number, rate in enumerate(rates)]
    found = spoken(searching.boundary(case(trials, space=BOTH)))
    [why] = found.because.facts["reasons"]
    assert (why.key, why.facts["count"], why.facts["top"]) == ("advice.crowd", 3, 4)
    assert searching.boundary(case(trials[:12], space=BOTH)) is None  # a quarter of three is no crowd


# pace


def paced(number: int, batch: int, seconds: float, loss: float = 0.5) -> Any:
    return at(number, loss, 1e-3, batch, seconds=seconds)


PACED = [
    paced(0, 16, 10.0, 0.4),
    paced(1, 16, 12.0),
    paced(2, 32, 7.0),
    paced(3, 32, 5.0),
    paced(4, 8, 20.0),
    paced(5, 8, 24.0),
    paced(6, 8, 22.0),
]


def test_a_batch_size_that_matters_little_is_chosen_by_its_pace() -> None:
    known = shares(learning_rate=0.9, batch_size=0.1)
    found = spoken(searching.fastest(case(PACED, space=BOTH, importance=known)))
    assert found.what.facts == {"name": BATCH, "value": "32"}
    told = [(one.facts["label"], one.facts["ms"], one.facts["count"]) for one in found.because.facts["paces"]]
    assert told == [("8", pytest.approx(22.0), 3), ("16", pytest.approx(11.0), 2), ("32", pytest.approx(6.0), 2)]
    assert found.command.endswith("--mode train --trials 1 --from-study mine --set hparams.batch_size=32")


def test_the_pace_decides_nothing_when_the_batch_size_matters_or_the_best_is_fast_already() -> None:
    assert searching.fastest(case(PACED, space=BOTH, importance=shares(learning_rate=0.9, batch_size=0.2))) is None
    assert searching.fastest(case(PACED, space=BOTH)) is None
    fast = [*PACED, paced(7, 32, 6.0, 0.3)]
    assert searching.fastest(case(fast, space=BOTH, importance=shares(learning_rate=0.9, batch_size=0.1))) is None


def test_many_values_are_compared_in_three_groups() -> None:
    found = paces([paced(number, 8 + number, 10.0 + number) for number in range(9)], BATCH)
    assert [(one.label, one.value, one.seconds) for one in found] == [
        ("8–10", 9, pytest.approx(0.011)),
        ("11–13", 12, pytest.approx(0.014)),
        ("14–16", 15, pytest.approx(0.017)),
    ]


def test_what_matters_little_is_left_out_of_the_next_search() -> None:
    found = spoken(searching.drop(case(PACED, space=BOTH, importance=shares(learning_rate=0.9, batch_size=0.149))))
    assert found.what.facts["names"] == [BATCH]
    assert searching.drop(case(PACED, importance=shares(learning_rate=0.9, batch_size=0.15))) is None


# trials


def test_fewer_than_five_trials_a_parameter_ask_for_more() -> None:
    found = spoken(searching.few(case([result(number) for number in range(7)], space=BOTH)))
    assert found.what.facts == {"more": 3}
    assert found.because.facts == {"trials": 7, "dimensions": 2, "wanted": 10}
    assert found.command.endswith("--space mine.yaml --trials 10 --study mine")


def test_enough_trials_a_running_study_a_grid_and_no_search_ask_for_none() -> None:
    some = [result(number) for number in range(7)]
    assert searching.few(case([result(number) for number in range(10)], space=BOTH)) is None
    assert searching.few(case(some, space=BOTH, running=1)) is None
    assert searching.few(case(some, space=BOTH | {"sampler": {"name": "grid"}})) is None
    assert searching.few(case(some, space=None)) is None


def test_a_last_third_without_a_better_trial_is_a_plateau() -> None:
    trials = [result(number, 0.4 if number == 7 else 0.5) for number in range(12)]
    found = spoken(searching.plateau(case(trials)))
    assert found.because.facts == {"name": "trial-0007", "place": 8, "trials": 12, "since": 4}
    assert "--mode train" in found.command
    assert searching.plateau(case([*trials[:7], result(7), result(8, 0.4), *trials[9:]])) is None  # three since
    assert searching.plateau(case(trials[:9])) is None


# reruns


def rerun(found: list[float], base: list[float]) -> list[Any]:
    again = [result(20 + place, loss, confirms="best", values={RATE: 2e-3}) for place, loss in enumerate(found)]
    own = [result(30 + place, loss, confirms="baseline") for place, loss in enumerate(base)]
    return [result(0, 0.52), result(1, 0.3, values={RATE: 2e-3}), *again, *own]


def test_the_formula_of_guenther() -> None:
    # 2 * (1.959964 + 0.841621)^2 = 15.697758, 1.959964^2 / 4 = 0.960365
    assert runs_needed(1.0, 1.0) == 17  # 16.66
    assert runs_needed(0.5, 1.0) == 64  # 63.75, as in tables of the two-sample t test
    assert runs_needed(100.0, 1.0) == 2
    assert shown(1.0, 17) == pytest.approx(math.sqrt(15.697758 / (17 - 0.960365)), rel=1e-6)


def test_an_indistinguishable_gain_says_how_many_reruns_would_tell_it() -> None:
    # means 0.52 and 0.50, variance 0.0004 on both sides: gain 0.02 = one standard deviation
    found = spoken(searching.replicates(case(rerun([0.48, 0.50, 0.52], [0.50, 0.54]))))
    assert found.what.facts == {"needed": 17}
    facts = found.because.facts
    assert (facts["gain"], facts["spread"]) == (pytest.approx(0.02), pytest.approx(0.02))
    assert (facts["best"], facts["baseline"]) == (3, 3)
    assert found.command.endswith("--trials 2 --study mine")


def test_a_gain_that_would_take_too_many_reruns_is_said_to_be_none_to_count_on() -> None:
    # gain 0.01: 4 * 15.697758 + 0.960365 = 63.75
    found = spoken(searching.replicates(case(rerun([0.49, 0.51, 0.53], [0.50, 0.54]))))
    assert (found.what.key, found.what.facts["needed"], found.command) == ("advice.replicates_many", 64, "")


@pytest.mark.parametrize("best", [[0.40, 0.42, 0.44], [0.53, 0.55, 0.54], [0.4]])
def test_a_clear_gain_a_loss_and_too_few_runs_ask_for_no_number(best: list[float]) -> None:
    assert searching.replicates(case(rerun(best, [0.50, 0.54]))) is None
    assert searching.replicates(case([result(0)])) is None


def test_a_search_that_reruns_nothing_is_asked_to() -> None:
    trials = [result(0), result(1, 0.3, values={RATE: 2e-3})]
    found = spoken(searching.unconfirmed(case(trials, space=space(confirm=0))))
    assert found.because.facts == {"confirm": 0, "name": "trial-0001"}
    assert searching.unconfirmed(case(trials)) is None
    assert searching.unconfirmed(case([result(0)], space=space(confirm=0))) is None  # the baseline is the best


def test_a_train_study_says_its_noise_or_how_to_learn_it() -> None:
    one, three = [result(0, 0.5, values={})], [result(number, 0.4 + number / 10, values={}) for number in range(3)]
    asked = spoken(searching.noise(case(one, mode="train", space=None)))
    assert asked.what.key == "advice.seeds"
    assert "--trials 3" in asked.command
    told = spoken(searching.noise(case(three, mode="train", space=None)))
    assert (told.because.facts["mean"], told.because.facts["spread"]) == (pytest.approx(0.5), pytest.approx(0.1))
    assert told.what.facts["shown"] == pytest.approx(0.1 * math.sqrt(15.697758 / (3 - 0.960365)), rel=1e-6)  # 0.2774
    assert searching.noise(case(three)) is None
    assert searching.noise(case([stopped(0, "loss_jump")], mode="train")) is None


# budget


def test_a_best_in_the_last_tenth_asks_for_a_longer_training() -> None:
    late = {0: {"best.step": 90.0, "iteration": 100.0}}
    found = spoken(searching.longer(case([result(0)], metrics=late)))
    assert found.what.facts == {"budget": "2000utt"}
    assert found.command.endswith("--from-study mine --budget 2000utt")
    trained = spoken(searching.longer(case([result(0, values={})], metrics=late, mode="train", space=None)))
    assert "--study mine-longer --budget 2000utt" in trained.command


def test_a_search_on_a_shorter_budget_is_trained_at_full_length() -> None:
    late = {0: {"best.step": 90.0, "iteration": 100.0}}
    found = spoken(searching.longer(case([result(0)], metrics=late, space=space(budget="1000utt"))))
    assert found.what.key == "advice.full"
    assert "--budget" not in found.command


@pytest.mark.parametrize("known", [{"best.step": 89.0, "iteration": 100.0}, {"iteration": 100.0}, {}])
def test_a_best_before_that_or_an_unknown_one_asks_for_nothing(known: dict[str, float]) -> None:
    assert searching.longer(case([result(0)], metrics={0: known})) is None
