"""What is concluded from results: every number here is worked out by hand."""

import math

import pytest

from smart_tuner.analysis import conclusions
from smart_tuner.analysis.conclusions import (
    Confirmation,
    Runs,
    Winner,
    best_trial,
    confirmation,
    find_winner,
    judge_gain,
    most_wrong,
    pareto,
    welch,
)
from smart_tuner.analysis.results import Result
from smart_tuner.space.objective import Objective
from tests.support.evidenced import FOUND, OWN, baseline, confirmed, reruns, result, stopped


def compared(results: list[Result], direction: str = "minimize") -> Confirmation:
    found = confirmation(results, direction)
    assert found is not None
    return found


def winner(results: list[Result]) -> Winner:
    given = find_winner(results)
    assert given is not None
    return given


# best


def test_the_best_is_the_lowest_complete_feasible_trial_of_the_search() -> None:
    doomed = result(2, 0.1, state="audited", rule="asha", kind="pruner")
    others = [result(3, 0.1, feasible=False), stopped(4), doomed, result(5, math.nan), result(6, None)]
    found = best_trial([baseline(0.5), result(1, 0.4), *others, *reruns("best", 0.2)])
    assert found is not None
    assert found.number == 1


def test_the_best_is_the_highest_when_maximised_and_the_earlier_of_two_equal() -> None:
    results = [baseline(0.5), result(2, 0.7), result(1, 0.7), result(3, 0.2)]
    highest, lowest = best_trial(results, "maximize"), best_trial(results)
    assert (highest and highest.number, lowest and lowest.number) == (1, 3)


@pytest.mark.parametrize("results", [[], [stopped(0)], [baseline(0.3, feasible=False), *reruns("best", 0.4)]])
def test_without_a_healthy_trial_there_is_no_best_and_no_winner(results: list[Result]) -> None:
    assert best_trial(results) is None
    assert confirmation(results) is None
    assert find_winner(results) is None


def test_a_baseline_tried_again_after_a_fault_is_known_by_its_values() -> None:
    named = result(1, 0.6, origin="baseline", values={"hparams.learning_rate": 2e-3})
    again = result(7, 0.5, origin="retried", values=OWN)
    found = conclusions.baseline_trial([named, result(2, 0.4), again, *reruns("baseline", 0.51)])
    assert found is again


# the noise floor


def test_welch_of_equal_spreads_has_four_degrees_of_freedom() -> None:
    # variance 0.0004 on both sides: error = sqrt(2 * 0.0004 / 3) = 0.0163299; t(4, 0.975) = 2.776445
    interval = welch([0.50, 0.52, 0.54], [0.40, 0.42, 0.44])
    assert interval == pytest.approx((0.1 - 0.0453393, 0.1 + 0.0453393), abs=1e-6)


def test_welch_of_unequal_spreads_takes_fewer_degrees_of_freedom() -> None:
    # means 0.51, 0.42; errors^2 0.002/3/4, 0.0004/3: df = 0.0003^2 / (0.000166667^2/3 + 0.000133333^2/2) = 4.9592
    # t(5, 0.975) = 2.5706 < t(4.9592, 0.975) < t(4, 0.975) = 2.7764; error = sqrt(0.0003) = 0.0173205
    interval = welch([0.50, 0.52, 0.54, 0.48], [0.40, 0.42, 0.44])
    assert interval is not None
    assert sum(interval) / 2 == pytest.approx(0.09)
    assert 2.5706 < (interval[1] - 0.09) / 0.0173205 < 2.5850


def test_two_runs_on_each_side_are_enough_for_an_interval() -> None:
    # variance 0.0002 on both sides: error = sqrt(2 * 0.0002 / 2) = 0.0141421; t(2, 0.975) = 4.302653
    assert welch([0.50, 0.52], [0.40, 0.42]) == pytest.approx((0.1 - 0.0608487, 0.1 + 0.0608487), abs=1e-6)
    assert welch([0.50], [0.40, 0.42]) is None


@pytest.mark.parametrize("interval", [(0.0, 0.2), (-0.2, 0.0), (-0.1, 0.1)])
def test_an_interval_that_holds_zero_distinguishes_nothing(interval: tuple[float, float]) -> None:
    healthy = Runs(values=(0.4, 0.5), sick=0)
    assert judge_gain(healthy, healthy, interval) == "not distinguishable from the baseline"


