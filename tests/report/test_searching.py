"""How to go on with a search: every number here is worked out by hand."""

from typing import Any

import pytest

from smart_tuner.analysis.power import detectable
from smart_tuner.report.evidence import BATCH
from smart_tuner.report.searching import (
    advise_difference,
    advise_fewer_parameters,
    advise_longer_training,
    advise_more_reruns,
    advise_more_trials,
    advise_wider_ranges,
)
from tests.support.cases import BATCHES, RATE, RATES, case, fallen, result, shares, space, spoken, stopped

BOTH = space({RATE: RATES, BATCH: BATCHES})


def at(number: int, loss: float, rate: float, batch: int = 16, **changed: Any) -> Any:
    return result(number, loss, values={RATE: rate, BATCH: batch}, **changed)


# reruns


def rerun(found: list[float], base: list[float]) -> list[Any]:
    again = [result(20 + place, loss, confirms="best", values={RATE: 2e-3}) for place, loss in enumerate(found)]
    own = [result(30 + place, loss, confirms="baseline") for place, loss in enumerate(base)]
    return [result(0, 0.52), result(1, 0.3, values={RATE: 2e-3}), *again, *own]


def test_an_indistinguishable_gain_says_how_many_reruns_would_tell_it() -> None:
    # means 0.52 and 0.50, variance 0.0004 on both sides: gain 0.02 = one standard deviation
    found = spoken(advise_more_reruns(case(rerun([0.48, 0.50, 0.52], [0.50, 0.54]))))
    facts = found.because.facts
    assert found.what.facts == {"needed": 17}
    assert (facts["gain"], facts["spread"]) == (pytest.approx(0.02), pytest.approx(0.02))
    assert (facts["best"], facts["base"], facts["rough"]) == (3, 3, "")
    assert found.command.endswith("--trials 2 --study mine")
    two = spoken(advise_more_reruns(case(rerun([0.48, 0.52], [0.50, 0.54]))))
    assert "comes from 2 runs" in two.because.facts["rough"].text
    # gain 0.01, half a standard deviation: 64 as in tables of the two-sample t test
    many = spoken(advise_more_reruns(case(rerun([0.49, 0.51, 0.53], [0.50, 0.54]))))
    assert many.what.text.startswith("Do not count on the gain")
    assert (many.what.facts["needed"], many.command) == (64, "")


@pytest.mark.parametrize("best", [[0.40, 0.42, 0.44], [0.53, 0.55, 0.54], [0.4]])
def test_a_clear_gain_a_loss_and_too_few_runs_ask_for_no_number(best: list[float]) -> None:
    assert advise_more_reruns(case(rerun(best, [0.50, 0.54]))) is None
    assert advise_more_reruns(case([result(0)])) is None


def test_a_train_study_says_what_difference_can_be_shown() -> None:
    seeds = [result(number, 0.4 + number / 10, values={}) for number in range(3)]
    told = spoken(advise_difference(case(seeds, mode="train", space=None)))
    assert told.what.facts == {"least": pytest.approx(detectable(0.1, 3)), "runs": 3}  # 0.35
    assert (told.because.facts["count"], told.because.facts["rough"]) == (3, "")
    two = spoken(advise_difference(case(seeds[:2], mode="train", space=None)))
    assert "comes from 2 runs" in two.because.facts["rough"].text
    assert advise_difference(case(seeds)) is None
    assert advise_difference(case(seeds[:1], mode="train")) is None
    assert advise_difference(case([stopped(0, "loss_jump")], mode="train")) is None


# ranges


def test_a_best_at_an_end_asks_for_a_wider_range_and_takes_the_trials_over() -> None:
    trials = [at(0, 0.5, 1e-3), at(1, 0.4, 9.9e-3)]
    found = spoken(advise_wider_ranges(case(trials, space=BOTH)))
    [wanted], [why] = found.what.facts["ranges"], found.because.facts["reasons"]
    assert wanted.facts == {"name": RATE, "range": "low: 0.0001, high: 0.1"}  # by the square root of 100
    assert (why.facts["value"], why.facts["extent"]) == ("0.0099", "0.0001–0.01")
    assert found.command.endswith("--space mine.yaml --study mine-wider --warm-start mine --trials 12")  # as asked
    few = spoken(advise_wider_ranges(case(trials, space=BOTH, command="run.py --mode tune --trials=4")))
    assert few.command.endswith("--warm-start mine --trials 10"), "as many as the space takes"


def test_beside_a_confirmed_best_a_wider_range_is_one_of_two_ways() -> None:
    base = [result(2 + place, loss, confirms="baseline", values={RATE: 1e-3}) for place, loss in enumerate((0.5, 0.51))]
    trials = [result(0, 0.5), result(1, 0.3, values={RATE: 9.9e-3}), *base]
    again = [result(5 + place, loss, confirms="best", values={RATE: 9.9e-3}) for place, loss in enumerate((0.3, 0.31))]
    found = spoken(advise_wider_ranges(case([*trials, *again])))
    assert found.what.text.startswith("Either train what was found")
    assert spoken(advise_wider_ranges(case(trials))).what.text.startswith("Widen in the space file")


