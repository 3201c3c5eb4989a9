"""A search in words: complete, true to its numbers, and open about what is missing."""

import dataclasses
import math
from typing import Any

import pytest

from smart_tuner.space.space import Objective
from smart_tuner.study import summary
from smart_tuner.study.audit import audit
from smart_tuner.study.results import Result
from smart_tuner.study.summary import headline, lines, rows, shortened
from tests.test_conclusions import OWN, baseline, reruns, stopped, study
from tests.test_conclusions import result as trial

LOSS = [Objective()]
BOTH = [Objective(), Objective(metric="duration")]
BETTER = study([0.40, 0.42, 0.44], [0.50, 0.54])


def said(results: list[Result], objectives: list[Objective] = LOSS, **more: Any) -> dict[str, str]:
    found = lines(results, objectives, **more)
    assert len(dict(found)) == len(found)
    return dict(found)


def test_the_end_of_a_search_says_what_came_out() -> None:
    told = said(BETTER, warnings=["The best learning rate is at its boundary."])
    assert list(told) == ["Best", "Gain", "Winner", "Stopped", "Cost", "Warning"]
    assert told["Best"] == "trial-0001, validation.loss 0.3000 (hparams.learning_rate=0.0005)."
    assert told["Gain"].startswith("0.1000 better than the baseline, 95 % interval")
    assert told["Winner"] == "trial-0001, confirmed by reruns with new seeds."
    assert told["Stopped"] == "None of 2 trial(s)."
    assert told["Cost"] == "3 min of training in 2 trial(s), 8 min in 5 rerun(s)."
    assert told["Warning"] == "The best learning rate is at its boundary."


def test_every_warning_has_its_line() -> None:
    assert lines(BETTER, LOSS, ["one", "two"])[-2:] == [("Warning", "one"), ("Warning", "two")]


@pytest.mark.parametrize(
    ("best", "label"), [([0.4, 0.42, 0.44], "Gain"), ([0.6, 0.62, 0.64], "Gain"), ([0.5, 0.52], "Noise")]
)
def test_a_difference_within_the_noise_is_called_noise(best: list[float], label: str) -> None:
    assert label in said(study(best, [0.50, 0.54]))


@pytest.mark.parametrize(
    ("results", "best"),
    [
        ([], "No trial has ended yet."),
        (
            [stopped(0), stopped(1)],
            "No trial has ended healthy within the constraints: of 2, 0 complete, 2 stopped.",
        ),
        (
            [trial(0, 0.3, feasible=False)],
            "No trial has ended healthy within the constraints: of 1, 1 complete, 0 stopped.",
        ),
    ],
)
def test_a_search_without_a_healthy_trial_says_so(results: list[Result], best: str) -> None:
    for objectives in (LOSS, BOTH):
        assert headline(results, objectives) == best
    told = said(results)
    assert told["Best"] == best
    assert not {"Gain", "Noise", "Winner"} & set(told)


def test_a_baseline_alone_has_no_gain() -> None:
    told = said([baseline(0.5, metrics={"validation.alignment_score": 0.84})])
    assert told["Best"] == "trial-0000, validation.loss 0.5000, validation.alignment_score 0.84."
    assert told["Gain"] == "None: the best trial has the baseline's values."


def test_the_score_is_told_once_when_it_is_what_is_optimised() -> None:
    best = baseline(0.84, metrics={"validation.alignment_score": 0.84})
    told = said([best], [Objective(metric="validation.alignment_score", direction="maximize")])
    assert told["Best"] == "trial-0000, validation.alignment_score 0.8400."


def test_without_reruns_the_gain_is_unknown() -> None:
    results = [baseline(0.5), trial(1, 0.4)]
    assert said(results)["Gain"].startswith("Unknown: no rerun")
    assert headline(results, LOSS) == (
        "Best: trial-0001, validation.loss 0.4000 (hparams.learning_rate=0.01). "
        "Unknown: no rerun of the best with a new seed has ended."
    )


def test_stops_are_told_by_rule_with_what_they_saved() -> None:
    known = stopped(1, seconds=30.0, utterances=200)
    results = [baseline(0.5, seconds=300.0), known, stopped(2, "not_finite", "health", planned=0, seconds=70.0)]
    assert said(results)["Stopped"] == (  # 120 s of 120 + 400 s
        "2 of 3 trial(s) (pruner: asha 1, health: not_finite 1); about 2 min of training saved, 23 % of the search "
        "(unknown for 1 of them)."
    )
    assert said([stopped(1, planned=0)])["Stopped"].endswith("; the time saved is unknown.")


def test_the_audit_is_told_with_its_limit() -> None:
    doomed = {"state": "audited", "kind": "pruner", "rule": "asha"}
    told = said([baseline(0.5), trial(1, 0.4, **doomed), trial(2, 0.6, **doomed), stopped(3)])
    assert told["Audit"] == (  # at most one of two wrong: 1 - p^2 = 0.05, p = 0.975
        "2 doomed trial(s) ran on, for 3 min; 1 of them would have beaten the best (trial-0001); "
        "so up to 98 % of the stops may be wrong (95 % limit)."
    )
    assert told["Rungs"].startswith("Too few trials")


def test_a_pruner_without_an_audit_is_said_to_be_unknown() -> None:
    assert "unknown" in said([baseline(0.5), stopped(1)])["Audit"]
    assert "Audit" not in said([baseline(0.5), stopped(1, "not_finite", "health")])


