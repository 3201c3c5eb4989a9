"""Charts of a search: what is drawn, and the numbers beside it by hand."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from smart_tuner.analysis.importance import Importance, Share
from smart_tuner.analysis.results import Result
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import BATCH, Evidence, Run
from smart_tuner.report.message import MISSING
from smart_tuner.report.search_charts import draw_matters, draw_trials, explain_no_importance
from smart_tuner.report.trials import TriedParameter
from smart_tuner.report.view import Chart
from smart_tuner.space.objective import Objective
from tests.support.cases import BATCHES, ENTRY, RATE, RATES
from tests.support.evidenced import english, run, study

GUIDE = "hparams.guide_weight"
SPACE = {"parameters": {GUIDE: {**ENTRY, "type": "float", "low": 0.0, "high": 10.0}, BATCH: BATCHES, RATE: RATES}}
UNKNOWN = Importance(shares=(), trials=3, enough=False)
KNOWN = Importance(
    shares=(
        Share(name=GUIDE, share=0.6, low=0.4, high=0.7),
        Share(name=RATE, share=0.3, low=0.2, high=0.5),
        Share(name=BATCH, share=0.1, low=0.0, high=0.2),
    ),
    trials=20,
    enough=True,
)


def trial(number: int, loss: float | None, values: Mapping[str, Any] | None = None, **changed: Any) -> Result:
    known: dict[str, Any] = {"origin": "sampled", "state": "complete", "seed": 1, "utterances": 100, "planned": 100}
    return Result(number=number, value=loss, values=dict(values or {}), **known | {"seconds": 60.0} | changed)


def stopped(number: int, loss: float | None, values: Mapping[str, Any] | None = None) -> Result:
    return trial(number, loss, values, state="stopped", rule="asha", kind="pruner", utterances=50)


def evidence(*trials: Result, **changed: Any) -> Evidence:
    return study([], *map(run, trials), **{"space": SPACE} | changed)


def search(number: int = 12) -> Evidence:
    """Trial k of many has loss 0.5 + k / 100 and guide weight k; trial 2 is the baseline, two more are stopped."""
    trials = [
        trial(
            place,
            0.5 + place / 100,
            {RATE: 1e-3, BATCH: (8, 16, 32)[place % 3], GUIDE: float(place)},
            origin="baseline" if place == 2 else "sampled",
            own=place == 2,
        )
        for place in range(number)
    ]
    ends = [stopped(number + place, 0.9, {RATE: 5e-3, BATCH: 8, GUIDE: 9.0}) for place in range(2)]
    return evidence(*trials, *ends)


def drawn(given: Evidence, importance: Importance = UNKNOWN) -> dict[str, Chart]:
    return {english(chart.title): chart for chart in draw_matters(given, importance, Catalogue("en"))}


def guide_slice(given: Evidence) -> Chart:
    return drawn(given)["validation.loss by guide_weight"]


def tips(chart: Chart) -> list[str]:
    return re.findall(r"<title>([^<]+)", chart.svg)


def texts(chart: Chart) -> list[str]:
    return re.findall(r">([^<>]+)</text>", chart.svg)


def places(chart: Chart, *titles: str) -> list[tuple[float, float]]:
    """Where marks are drawn, from the left and from the top."""
    marks = {mark.findtext("{*}title"): mark for mark in ElementTree.fromstring(chart.svg).findall(".//{*}use")}
    return [(float(marks[title].attrib["x"]), float(marks[title].attrib["y"])) for title in titles]


# all trials

HISTORY = [
    trial(0, 0.6, origin="baseline", own=True),
    stopped(1, 0.9),
    trial(2, 0.5),
    trial(3, 0.55),
    trial(4, 0.4),
    trial(5, 0.3, feasible=False),
    stopped(6, None),
]


def history(*trials: Result, language: str = "en", **changed: Any) -> Chart:
    chart = draw_trials(evidence(*(trials or HISTORY), **changed), Catalogue("ru" if language == "ru" else "en"))
    assert chart is not None
    return chart


def test_every_trial_is_a_mark_where_the_search_had_come_to() -> None:
    chart = history()
    cross = "trial-0001: validation.loss 0.9000 (stopped)"
    assert {cross, "trial-0005: validation.loss 0.3000 (not a candidate)"} < set(tips(chart))
    (first, high), (across, worst), (later, low) = places(
        chart,
        "trial-0000: validation.loss 0.6000 (complete)",
        cross,
        "trial-0002: validation.loss 0.5000 (complete)",
    )
    # after 100, 150 and 250 utterances: a stopped trial takes half of what a complete one does
    assert (across - first) * 2 == pytest.approx(later - across, abs=0.5)
    assert worst < high < low, "a higher loss is further up"


@pytest.mark.parametrize(
    ("language", "names", "summary"),
    [
        ("en", ("best: trial-0004", "baseline: trial-0000", "best so far"), "The best, trial-0004 (validation.loss 0."),
        ("ru", ("лучшее: trial-0004", "базовое: trial-0000", "лучшее на тот момент"), "Лучшее, trial-0004 (validat"),
    ],
)
def test_the_best_and_the_baseline_are_marked_and_named_in_both_languages(
    language: str, names: tuple[str, ...], summary: str
) -> None:
    chart = history(language=language)
    assert set(names) <= set(texts(chart))
    of_best = [tip for tip in tips(chart) if tip.startswith("trial-0004")]
    assert len(of_best) == 2
    assert len(set(places(chart, *of_best))) == 1, "a ring around the dot"
    said = ElementTree.fromstring(chart.svg).attrib["aria-label"].partition(". ")[2]
    assert said == Catalogue("ru" if language == "ru" else "en")(chart.summary)
    assert said.startswith(summary)


def test_the_best_so_far_is_a_line_and_a_table() -> None:
    chart = history()
    assert english(chart.head[1]) == "utterances seen by all trials"
    assert [row[0][-1:] + " " + " ".join(row[1:]) for row in chart.rows] == [
        "0 100 0.6000",
        "2 250 0.5000",
        "4 450 0.4000",
    ]
    assert "best so far" in tips(chart)
    # 450 of 600 utterances: five of 100 and two of 50
    assert english(chart.summary) == (
        "The best, trial-0004 (validation.loss 0.4000), ended after 75 % of what 7 trials took (utterances seen by all "
        "trials: 600)."
    )
    assert english(chart.note or "").endswith("Trials without a validation, not drawn: 1.")


def test_a_budget_of_wall_time_is_drawn_in_minutes() -> None:
    chart = history(budget="10m")
    assert english(chart.head[1]) == "minutes of training of all trials"
    assert [row[1] for row in chart.rows] == ["1", "3", "5"]  # a minute each


def test_what_is_maximised_improves_upwards() -> None:
    score = (Objective(metric="validation.alignment_score", direction="maximize"),)
    given = evidence(trial(0, 0.4, {BATCH: 8}), trial(1, 0.9, {BATCH: 8}), trial(2, 0.2, {BATCH: 16}), objectives=score)
    assert [row[0] for row in history(*given.results, objectives=score).rows] == ["trial-0000", "trial-0001"]
    chart = drawn(given)["validation.alignment_score by batch_size"]
    assert chart.rows[0] == ("8", "2", "0.9000", "0.6500", "0")
    assert any(tip.startswith("trial-0001") and "(best)" in tip for tip in tips(chart))


def test_without_a_candidate_the_crosses_are_drawn_all_the_same() -> None:
    chart = history(stopped(0, 0.9), stopped(1, 0.8))
    assert (english(chart.summary), chart.rows) == ("No trial of 2 ended as a candidate.", ())
    assert "best so far" not in tips(chart)


@pytest.mark.parametrize(
    "trials",
    [(), (trial(0, 0.5),), (trial(0, 0.5), stopped(1, None)), [trial(0, 0.5, utterances=0), trial(1, 1, utterances=0)]],
)
def test_fewer_than_two_trials_or_unknown_data_draw_nothing(trials: Sequence[Result]) -> None:
    assert draw_trials(evidence(*trials), Catalogue("en")) is None


def test_a_train_study_is_drawn_and_runs_without_a_study_are_not() -> None:
    assert history(trial(0, 0.5), trial(1, 0.4), mode="train", space=None).rows[-1][0] == "trial-0001"
    logged = [Run(name=name, state="complete", metrics={"validation.loss": 0.5}) for name in "ab"]
    assert draw_trials(study([], *logged, mode="runs"), Catalogue("en")) is None


# what mattered


def test_importance_comes_first_then_slices_by_the_learning_rate_and_the_batch_size() -> None:
    slices = [f"validation.loss by {name}" for name in ("learning_rate", "batch_size", "guide_weight")]
    assert list(drawn(search(), KNOWN)) == ["What mattered", *slices]
    assert list(drawn(search())) == slices


def test_importance_is_told_with_its_band_or_why_it_is_not() -> None:
    summary = english(drawn(search(), KNOWN)["What mattered"].summary)
    assert "over 20 complete trials: hparams.guide_weight 60 % (40 to 70 %), hparams.learning_rate 30 %" in summary
    few, same = (Importance(shares=(), trials=trials, enough=False) for trials in (5, 30))
    assert explain_no_importance(KNOWN, search()) is None
    assert "are 5, it takes 20" in english(explain_no_importance(few, search()) or "")
    assert "All 30 complete trials" in english(explain_no_importance(same, search()) or "")
    assert "Nothing was searched over" in english(explain_no_importance(few, study([])) or "")


def test_a_slice_shows_every_trial_and_says_what_each_is() -> None:
    said = tips(guide_slice(search()))
    assert sum("(complete)" in tip for tip in said) == 12
    assert sum("(stopped)" in tip for tip in said) == 2
    assert "trial-0000: validation.loss 0.5000, guide_weight=0 (best)" in said
    assert "trial-0002: validation.loss 0.5200, guide_weight=2 (baseline)" in said


def test_the_table_of_a_slice_groups_equal_numbers_of_trials() -> None:
    chart = guide_slice(search())
    # 14 weights 0..11, 9, 9 in four groups: up to the 4th, 7th, 11th and 14th; loss 0.5 + weight / 100
    assert [" ".join(row) for row in chart.rows] == [
        "0 – 3 4 0.5000 0.5150 0",
        "4 – 6 3 0.5400 0.5500 0",
        "7 – 9 3 0.5700 0.5800 2",
        "10 – 11 2 0.6000 0.6050 0",
    ]
    assert english(chart.summary) == (
        "The best of 12 complete trials has guide_weight = 0 (validation.loss 0.5000). "
        "The best quarter lies from 0 to 2."
    )


def test_a_choice_without_a_complete_trial_has_no_number() -> None:
    given = evidence(trial(0, 0.5, {BATCH: 8}), trial(1, 0.4, {BATCH: 16}), stopped(2, 0.9, {BATCH: 32}))
    chart = drawn(given)["validation.loss by batch_size"]
    assert chart.rows[2] == ("32", "0", MISSING, MISSING, "1")
    assert "Complete trials: 2, too few" in english(chart.summary)


def test_what_is_no_candidate_is_told_from_candidates() -> None:
    unfit = trial(3, 0.1, {GUIDE: 3.0}, feasible=False)
    doomed = trial(4, 0.1, {GUIDE: 4.0}, state="audited", rule="asha", kind="pruner")
    given = evidence(trial(0, 0.5, {GUIDE: 1.0}), trial(1, 0.4, {GUIDE: 2.0}), unfit, doomed)
    said = tips(guide_slice(given))
    assert {tip[:10] for tip in said if "(not a candidate)" in tip} == {"trial-0003", "trial-0004"}
    assert next(tip for tip in said if "(best)" in tip).startswith("trial-0001")
    alone = evidence(*(stopped(place, 0.9, {GUIDE: float(place)}) for place in range(3)))
    assert "No trial ended as a candidate" in english(guide_slice(alone).summary)


@pytest.mark.parametrize(
    "given",
    [
        evidence(),
        evidence(trial(0, None, {GUIDE: 1.0}, state="stopped")),
        evidence(trial(0, 0.5), trial(1, 0.4), mode="train", space=None),
        evidence(trial(0, float("nan"), {GUIDE: 1.0}), trial(1, float("inf"), {GUIDE: 2.0})),
        evidence(trial(0, 0.5, {GUIDE: 1.0})),
    ],
)
def test_without_a_search_nothing_mattered(given: Evidence) -> None:
    assert drawn(given) == {}


def test_a_trial_is_drawn_only_where_the_parameter_counts() -> None:
    trials = [trial(place, 0.5 + place, {GUIDE: 1.0 + place} if place else {RATE: 1e-3}) for place in range(4)]
    said = tips(guide_slice(evidence(*trials)))
    assert [tip[:10] for tip in said if "(complete)" in tip] == ["trial-0001", "trial-0002", "trial-0003"]


def test_far_values_stand_at_the_end_of_the_axis() -> None:
    trials = [trial(place, 0.5 + place / 100, {GUIDE: float(place)}) for place in range(10)]
    chart = guide_slice(evidence(*trials, stopped(10, 1e5, {GUIDE: 9.5})))
    assert "The worst values lie beyond the axis" in english(chart.note or "")
    assert any(tip.startswith("trial-0010: validation.loss 1e+05") for tip in tips(chart))
    assert "0.55" in texts(chart)
    assert guide_slice(evidence(*trials)).note is None


def test_marks_of_choices_stand_a_little_aside() -> None:
    parameter = TriedParameter(
        name="hparams.use_guided_attn", plain={**BATCHES, "choices": [True, False]}, tried=[True]
    )
    assert (parameter.choices, parameter.place(False)) == (("true", "false"), 1)
    asides = [parameter.place_aside(False, number) for number in range(50)]
    assert len(set(asides)) == 50
    assert max(abs(aside - 1) for aside in asides) < 0.151


def test_a_thousand_trials_stay_small() -> None:
    given = search(1000)
    charts = [*drawn(given).values(), draw_trials(given, Catalogue("en"))]
    assert all(chart is not None and len(tips(chart)) >= 1002 for chart in charts)
    assert max(len(chart.svg) for chart in charts if chart is not None) < 200_000