def test_a_best_within_the_ranges_or_in_a_parameter_that_matters_little_asks_for_nothing() -> None:
    assert advise_wider_ranges(case([at(0, 0.5, 1e-3), at(1, 0.4, 2e-3)], space=BOTH)) is None
    assert advise_wider_ranges(case([], space=BOTH)) is None
    idle, trials = shares(learning_rate=0.1, batch_size=0.9), [at(0, 0.5, 1e-3), at(1, 0.4, 9.9e-3)]
    assert advise_wider_ranges(case(trials, space=BOTH, importance=idle)) is None


def test_an_outermost_choice_counts_only_when_two_trials_or_more_are_no_worse_than_others() -> None:
    lucky = [at(0, 0.5, 1e-3), at(1, 0.5, 1e-3), at(2, 0.4, 1e-3, 32), at(3, 0.7, 1e-3, 32)]
    assert advise_wider_ranges(case(lucky, space=BOTH)) is None  # median 0.55 against 0.5
    found = spoken(advise_wider_ranges(case([*lucky[:3], at(3, 0.5, 1e-3, 32)], space=BOTH)))
    assert found.what.facts["ranges"][0].facts["range"] == "8, 16, 32, 64"
    cut = stopped(3, "asha", "pruner", values={RATE: 1e-3, BATCH: 32})
    only = [at(number, 0.5 - number / 100, 1e-3, 32) for number in range(16)]
    for trials in ([*lucky[:3], cut], only):
        assert advise_wider_ranges(case(trials, space=BOTH)) is None


def test_what_matters_little_is_left_out_of_the_next_search() -> None:
    trials = [at(0, 0.5, 1e-3)]
    idle = shares(learning_rate=0.9, batch_size=0.149)
    found = spoken(advise_fewer_parameters(case(trials, space=BOTH, importance=idle)))
    assert found.what.facts["names"] == [BATCH]
    known = shares(learning_rate=0.9, batch_size=0.15)
    assert advise_fewer_parameters(case(trials, importance=known)) is None


# trials and budget


def test_fewer_than_five_trials_a_parameter_ask_for_more_and_for_no_fewer_than_before() -> None:
    some = [result(number) for number in range(7)]
    found = spoken(advise_more_trials(case(some, space=BOTH, command="run.py --trials 7 --space mine.yaml")))
    assert found.what.facts == {"more": 3}
    assert found.because.facts == {"trials": 7, "dimensions": 2, "each": 5, "wanted": 10}
    assert found.command.endswith("--space mine.yaml --trials 10 --study mine")
    asked = spoken(advise_more_trials(case(some, space=BOTH)))
    assert asked.what.facts == {"more": 5}
    assert asked.command.endswith("--space mine.yaml --trials 12 --study mine")


def test_enough_trials_a_running_study_a_grid_and_no_search_ask_for_none() -> None:
    some = [result(number) for number in range(7)]
    assert advise_more_trials(case([result(number) for number in range(10)], space=BOTH)) is None
    assert advise_more_trials(case(some, space=BOTH, running=1)) is None
    assert advise_more_trials(case(some, space=BOTH | {"sampler": {"name": "grid"}})) is None
    assert advise_more_trials(case(some, space=None)) is None


def test_a_loss_that_fell_in_the_last_fifth_asks_for_a_longer_training() -> None:
    found = spoken(advise_longer_training(case([result(0)], losses=fallen(0.02))))
    facts = found.because.facts
    assert found.what.facts == {"budget": "2000utt"}
    assert [facts[name] for name in ("early", "step", "final", "end")] == [0.5, 80, 0.49, 100]
    assert facts["percent"] == pytest.approx(2.0)
    assert found.command.endswith("--from-study mine --budget 2000utt")
    alone = case([result(0, values={})], losses=fallen(0.02), mode="train", space=None)
    assert "--study mine-longer --budget 2000utt" in spoken(advise_longer_training(alone)).command
    # the gain is over the lowest loss before, at 20, though the validation nearest to 80 is worse
    rough = {"trial-0000": [(20, 0.5), (75, 0.6), (90, 0.9), (100, 0.45)]}
    assert spoken(advise_longer_training(case([result(0)], losses=rough))).because.facts["percent"] == pytest.approx(10)


def test_a_best_that_gained_less_than_health_calls_flat_asks_for_nothing() -> None:
    assert advise_longer_training(case([result(0)], losses=fallen(0.009))) is None
    assert advise_longer_training(case([result(0)])) is None
    strict = case([result(0)], losses=fallen(0.02), settings="health: {flat_gain: 0.05}")
    assert advise_longer_training(strict) is None


def test_a_search_on_a_shorter_budget_is_trained_at_full_length() -> None:
    found = spoken(advise_longer_training(case([result(0)], losses=fallen(0.02), space=space(budget="9utt"))))
    assert found.what.text.startswith("Train it at full length")
    assert "--budget" not in found.command


@pytest.mark.parametrize(
    "points",
    [[], [(100, 0.5)], [(50, 0.6), (100, 0.5)], [(95, 0.6), (100, 0.5)], [(0, 0.5)], [(80, 0.0), (100, 0.0)]],
)
def test_without_a_validation_near_the_last_fifth_there_is_no_late_gain(points: list[tuple[int, float]]) -> None:
    assert advise_longer_training(case([result(0)], losses={"trial-0000": points})) is None