def test_the_baselines_own_run_counts_and_the_bests_does_not() -> None:
    found = compared(confirmed([0.40, 0.42, 0.44], [0.50, 0.54]))
    assert (found.best.values, found.baseline.values) == ((0.40, 0.42, 0.44), (0.52, 0.50, 0.54))
    assert found.gain == pytest.approx(0.1)
    assert found.interval == pytest.approx((0.0546607, 0.1453393), abs=1e-6)
    assert (found.verdict, found.kind, found.number) == ("better", "interval", 1)


def test_a_gain_within_the_noise_is_not_distinguishable() -> None:
    # gain 0.01, half width 0.0453393 as above
    found = compared(confirmed([0.49, 0.51, 0.53], [0.50, 0.54]))
    assert found.interval == pytest.approx((-0.0353393, 0.0553393), abs=1e-6)
    assert (found.verdict, found.kind) == ("not distinguishable from the baseline", "noise")


def test_a_lucky_best_may_turn_out_worse() -> None:
    found = compared(confirmed([0.60, 0.62, 0.64], [0.50, 0.54]))
    assert (found.gain, found.verdict, found.kind) == (pytest.approx(-0.1), "worse", "interval")
    assert found.interval == pytest.approx((-0.1453393, -0.0546607), abs=1e-6)


@pytest.mark.parametrize(("direction", "verdict"), [("minimize", "worse"), ("maximize", "better")])
def test_the_direction_says_which_difference_is_a_gain(direction: str, verdict: str) -> None:
    chosen = result(1, 0.30 if direction == "minimize" else 0.90, values=FOUND)
    best, base = reruns("best", 0.60, 0.62, 0.64), reruns("baseline", 0.50, 0.54)
    found = compared([baseline(0.52), chosen, *best, *base], direction)
    assert found.verdict == verdict
    assert found.gain == pytest.approx(0.1 if verdict == "better" else -0.1)


def test_a_best_whose_reruns_are_sick_is_not_confirmed() -> None:
    sick = [*reruns("best", 0.3, state="stopped", kind="health"), result(59, 0.3, confirms="best", values=FOUND)]
    astray = result(58, 0.2, confirms="best", values=FOUND, feasible=False)
    results = [*confirmed([], [0.5, 0.54]), *sick, astray]
    found, given = compared(results), winner(results)
    assert (found.verdict, found.kind) == ("not healthy", "sick")
    assert (found.best.sick, found.best.total) == (2, 3)
    assert (given.number, given.best, given.reason) == (0, 1, "sick")


def test_sick_runs_of_the_baseline_are_left_out_and_counted() -> None:
    bad = reruns("baseline", 0.1, state="stopped", kind="health", values=OWN)
    found = compared([*confirmed([0.40, 0.42, 0.44], [0.50, 0.54]), *bad])
    assert (found.baseline.values, found.baseline.sick, found.baseline.total) == ((0.52, 0.50, 0.54), 1, 4)
    assert found.kind == "interval"


@pytest.mark.parametrize(
    ("own", "values", "sick"),
    [
        ({"state": "stopped", "kind": "pruner"}, (0.5, 0.52), 0),
        ({"state": "stopped", "kind": "health"}, (0.5, 0.52), 1),
        ({"state": "audited", "kind": "pruner"}, (0.6, 0.5, 0.52), 0),
    ],
)
def test_a_baseline_that_the_pruner_stopped_has_no_value_to_compare(
    own: dict[str, str], values: tuple[float, ...], sick: int
) -> None:
    rest = [result(1, 0.3, values=FOUND), *reruns("best", 0.6, 0.62), *reruns("baseline", 0.5, 0.52)]
    found, given = compared([baseline(0.6, **own), *rest]), winner([baseline(0.6, **own), *rest])
    assert (found.baseline.values, found.baseline.sick) == (values, sick)
    assert given.number == 0


@pytest.mark.parametrize(
    ("best", "base", "kind"), [([0.4], [0.5, 0.54], "few"), ([0.4, 0.42], [], "few"), ([0.4, 0.4], [0.52], "same")]
)
def test_without_spread_there_is_no_interval(best: list[float], base: list[float], kind: str) -> None:
    found = compared(confirmed(best, base))
    assert (found.interval, found.verdict, found.kind) == (None, "open", kind)
    assert found.gain is not None
    assert found.gain > 0