def test_the_threshold_that_would_have_been_best_is_rounded_up() -> None:
    ends = [trial(number, loss, rungs={30000: loss, 90000: loss}) for number, loss in enumerate([0.5, 0.4, 0.3])]
    lower = [stopped(3 + number, rungs={30000: 0.25, 90000: 0.9}) for number in range(3)]
    higher = [stopped(6, rungs={30000: 0.9})]
    assert said([*ends, *lower, *higher])["Rungs"] == (
        "The trial that ended best ranked 4 of 7 at 30,000, 1 of 6 at 90,000 utterances; "
        "keeping the best 58 % would have kept it."
    )


def test_a_share_that_is_whole_is_not_rounded_up() -> None:
    assert 100 * (7 / 50) > 14  # as floats
    found = dataclasses.replace(audit([]), keep=7 / 50)
    assert "keeping the best 14 % would" in summary.rungs_sentence(found)


# several objectives


def test_several_objectives_end_in_a_front() -> None:
    points = [(0.5, 1.0), (0.4, 2.0), (0.6, 2.0)]
    results = [
        trial(number, loss, metrics={"validation.loss": loss, "duration": seconds})
        for number, (loss, seconds) in enumerate(points)
    ]
    perfect = {"metrics": {"validation.loss": 0.1, "duration": 0.1}}
    results += [
        trial(7, 0.1, feasible=False, **perfect),
        *reruns("best", 0.1, **perfect),
        stopped(8, "not_finite", "health", feasible=True, **perfect),
    ]
    told = said(results, BOTH)
    assert list(told) == ["Front", "Stopped", "Cost"]
    assert told["Front"] == headline(results, BOTH)
    assert told["Front"] == (
        "2 trial(s) that no other beats in every objective: trial-0001 (validation.loss 0.4000, duration 2.0000); "
        "trial-0000 (validation.loss 0.5000, duration 1.0000)."
    )
    assert rows(results[:3], BOTH)[0]["duration"] == "2.0000"


# the table


def test_the_table_is_ordered_by_what_a_trial_is_worth() -> None:
    doomed = trial(4, 0.1, state="audited", kind="pruner", rule="asha")
    unknown = [trial(6, math.nan), trial(2, None)]
    results = [stopped(5), doomed, trial(3, 0.1, feasible=False), *reruns("best", 0.1), *unknown, trial(1, 0.3)]
    order = [row["trial"] for row in rows([*results, baseline(0.5)], LOSS)]
    assert order == [f"trial-{number:04d}" for number in (1, 0, 2, 6, 50, 3, 4, 5)]
    highest = [row["trial"] for row in rows([baseline(0.5), trial(1, 0.7)], [Objective(direction="maximize")])]
    assert highest == ["trial-0001", "trial-0000"]


def test_a_row_says_what_the_trial_was_and_why_it_ended() -> None:
    values = OWN | {"hparams.use_guided_attn": True, "hparams.a": "x|y"}
    late = stopped(
        3, "gate_silent", "health", utterances=140, values=values, metrics={"validation.alignment_score": 0.2}
    )
    table = {row["state"]: row for row in rows([baseline(0.5), late], LOSS, {3: "http://here"})}
    assert table["stopped"] == {
        "trial": "[trial-0003](http://here)",
        "origin": "sampled",
        "state": "stopped",
        "validation.loss": "0.9000",
        "validation.alignment_score": "0.2000",
        "why": "health: gate_silent at 14 % of the budget",
        "changed": "hparams.use_guided_attn=true, hparams.a=x\\|y",
    }
    assert (table["complete"]["validation.alignment_score"], table["complete"]["changed"]) == ("none", "")


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (trial(1, 0.3), ""),
        (trial(1, 0.3, feasible=False), "outside the constraints"),
        (stopped(1, planned=0), "pruner: asha"),
        (trial(1, 0.3, state="audited", kind="pruner", rule="asha"), "doomed by pruner: asha, ran on"),
    ],
)
def test_why_a_trial_is_no_candidate(result: Result, why: str) -> None:
    assert rows([result], LOSS)[0]["why"] == why


def test_reruns_are_named_and_values_shown_in_full_without_a_baseline() -> None:
    (row,) = rows(reruns("best", 0.3), LOSS)
    assert (row["origin"], row["changed"]) == ("rerun of the best", "hparams.learning_rate=0.0005")
    (former,) = rows(reruns("best", 0.3, confirms="earlier"), LOSS)
    assert former["origin"] == "rerun of an earlier best"


def test_a_long_table_is_cut_between_rows_and_says_so() -> None:
    table = rows([trial(number, number / 10) for number in range(40)], LOSS)

    def written(part: list[dict[str, str]]) -> int:
        """Characters as the study's note writes a table."""
        lines = [[*part[0]], ["---"] * len(part[0]), *([*row.values()] for row in part)]
        return sum(len("| " + " | ".join(line) + " |\n") for line in lines)

    cut = shortened(table, 2000)
    assert cut[:-1] == table[: len(cut) - 1]
    assert cut[-1]["trial"] == f"and {40 - len(cut) + 1} more"
    assert written(cut) <= 2000 < written(table[: len(cut) + 1])
    assert shortened(table, written(table)) == table
    assert shortened([], 100) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (3600, "1.0 h"), (5400, "1.5 h")]
)
def test_lengths_of_time_have_fitting_units(seconds: float, text: str) -> None:
    assert summary.span(seconds) == text


def test_a_number_that_is_missing_is_said_to_be() -> None:
    assert (summary.number(None), summary.number(math.nan), summary.number(0.5)) == ("none", "none", "0.5000")
