"""The gain over the baseline in words: numbers worked out by hand, and the same as conclusions.py says."""

import math
import re

import pytest

from smart_tuner.report.judging.gain import gained, noise, won
from smart_tuner.study import summary
from smart_tuner.study.conclusions import winner
from smart_tuner.study.results import Result
from tests.evidenced import FOUND, OWN, baseline, confirmed, english, reruns, result, stopped

SICK = reruns("best", 0.3, state="stopped", kind="health", rule="loss_jump")
SICK_BASE = reruns("baseline", 0.4, state="stopped", kind="health", rule="loss_jump")


def test_a_gain_beyond_the_noise_has_its_interval() -> None:
    # means 0.52 - 0.42; both variances 0.0004: half width t(4, 0.975) * sqrt(2 * 0.0004 / 3) = 0.0453393
    assert english(gained(confirmed(), "minimize")) == (
        "0.1000 better than the baseline; 95 % interval of the gain 0.0547 to 0.1453, over seeds "
        "(reruns of the best 3, runs of the baseline 3)."
    )


def test_a_gain_within_the_noise_is_not_distinguishable() -> None:
    assert english(gained(confirmed(best=(0.49, 0.51, 0.53)), "minimize")) == (
        "Not distinguishable from the baseline: 0.0100 better than the baseline in the mean, but the 95 % interval of "
        "the gain, -0.0353 to 0.0553, holds 0 (reruns of the best 3, runs of the baseline 3)."
    )


def test_a_lucky_best_is_worse() -> None:
    text = english(gained(confirmed(best=(0.60, 0.62, 0.64)), "minimize"))
    assert text.startswith("0.1000 worse than the baseline; 95 % interval of the gain -0.1453 to -0.0547")


def test_the_same_numbers_are_a_loss_when_more_is_better() -> None:
    chosen = [baseline(0.52), result(1, 0.90, values=FOUND)]
    results = [*chosen, *reruns("best", 0.60, 0.62, 0.64), *reruns("baseline", 0.50, 0.54)]
    assert english(gained(results, "maximize")).startswith("0.1000 better than the baseline; 95 % interval")


SCENES: dict[str, list[Result]] = {
    "confirmed": confirmed(),
    "noise": confirmed(best=(0.49, 0.51, 0.53)),
    "no_better": confirmed(best=(0.51, 0.53, 0.55)),
    "worse": confirmed(best=(0.60, 0.62, 0.64)),
    "few": confirmed(best=(0.4,)),
    "sick": [*confirmed(best=()), *SICK],
    "not_healthy": [baseline(0.6, feasible=False), result(1, 0.3, values=FOUND), *SICK],
    "unmeasured": [baseline(0.6, feasible=False), result(1, 0.3, values=FOUND), *reruns("best", 0.4, 0.5)],
    "not_rerun": [baseline(0.52), result(1, 0.30, values=FOUND)],
    "own": [baseline(0.3), result(1, 0.4)],
    "none": [stopped(0), stopped(1)],
}


@pytest.mark.parametrize("scene", SCENES)
def test_each_way_that_a_search_can_end_has_its_reason(scene: str) -> None:
    results = SCENES[scene]
    given, said = winner(results), won(results, "minimize")
    if given is None or said is None:
        assert (scene, given, said) == ("none", None, None)
        return
    assert (given.reason, said.key) == (scene, f"findings.winner_{scene}")
    assert english(said).startswith(f"Winner: trial-{given.number:04d}, ")
    assert (", confirmed by" in english(said)) == given.confirmed == (scene == "confirmed")


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"-?\d+\.\d{4}", text))


@pytest.mark.parametrize("scene", [*SCENES, "left out", "same"])
def test_the_numbers_are_those_of_the_summary(scene: str) -> None:
    more = {"left out": [*confirmed(), *SICK_BASE], "same": confirmed(best=(0.4, 0.4), base=(0.52,))}
    results = (SCENES | more)[scene]
    told = english(gained(results, "minimize"))
    if scene != "not_rerun":
        assert numbers(told) == numbers(summary.gain_line(results, "minimize")[1])
    assert ("Not distinguishable" in told) == (scene in ("noise", "no_better"))


def test_runs_that_did_not_end_healthy_are_counted() -> None:
    assert (
        english(gained(SCENES["sick"], "minimize")) == "Not confirmed: of 1 reruns of the best, 1 did not end healthy."
    )
    assert english(gained([*confirmed(), *SICK_BASE], "minimize")).endswith(
        " Of 4 runs of the baseline, 1 did not end healthy and are left out here."
    )
    assert english(gained(SCENES["unmeasured"], "minimize")) == (
        "No number: no run of the baseline ended healthy (of 1); the best did in 2 of 2 reruns."
    )


def test_without_enough_runs_there_is_no_interval() -> None:
    assert "an interval takes at least 2 runs on each side" in english(gained(SCENES["few"], "minimize"))
    same = english(gained(confirmed(best=(0.4, 0.4), base=(0.52,)), "minimize"))
    assert same.startswith("0.1200 better than the baseline in the mean; no run differs")


def test_a_single_run_is_called_luck() -> None:
    assert english(gained(SCENES["not_rerun"], "minimize")) == (
        "Unknown: no rerun of the best with a new seed has ended. Its own run is 0.2200 better than the baseline, but "
        "it was chosen for that value, so part of it may be luck."
    )


@pytest.mark.parametrize("own", [baseline(0.9, state="stopped", kind="pruner"), baseline(None), baseline(math.nan)])
def test_a_baseline_that_did_not_reach_its_end_is_not_compared(own: Result) -> None:
    text = english(gained([own, result(1, 0.3, values=FOUND)], "minimize"))
    assert text == "Unknown: no rerun of the best with a new seed has ended."


def test_the_noise_of_a_train_study_is_over_the_runs_of_the_bests_settings() -> None:
    # mean of 3.9, 4.1, 4.3; standard deviation 0.2; the repaired one has other settings
    seeds = [result(number, loss, values={}) for number, loss in enumerate((4.1, 3.9, 4.3))]
    assert english(noise([*seeds, result(3, 4.9, values=OWN)])).startswith(
        "4.1000 ± 0.2000 (mean and standard deviation over seeds, runs 3)"
    )
    assert "only one run" in english(noise(seeds[:1]))
    assert "hardly known" not in english(noise(seeds))
    assert english(noise([stopped(0)])) == "Unknown: no trial that ran to its end has a known validation.loss."


def test_two_single_runs_differ_by_more_than_the_standard_deviation() -> None:
    # 4.0 and 4.2: mean 4.1, standard deviation 0.1414; 2.8 of them: 0.3960
    told = english(noise([result(number, loss, values={}) for number, loss in enumerate((4.0, 4.2))]))
    assert told == (
        "4.1000 ± 0.1414 (mean and standard deviation over seeds, runs 2). Two single runs differ by up to about "
        "0.3960, 2.8 standard deviations, by the seed alone: a smaller difference between two runs shows nothing. "
        "With 2 seeds the spread itself is hardly known."
    )
