"""Charts and pictures of a study: what is drawn, and the numbers beside it by hand."""

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from smart_tuner import documents
from smart_tuner.report.catalogue import MISSING, Catalogue
from smart_tuner.report.drawing import matters, slices
from smart_tuner.report.drawing import runs as trainings
from smart_tuner.report.evidence import Evidence, Points, Run
from smart_tuner.report.finalists import finalists
from smart_tuner.report.view import Chart
from smart_tuner.space.space import Objective
from smart_tuner.study.importance import Importance, Share
from smart_tuner.study.results import Result

REPORT = Path(trainings.__file__).parent.parent
RATE, BATCH, GUIDE = "hparams.learning_rate", "hparams.batch_size", "hparams.guide_weight"
PLAIN = {"low": 0.0, "high": 0.0, "log": False, "step": None, "choices": [], "when": {}}
SPACE = {
    "parameters": {
        GUIDE: {**PLAIN, "type": "float", "low": 0.0, "high": 10.0},
        BATCH: {**PLAIN, "type": "categorical", "choices": [8, 16, 32]},
        RATE: {**PLAIN, "type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    }
}
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
ENGLISH = Catalogue("en")


class Kept:
    """An archive that holds series by run and metric."""

    def __init__(self, series: Mapping[str, Mapping[str, Points]] | None = None, files: Path | None = None) -> None:
        self.series, self.files, self.asked = series or {}, files, list[str]()

    def history(self, run_id: str, metric: str) -> Points:
        self.asked.append(f"{run_id} {metric}")
        return self.series.get(run_id, {}).get(metric, ())

    def artefact(self, run_id: str, path: str) -> Path | None:
        file = self.files / run_id / path if self.files else None
        return file if file is not None and file.is_file() else None

    def artefacts(self, run_id: str, folder: str) -> list[str]:
        return []


def trial(number: int, loss: float | None, values: Mapping[str, Any] | None = None, **changed: Any) -> Run:
    known: dict[str, Any] = {"origin": "sampled", "state": "complete", "seed": 1, "utterances": 100, "planned": 100}
    result = Result(number=number, loss=loss, values=dict(values or {}), **known | changed)
    return Run(
        name=f"trial-{number:04d}",
        number=number,
        state="complete",
        result=result,
        run_id=f"id-{number}",
        params={"hparams.batch_size": "8"},
    )


def stopped(number: int, loss: float | None, values: Mapping[str, Any]) -> Run:
    return trial(number, loss, values, state="stopped", rule="asha", kind="pruner", utterances=50)


def evidence(*runs: Run, **changed: Any) -> Evidence:
    known: dict[str, Any] = {"mode": "tune", "objectives": (Objective(),), "space": SPACE}
    return Evidence(name="study", runs=runs, **known | changed)


def search(number: int = 12) -> Evidence:
    """Trial k of many has loss 0.5 + k / 100 and guide weight k; trial 0 is the baseline, two more are stopped."""
    runs = [
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
    return evidence(*runs, *ends)


def drawn(given: Evidence, importance: Importance = UNKNOWN) -> dict[str, Chart]:
    charts = matters.matters(given, importance, ENGLISH)
    return {ENGLISH(chart.title): chart for chart in charts}


def tips(chart: Chart) -> list[str]:
    return re.findall(r"<title>([^<]+)", chart.svg)


# what mattered


def test_slices_begin_with_the_learning_rate_and_the_batch_size() -> None:
    assert list(drawn(search())) == [
        "validation.loss by learning_rate",
        "validation.loss by batch_size",
        "validation.loss by guide_weight",
        "All parameters together",
    ]


def test_charts_of_importance_come_when_it_can_be_told() -> None:
    titles = list(drawn(search(), KNOWN))
    assert titles[0] == "What mattered (PED-ANOVA)"
    assert "guide_weight and learning_rate together" in titles


def test_the_table_of_importance_holds_its_numbers() -> None:
    chart = drawn(search(), KNOWN)["What mattered (PED-ANOVA)"]
    assert chart.rows[0] == (GUIDE, "60%", "40% – 70%")
    assert "The largest: hparams.guide_weight, 60% (40% to 70%)." in ENGLISH(chart.summary)
    assert "tells the best quarter by validation.loss from the other trials" in ENGLISH(chart.summary)


def test_a_slice_shows_every_trial_and_says_what_each_is() -> None:
    words = tips(drawn(search())["validation.loss by guide_weight"])
    assert sum("(complete)" in one for one in words) == 12
    assert sum("(stopped)" in one for one in words) == 2
    assert "trial-0000: validation.loss 0.5000, guide_weight=0 (best)" in words
    assert "trial-0002: validation.loss 0.5200, guide_weight=2 (baseline)" in words


def test_the_table_of_a_slice_groups_equal_numbers_of_trials() -> None:
    chart = drawn(search())["validation.loss by guide_weight"]
    # 14 weights 0..11, 9, 9 in four groups: up to the 4th, 7th, 11th and 14th; loss 0.5 + weight / 100
    assert chart.rows == (
        ("0 – 3", "4", "0.5000", "0.5150", "0"),
        ("4 – 6", "3", "0.5400", "0.5500", "0"),
        ("7 – 9", "3", "0.5700", "0.5800", "2"),
        ("10 – 11", "2", "0.6000", "0.6050", "0"),
    )
    assert ENGLISH(chart.summary) == (
        "The best of 12 complete trials has guide_weight = 0 (validation.loss 0.5000). "
        "The best quarter lies from 0 to 2."
    )


def test_a_choice_without_a_complete_trial_has_no_number() -> None:
    given = evidence(trial(0, 0.5, {BATCH: 8}), trial(1, 0.4, {BATCH: 16}), stopped(2, 0.9, {BATCH: 32}))
    chart = drawn(given)["validation.loss by batch_size"]
    assert chart.rows[2] == ("32", "0", MISSING, MISSING, "1")
    assert "Complete trials: 2, too few" in ENGLISH(chart.summary)


def test_a_maximised_objective_has_its_best_at_the_top() -> None:
    score = (Objective(metric="validation.alignment_score", direction="maximize"),)
    given = evidence(trial(0, 0.4, {BATCH: 8}), trial(1, 0.9, {BATCH: 8}), trial(2, 0.2, {BATCH: 16}), objectives=score)
    chart = drawn(given)["validation.alignment_score by batch_size"]
    assert chart.rows[0] == ("8", "2", "0.9000", "0.6500", "0")
    assert any(one.startswith("trial-0001") and "(best)" in one for one in tips(chart))


def test_a_study_in_which_all_were_stopped_is_drawn_too() -> None:
    given = evidence(
        *(stopped(place, 0.9 - place / 10, {GUIDE: place, RATE: 1e-3 * (1 + place)}) for place in range(3))
    )
    charts = drawn(given)
    assert "No trial ended as a candidate" in ENGLISH(charts["validation.loss by guide_weight"].summary)
    assert len(charts["All parameters together"].rows[0]) == 1


def test_infeasible_and_audited_trials_are_told_from_candidates() -> None:
    unfit = trial(3, 0.1, {GUIDE: 3.0}, feasible=False)
    doomed = trial(4, 0.1, {GUIDE: 4.0}, state="audited", rule="asha", kind="pruner")
    given = evidence(trial(0, 0.5, {GUIDE: 1.0}), trial(1, 0.4, {GUIDE: 2.0}), unfit, doomed)
    words = tips(drawn(given)["validation.loss by guide_weight"])
    assert {one[:10] for one in words if "(not a candidate)" in one} == {"trial-0003", "trial-0004"}
    assert next(one for one in words if "(best)" in one).startswith("trial-0001")


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
def test_without_a_search_there_is_nothing_to_draw(given: Evidence) -> None:
    assert drawn(given) == {}


def test_a_conditional_parameter_is_absent_where_it_does_not_count() -> None:
    runs = [
        trial(place, 0.5 + place, {RATE: 1e-3 * (place + 1)} | ({GUIDE: 1.0 + place} if place else {}))
        for place in range(4)
    ]
    charts = drawn(evidence(*runs))
    assert len([one for one in tips(charts["validation.loss by guide_weight"]) if "(complete)" in one]) == 3
    assert "not used" in charts["All parameters together"].svg
    assert (GUIDE, "not used") in charts["All parameters together"].rows


def test_the_best_and_the_baseline_are_compared_with_the_best_quarter() -> None:
    chart = drawn(search())["All parameters together"]
    assert tuple(map(ENGLISH, chart.head)) == ("parameter", "best", "baseline", "best quarter")
    assert chart.rows == (
        (GUIDE, "0", "2", "from 0 to 2"),
        (BATCH, "8", "32", "at 8, 16, 32"),
        (RATE, "0.001", "0.001", "at 0.001"),
    )


def test_the_interaction_crosses_groups_of_both() -> None:
    chart = drawn(search(), KNOWN)["guide_weight and learning_rate together"]
    assert chart.rows[0][:2] == ("0 – 5, 0.001", "6")
    words = tips(chart)
    assert sum("(best quarter)" in one for one in words) == 3
    assert sum("(second quarter)" in one for one in words) == 3
    assert sum("(stopped)" in one for one in words) == 2


def test_of_a_thousand_trials_a_sample_with_the_best_is_drawn() -> None:
    charts = drawn(search(1000))
    slice_of, together = charts["validation.loss by guide_weight"], charts["All parameters together"]
    assert len(tips(together)) == matters.MOST_PATHS
    assert len([one for one in tips(slice_of) if "(complete)" in one]) <= matters.MOST_DOTS
    assert all(any(one.startswith(f"trial-{place:04d}") for one in tips(slice_of)) for place in range(matters.TOP))
    assert "150 of 1002 trials are drawn: the best 50" in ENGLISH(together.note or "")
    assert len(slice_of.svg) < 60_000
    assert len(together.svg) < 60_000


def test_far_values_stand_at_the_end_of_the_axis() -> None:
    runs = [trial(place, 0.5 + place / 100, {GUIDE: float(place)}) for place in range(10)]
    chart = drawn(evidence(*runs, stopped(10, 1e5, {GUIDE: 9.5})))["validation.loss by guide_weight"]
    assert "The worst values lie beyond the axis" in ENGLISH(chart.note or "")
    assert any(one.startswith("trial-0010: validation.loss 100000.0000") for one in tips(chart))
    assert "0.55" in re.findall(r">([^<>]+)</text>", chart.svg)
    assert "The worst" not in ENGLISH(drawn(evidence(*runs))["validation.loss by guide_weight"].note or "")


def test_several_objectives_are_drawn_against_each_other() -> None:
    both = (Objective(), Objective(metric="duration"))
    runs = [
        trial(place, loss, {GUIDE: float(place)}, metrics={"validation.loss": loss, "duration": seconds})
        for place, (loss, seconds) in enumerate([(0.5, 0.1), (0.4, 0.3), (0.6, 0.2)])
    ]
    chart = drawn(evidence(*runs, objectives=both))["validation.loss against duration"]
    assert chart.rows == (("trial-0001", "0.4000", "0.3000"), ("trial-0000", "0.5000", "0.1000"))
    assert "trial-0002, 0.6000, 0.2000" in tips(chart)
    bare = [trial(place, 0.5, {GUIDE: float(place)}) for place in range(2)]
    assert "validation.loss against duration" not in drawn(evidence(*bare, objectives=both))


def test_marks_of_few_values_stand_a_little_aside() -> None:
    plain = {**PLAIN, "type": "int", "low": 0, "high": 100}
    few = slices.Parameter(name="hparams.warmup_iterations", plain=plain, tried=[0, 50, 100])
    assert few.aside(50, 0.5) == pytest.approx(53)  # 0.06 * 100 / 2
    many = slices.Parameter(name="hparams.warmup_iterations", plain=plain, tried=list(range(50)))
    assert many.aside(50, 0.5) == 50


def test_the_best_is_the_baseline_without_a_second_line() -> None:
    own = trial(0, 0.4, {GUIDE: 1.0, RATE: 1e-3}, origin="baseline", own=True)
    chart = drawn(evidence(own, trial(1, 0.5, {GUIDE: 2.0, RATE: 2e-3})))["All parameters together"]
    assert "best and baseline: trial-0000" in tips(chart)
    assert len(tips(chart)) == 2


def test_values_of_a_group_are_told_by_type() -> None:
    plain = {**PLAIN, "type": "categorical", "choices": [True, False]}
    parameter = slices.Parameter(name="hparams.use_guided_attn", plain=plain, tried=[True])
    assert parameter.choices == ("true", "false")
    assert parameter.place(False) == 1


# curves


def falling(points: int, start: float = 2.0) -> Points:
    return [(place, start / place + 1.0) for place in range(1, points + 1)]


def curves(given: Evidence, archive: Kept) -> dict[str, Chart]:
    return {ENGLISH(one.title): one for one in trainings.curves(given, finalists(given), archive, ENGLISH)}


def kept(given: Evidence, points: int = 4) -> Kept:
    return Kept({run.run_id or "": {"validation.loss": falling(points, 2.0 + (run.number or 0))} for run in given.runs})


def test_curves_run_over_utterances_and_name_who_stands_out() -> None:
    given = search(3)
    chart = curves(given, kept(given))["validation.loss over the training"]
    # trial 0 is the best (2 / 4 + 1), trial 2 the baseline (4 / 4 + 1); 4 iterations of 8 utterances
    assert chart.rows[0] == ("best: trial-0000", "3", "1.5", "3", "1.5", "32")
    assert chart.rows[1] == ("baseline: trial-0002", "5", "2", "5", "2", "32")
    assert {"best: trial-0000", "baseline: trial-0002", "trial-0001"} <= set(tips(chart))
    assert "It ends at 1.5 (best: trial-0000) and 2 (baseline: trial-0002)." in ENGLISH(chart.summary)


def test_metrics_that_nobody_logged_are_left_out() -> None:
    given = search(3)
    assert list(curves(given, kept(given))) == ["validation.loss over the training"]
    assert curves(given, Kept()) == {}
    assert curves(evidence(), Kept()) == {}


def test_of_many_curves_some_are_left_out_evenly_and_counted() -> None:
    given = search(100)
    chart = curves(given, kept(given))["validation.loss over the training"]
    shown = {one for one in tips(chart) if one.startswith("trial-")}
    assert len(shown) == trainings.MOST_OTHERS + 2, "median and worst are looked at closely too"
    assert "Other runs left out: 38" in ENGLISH(chart.note or "")
    numbers = sorted(int(one[6:]) for one in shown)
    assert max(later - earlier for earlier, later in pairwise(numbers)) <= 4


def test_long_curves_are_few() -> None:
    given = search(100)
    runs = [replace(run, metrics={"iteration": 30_000.0}) for run in given.runs]
    given = replace(given, runs=tuple(runs))
    chosen = trainings.chosen_runs(given.runs, finalists(given), "grad.norm", "minimize")
    assert len(chosen) == 10  # 300,000 points
    assert {"trial-0000", "trial-0002"} <= {run.name for run in chosen}


def test_a_smoothed_curve_keeps_its_raw_line_and_says_its_window() -> None:
    given = search(2)
    noisy: Points = [(place, 2.0 + place % 2) for place in range(1, 301)]
    chart = curves(given, Kept({"id-0": {"grad.norm": noisy}}))["grad.norm over the training"]
    assert "the median of 21 points" in ENGLISH(chart.note or "")
    assert chart.svg.count("opacity:0.4") == 1


def test_one_run_with_one_point_is_drawn() -> None:
    given = evidence(trial(0, 0.5))
    chart = curves(given, Kept({"id-0": {"validation.loss": [(5, 0.5)]}}))["validation.loss over the training"]
    assert chart.rows[0] == ("best: trial-0000", "0.5", "0.5", "0.5", "0.5", "40")
    assert "not smoothed" in ENGLISH(chart.note or "")


def test_runs_without_a_batch_size_are_counted_or_drawn_over_iterations() -> None:
    given = search(3)
    bare = replace(given.runs[1], params={})
    mixed = replace(given, runs=(given.runs[0], bare, *given.runs[2:]))
    chart = curves(mixed, kept(mixed))["validation.loss over the training"]
    assert "Runs without hparams.batch_size, left out: 1." in ENGLISH(chart.note or "")
    none = replace(given, runs=tuple(replace(run, params={}) for run in given.runs))
    chart = curves(none, kept(none))["validation.loss over the training"]
    assert ENGLISH(chart.head[-1]) == "iterations"
    assert chart.rows[0][-1] == "4"


def test_a_far_peak_does_not_press_the_others_to_the_floor() -> None:
    given = search(3)
    archive = kept(given, 100)
    archive.series = {**archive.series, "id-1": {"validation.loss": [(1, 2.0), (2, 1e6)]}}
    chart = curves(given, archive)["validation.loss over the training"]
    assert "Peaks beyond the axis are cut off." in ENGLISH(chart.note or "")
    assert "1e+06" not in chart.svg
    archive.series = {**archive.series, "id-1": {"validation.loss": [(1, 2.0), (2, 100.0)]}}
    chart = curves(given, archive)["validation.loss over the training"]
    assert "Peaks" not in ENGLISH(chart.note or ""), "a logarithmic axis holds them"


def test_deleted_runs_are_not_asked_for() -> None:
    given = search(3)
    gone = replace(given, runs=tuple(replace(run, run_id=None) for run in given.runs))
    archive = kept(given)
    assert curves(gone, archive) == {}
    assert trainings.series(gone, finalists(gone), archive) == {}
    assert archive.asked == []


# series, pictures


def test_series_hold_every_run_or_those_in_focus_of_a_large_study() -> None:
    given = search(30)
    assert len(trainings.series(given, finalists(given), kept(given))) == 32
    runs = tuple(replace(run, metrics={"iteration": 10_000.0}) for run in given.runs)
    large = replace(given, runs=runs)
    names = set(trainings.series(large, finalists(large), kept(given)))
    assert {"trial-0000", "trial-0002"} <= names
    assert len(names) <= 5


def test_series_are_by_metric() -> None:
    given = evidence(trial(0, 0.5))
    found = trainings.series(given, finalists(given), Kept({"id-0": {"grad.norm": [(1, 2.0)]}}))
    assert found["trial-0000"]["grad.norm"] == [(1, 2.0)]
    assert set(found["trial-0000"]) == set(trainings.SERIES)


def test_pictures_are_those_of_the_best_and_the_worst_that_are_there(tmp_path: Path) -> None:
    given = evidence(replace(trial(0, 0.5), metrics={"validation.alignment_score": 0.91}), trial(1, 0.9))
    for path in ("id-0/plots/alignment.png", "id-0/plots/gate.png", "id-1/plots/mel.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"picture")
    found = trainings.pictures(finalists(given), Kept(files=tmp_path))
    titles = ["alignment, best: trial-0000", "gate, best: trial-0000", "mel, worst: trial-0001"]
    assert [ENGLISH(one.title) for one in found] == titles
    assert found[0].uri == "data:image/png;base64,cGljdHVyZQ=="
    assert "validation.alignment_score: 0.91" in ENGLISH(found[0].alt)
    assert f"validation.gate_mean: {MISSING}" in ENGLISH(found[1].alt)


# sentences


def keys_in_code() -> set[str]:
    """Texts of the sources that begin as a key does; f"charts.{one}" stands for what it is put together from."""
    found = {f"charts.{one}" for one in ("first", "least", "most", "last", "best", "baseline")}
    for name in ("runs", "matters", "slices", "listening", "shapes"):
        tree = ast.parse(next(REPORT.rglob(f"{name}.py")).read_text(encoding="utf-8"))
        texts = {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
        found |= {one for one in texts if re.fullmatch(r"charts\.\w+", one)}
    return found


def test_every_sentence_is_there_in_both_languages_with_the_same_facts() -> None:
    sentences = documents.value((REPORT / "strings" / "charts.yaml").read_text(encoding="utf-8"))
    assert set(sentences) == keys_in_code()
    for key, texts in sentences.items():
        facts = [sorted({name for _, name, _, _ in Formatter().parse(texts[one]) if name}) for one in ("en", "ru")]
        assert facts[0] == facts[1], key


def test_everything_can_be_said_in_russian() -> None:
    given, russian = search(20), Catalogue("ru")
    charts = matters.matters(given, KNOWN, russian)
    charts += trainings.curves(given, finalists(given), kept(given), russian)
    for chart in charts:
        assert re.search("[а-я]", russian(chart.summary) + russian(chart.note or ""))
        assert "лучш" in chart.svg or "доля" in chart.svg