def test_reruns_of_a_former_best_do_not_speak_for_the_best() -> None:
    later = result(9, 0.25, values={"hparams.learning_rate": 7e-4})
    results = [*confirmed([0.40, 0.42, 0.44], [0.50, 0.54]), later]
    given = winner(results)
    assert confirmation(results) is None
    assert (given.number, given.reason) == (9, "not_rerun")


def test_where_the_baseline_never_ends_healthy_the_best_needs_two_runs_on_each_side() -> None:
    chosen, best = result(1, 0.3, values=FOUND), reruns("best", 0.4, 0.5)
    bad = [baseline(0.6, feasible=False), *reruns("baseline", 0.4, state="stopped", kind="health")]
    enough, few = compared([chosen, *best, *bad]), compared([chosen, *best, *bad[:1]])
    assert (enough.verdict, enough.gain, few.verdict) == ("better", None, "open")
    assert (enough.kind, enough.baseline.total, enough.best.total) == ("no_baseline", 2, 2)


def test_the_limit_of_wrong_stops_is_exact() -> None:
    # none of k wrong: (1 - p)^k = 0.05; all wrong: no limit; 1 of 2: 1 - p^2 is the chance of at most one wrong
    assert most_wrong(0, 2) == pytest.approx(1 - math.sqrt(0.05))
    assert most_wrong(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert most_wrong(1, 2) == pytest.approx(math.sqrt(0.95))
    assert (most_wrong(2, 2), most_wrong(0, 0)) == (1.0, 1.0)


# the winner


@pytest.mark.parametrize(
    ("best", "number", "reason"),
    [
        ([0.40, 0.42, 0.44], 1, "confirmed"),
        ([0.49, 0.51, 0.53], 1, "noise"),
        ([0.40], 1, "few"),
        ([0.52, 0.52], 0, "no_better"),
        ([0.60, 0.62, 0.64], 0, "worse"),
    ],
)
def test_the_winner_is_the_best_when_its_reruns_are_better(best: list[float], number: int, reason: str) -> None:
    given = winner(confirmed(best, [0.50, 0.54]))
    assert (given.number, given.best, given.reason) == (number, 1, reason)
    assert given.values == (FOUND if number else OWN)


def test_a_baseline_that_is_best_wins_without_a_confirmation() -> None:
    for same in (baseline(0.3), result(4, 0.2, values=OWN, origin="replicate")):
        results = [baseline(0.3), same, result(1, 0.4)]
        given = winner(results)
        assert confirmation(results) is None
        assert (given.values, given.reason) == (OWN, "own")


def test_a_baseline_known_by_its_reruns_alone_can_win() -> None:
    given = winner([result(1, 0.3, values=FOUND), *reruns("best", 0.6, 0.62), *reruns("baseline", 0.5, 0.52)])
    assert (given.number, given.values) == (60, OWN)


def test_one_sick_run_of_the_baseline_is_no_measure_of_a_lead() -> None:
    sick = baseline(0.6, state="stopped", kind="health")
    given = winner([sick, result(1, 0.3, values=FOUND), *reruns("best", 0.4, 0.42)])
    assert (given.number, given.reason) == (1, "unmeasured")


def test_a_best_that_is_sometimes_sick_still_beats_a_baseline_that_always_is() -> None:
    sick = reruns("best", 0.4, 0.4, feasible=False)
    given = winner([baseline(0.6, feasible=False), result(1, 0.3, values=FOUND), *sick])
    assert (given.number, given.reason) == (1, "not_healthy")


# several objectives


def test_the_pareto_front_holds_what_no_other_beats() -> None:
    objectives = [Objective(metric="a"), Objective(metric="b", direction="maximize")]
    points = [(1, 1), (2, 5), (2, 4), (3, 5), (1, 1), (0.5, math.nan), (4, 9)]
    metrics: list[dict[str, float]] = [{"a": a, "b": b} for a, b in points]
    assert pareto([*metrics, {"a": 0.1}], objectives) == [0, 1, 4, 6]
    assert pareto([], objectives) == []
