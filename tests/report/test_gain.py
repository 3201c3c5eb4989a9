"""The gain over the baseline in words: numbers worked out by hand."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from smart_tuner.analysis.results import Result
from smart_tuner.report.gain import compare_with_baseline, describe_gain, describe_noise
from tests.support.evidenced import FOUND, OWN, baseline, confirmed, english, reruns, result, stopped, study

SICK: dict[str, Any] = {"state": "stopped", "kind": "health", "rule": "loss_jump"}


def told(results: Sequence[Result], direction: str = "minimize") -> str:
    return english(compare_with_baseline(results, direction))


def test_a_gain_within_the_noise_is_not_distinguishable() -> None:
    assert told(confirmed(best=(0.49, 0.51, 0.53))) == (
        "Not distinguishable from the baseline: 0.0100 better than the baseline in the mean, but the 95 % interval of "
        "the gain, -0.0353 to 0.0553, holds 0 (reruns of the best 3, runs of the baseline 3)."
    )


def test_a_lucky_best_is_worse() -> None:
    text = told(confirmed(best=(0.60, 0.62, 0.64)))
    assert text.startswith("0.1000 worse than the baseline; 95 % interval of the gain -0.1453 to -0.0547")


def test_the_same_numbers_are_a_loss_when_more_is_better() -> None:
    chosen = [baseline(0.52), result(1, 0.90, values=FOUND)]
    results = [*chosen, *reruns("best", 0.60, 0.62, 0.64), *reruns("baseline", 0.50, 0.54)]
    assert told(results, "maximize").startswith("0.1000 better than the baseline; 95 % interval")


def test_runs_that_did_not_end_healthy_are_counted() -> None:
    sick = told([*confirmed(best=()), *reruns("best", 0.3, **SICK)])
    assert sick == "Not confirmed: of 1 reruns of the best, 1 did not end healthy."
    partly = told([*confirmed(), *reruns("baseline", 0.4, **SICK)])
    assert partly.endswith(" Of 4 runs of the baseline, 1 did not end healthy and are left out here.")
    unmeasured = told([baseline(0.6, feasible=False), result(1, 0.3, values=FOUND), *reruns("best", 0.4, 0.5)])
    assert unmeasured == "No number: no run of the baseline ended healthy (of 1); the best did in 2 of 2 reruns."


@pytest.mark.parametrize(
    ("best", "winner", "text"),
    [
        ((0.40, 0.42, 0.44), 1, " Winner: trial-0001, confirmed by reruns with new seeds."),
        ((0.60, 0.62), 0, " Winner: trial-0000, the baseline: the reruns of trial-0001 are worse beyond the noise."),
        ((0.49, 0.51, 0.53), 1, " Winner: trial-0001, better in the mean of its reruns, but within the noise."),
    ],
)
def test_what_a_training_gets_follows_the_gain_once_that_is_concluded(
    best: tuple[float, ...], winner: int, text: str
) -> None:
    results = confirmed(best=best)
    assert english(describe_gain(study(results, winner=winner))) == told(results) + text
    for before in (None, 7):
        assert english(describe_gain(study(results, winner=before))) == told(results)


def test_without_enough_runs_there_is_no_interval() -> None:
    assert "an interval takes at least 2 runs on each side" in told(confirmed(best=(0.4,)))
    same = told(confirmed(best=(0.4, 0.4), base=(0.52,)))
    assert same.startswith("0.1200 better than the baseline in the mean; no run differs")


def test_a_single_run_is_called_luck() -> None:
    assert told([baseline(0.52), result(1, 0.30, values=FOUND)]) == (
        "Unknown: no rerun of the best with a new seed has ended. Its own run is 0.2200 better than the baseline, but "
        "it was chosen for that value, so part of it may be luck."
    )


@pytest.mark.parametrize("own", [baseline(0.9, state="stopped", kind="pruner"), baseline(None), baseline(math.nan)])
def test_a_baseline_that_did_not_reach_its_end_is_not_compared(own: Result) -> None:
    text = told([own, result(1, 0.3, values=FOUND)])
    assert text == "Unknown: no rerun of the best with a new seed has ended."


def test_the_noise_of_a_train_study_is_over_the_runs_of_the_bests_settings() -> None:
    # mean of 3.9, 4.1, 4.3; standard deviation 0.2; the repaired one has other settings
    seeds = [result(number, loss, values={}) for number, loss in enumerate((4.1, 3.9, 4.3))]
    assert english(describe_noise([*seeds, result(3, 4.9, values=OWN)])).startswith(
        "4.1000 ± 0.2000 (mean and standard deviation over seeds, runs 3)"
    )
    assert "only one run" in english(describe_noise(seeds[:1]))
    assert "hardly known" not in english(describe_noise(seeds))
    assert english(describe_noise([stopped(0)])) == "Unknown: no trial that ran to its end has a known validation.loss."


def test_two_single_runs_differ_by_more_than_the_standard_deviation() -> None:
    # 4.0 and 4.2: mean 4.1, standard deviation 0.1414; 2.8 of them: 0.3960
    told = english(describe_noise([result(number, loss, values={}) for number, loss in enumerate((4.0, 4.2))]))
    assert told == (
        "4.1000 ± 0.1414 (mean and standard deviation over seeds, runs 2). Two single runs differ by up to about "
        "0.3960, 2.8 standard deviations, by the seed alone: a smaller difference between two runs shows nothing. "
        "With 2 seeds the spread itself is hardly known."
    )
