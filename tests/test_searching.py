"""How to go on with a search: every number here is worked out by hand."""

from typing import Any

import pytest
from cases import BATCH, BATCHES, RATE, RATES, case, fallen, result, shares, space, stopped

from smart_tuner.report.advising import searching
from smart_tuner.report.advising.searching import late_gain, paces
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
    assert found.command.endswith("--space mine.yaml --study mine-wider --warm-start mine --trials 12")  # as asked


def test_a_wider_search_takes_as_many_trials_as_its_space_when_fewer_were_asked_for() -> None:
    trials = [at(0, 0.5, 1e-3), at(1, 0.4, 9.9e-3)]
    found = spoken(searching.boundary(case(trials, space=BOTH, command="run.py --mode tune --trials=4")))
    assert found.command.endswith("--warm-start mine --trials 10")


def test_beside_a_confirmed_best_a_wider_range_is_one_of_two_ways() -> None:
    base = [result(2 + place, loss, confirms="baseline", values={RATE: 1e-3}) for place, loss in enumerate((0.5, 0.51))]
    trials = [result(0, 0.5), result(1, 0.3, values={RATE: 9.9e-3}), *base]
    again = [result(5 + place, loss, confirms="best", values={RATE: 9.9e-3}) for place, loss in enumerate((0.3, 0.31))]
    found = spoken(searching.boundary(case([*trials, *again])))
    assert found.what.key == "advice.boundary_or"
    assert spoken(searching.boundary(case(trials))).what.key == "advice.boundary"


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


def test_an_outermost_choice_takes_two_trials_of_each_side_that_reached_their_end() -> None:
    alone = [at(0, 0.5, 1e-3), at(1, 0.5, 1e-3), at(2, 0.4, 1e-3, 32)]
    cut = stopped(3, "asha", "pruner", values={RATE: 1e-3, BATCH: 32})
    assert searching.boundary(case([*alone, cut], space=BOTH)) is None
    only = [at(number, 0.5 - number / 100, 1e-3, 32) for number in range(16)]
    assert searching.boundary(case(only, space=BOTH)) is None  # the best quarter crowds, but beside nothing


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
    some = [result(number) for number in range(7)]
    found = spoken(searching.few(case(some, space=BOTH, command="run.py --trials 7 --space mine.yaml")))
    assert found.what.facts == {"more": 3}
    assert (found.because.key, found.because.facts) == ("advice.few_why", {"trials": 7, "dimensions": 2, "wanted": 10})
    assert found.command.endswith("--space mine.yaml --trials 10 --study mine")


def test_more_trials_are_no_fewer_than_were_asked_for() -> None:
    found = spoken(searching.few(case([result(number) for number in range(7)], space=BOTH)))
    assert found.what.facts == {"more": 5}
    facts = {"trials": 7, "dimensions": 2, "wanted": 10, "asked": 12}
    assert (found.because.key, found.because.facts) == ("advice.few_asked", facts)
    assert found.command.endswith("--space mine.yaml --trials 12 --study mine")


def test_enough_trials_a_running_study_a_grid_and_no_search_ask_for_none() -> None:
    some = [result(number) for number in range(7)]
    assert searching.few(case([result(number) for number in range(10)], space=BOTH)) is None
    assert searching.few(case(some, space=BOTH, running=1)) is None
    assert searching.few(case(some, space=BOTH | {"sampler": {"name": "grid"}})) is None
    assert searching.few(case(some, space=None)) is None


def test_four_fifths_without_a_better_trial_are_a_plateau() -> None:
    trials = [result(number, 0.4 if number == 2 else 0.5) for number in range(15)]
    found = spoken(searching.plateau(case(trials)))
    facts = {"name": "trial-0002", "since": 12, "trials": 15, "chance": pytest.approx(20.0)}
    assert found.because.facts == facts
    assert "--mode train" in found.command
    assert searching.plateau(case(trials[:14])) is None  # 11 of 14 are 0.786
    assert searching.plateau(case([result(0, 0.4), *trials[6:14]])) is None  # of nine trials


def test_a_plateau_counts_only_trials_that_could_have_been_the_best() -> None:
    able = [result(number, 0.4 if number == 2 else 0.5) for number in range(10)]
    off = [result(10, feasible=False), stopped(11, "loss_jump")]
    pruned = [stopped(number, "asha", "pruner") for number in range(12, 30)]
    assert searching.plateau(case([*able, *off, *pruned])) is None  # seven of ten
    more = [result(number) for number in range(30, 35)]
    assert spoken(searching.plateau(case([*able, *off, *pruned, *more]))).because.facts["trials"] == 15


def test_a_plateau_comes_by_chance_in_no_more_than_a_fifth_of_searches() -> None:
    """Exchangeable trials: the best is as likely at every place."""
    for count in (10, 14, 15, 33):
        losses = [[0.4 if one == best else 0.5 for one in range(count)] for best in range(count)]
        found = [searching.plateau(case([result(n, loss) for n, loss in enumerate(one)])) for one in losses]
        assert 0 < sum(one is not None for one in found) <= count / 5


# budget


def test_a_loss_that_fell_in_the_last_fifth_asks_for_a_longer_training() -> None:
    found = spoken(searching.longer(case([result(0)], losses=fallen(0.02))))
    assert found.what.facts == {"budget": "2000utt"}
    numbers = {"early": 0.5, "step": 80, "final": 0.49, "last": 100, "gain": pytest.approx(2.0)}
    assert found.because.facts == {"name": "trial-0000", "budget": "1000utt", **numbers}
    assert found.command.endswith("--from-study mine --budget 2000utt")
    trained = spoken(searching.longer(case([result(0, values={})], losses=fallen(0.02), mode="train", space=None)))
    assert "--study mine-longer --budget 2000utt" in trained.command


def test_a_best_that_came_last_but_gained_less_than_health_calls_flat_asks_for_nothing() -> None:
    late = {0: {"best.step": 100.0, "iteration": 100.0}}
    assert searching.longer(case([result(0)], metrics=late, losses=fallen(0.009))) is None
    assert searching.longer(case([result(0)], metrics=late)) is None
    strict = case([result(0)], losses=fallen(0.02), settings="health: {flat_gain: 0.05}")
    assert searching.longer(strict) is None


def test_a_search_on_a_shorter_budget_is_trained_at_full_length() -> None:
    found = spoken(searching.longer(case([result(0)], losses=fallen(0.02), space=space(budget="1000utt"))))
    assert found.what.key == "advice.full"
    assert "--budget" not in found.command


@pytest.mark.parametrize(
    "points",
    [[], [(100, 0.5)], [(50, 0.6), (100, 0.5)], [(95, 0.6), (100, 0.5)], [(0, 0.5)], [(80, 0.0), (100, 0.0)]],
)
def test_without_a_validation_near_the_last_fifth_there_is_no_late_gain(points: list[tuple[int, float]]) -> None:
    assert late_gain(points) is None


def test_a_late_gain_is_measured_from_the_lowest_loss_before() -> None:
    found = late_gain([(20, 0.5), (75, 0.6), (90, 0.9), (100, 0.45)])
    assert found is not None
    assert (found.early, found.step, found.final, found.share) == (0.5, 75, 0.45, pytest.approx(0.1))
