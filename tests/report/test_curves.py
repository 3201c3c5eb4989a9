"""The trials' curves, the numbers beside them by hand, and the pictures of the best and the worst."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from smart_tuner.progress import NORM
from smart_tuner.report import curves
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.curves import choose_runs, draw_curves, list_pictures, read_known_series
from smart_tuner.report.evidence import Evidence, Points
from smart_tuner.report.finalists import find_finalists
from smart_tuner.report.message import MISSING
from smart_tuner.report.view import Chart
from smart_tuner.settings.health import Health
from tests.support.evidenced import LOSS, SCORE, Shelf, baseline, english, result, run, study

TITLE = "validation.loss over the training"


def search(number: int = 3) -> Evidence:
    """Trial 1 is the best, trial 0 the baseline; each iteration sees 8 utterances."""
    results = [baseline(0.9), *(result(place, 0.5 + place / 100) for place in range(1, number))]
    return study([], *(run(of, params={"hparams.batch_size": "8"}) for of in results))


def falling(points: int, start: float = 2.0) -> Points:
    return [(place, start / place + 1.0) for place in range(1, points + 1)]


def kept(given: Evidence, points: int = 4) -> Shelf:
    return Shelf({(of.run_id or "", LOSS): falling(points, 2.0 + (of.number or 0)) for of in given.runs})


def drawn(given: Evidence, shelf: Shelf, health: Health | None = None) -> dict[str, Chart]:
    charts = draw_curves(given, find_finalists(given), shelf, health or Health(), Catalogue("en"))
    return {english(chart.title): chart for chart in charts}


def tips(chart: Chart) -> list[str]:
    return re.findall(r"<title>([^<]+)", chart.svg)


def test_curves_run_over_utterances_and_name_who_stands_out() -> None:
    given = search()
    chart = drawn(given, kept(given))[TITLE]
    # trial 1 ends at 3 / 4 + 1, the baseline at 2 / 4 + 1; 4 iterations of 8 utterances
    assert chart.rows[0] == ("best: trial-0001", "4", "1.75", "4", "1.75", "32")
    assert chart.rows[1] == ("baseline: trial-0000", "3", "1.5", "3", "1.5", "32")
    assert {"best: trial-0001", "baseline: trial-0000", "trial-0002"} == set(tips(chart))
    assert "other trials" in chart.svg
    assert english(chart.summary).endswith("At the end: best: trial-0001 1.75, baseline: trial-0000 1.5.")
    assert "not smoothed" in english(chart.note or "")
    assert "the median of 21 points around" in english(drawn(given, kept(given, 300))[TITLE].note or "")


def test_limits_are_those_of_the_studys_health_rules() -> None:
    given = search()
    shelf = Shelf({("id-1", SCORE): [(1, 0.1), (2, 0.9)], ("id-1", NORM): [(1, 1.0), (2, 30.0)]})
    usual, strict = (drawn(given, shelf, health) for health in (Health(), Health(formed_score=0.8, gradient_limit=20)))
    score, norm = f"{SCORE} over the training", f"{NORM} over the training"
    assert "good above 0.5" in usual[score].svg
    assert "sick below 0.3" in usual[score].svg
    assert "good above 0.8" in strict[score].svg
    assert "above 0.8 is good, below 0.3 sick" in english(strict[score].summary)
    assert "suspect above 10" in usual[norm].svg
    assert "suspect above 20" in strict[norm].svg


def test_of_many_curves_some_are_left_out_evenly_and_counted() -> None:
    given = search(100)
    chart = drawn(given, kept(given))[TITLE]
    shown = sorted(int(tip[-4:]) for tip in tips(chart))
    assert len(shown) == curves.MOST_OTHERS + 4, "best, baseline, median and worst are looked at closely too"
    assert f"Other runs left out: {100 - len(shown)}" in english(chart.note or "")
    assert max(later - earlier for earlier, later in pairwise(shown)) <= 3


def test_long_curves_are_few() -> None:
    given = search(100)
    runs = [replace(of, metrics={"iteration": 30_000.0}) for of in given.runs]
    assert len(choose_runs(runs, find_finalists(given), NORM)) == 10  # 300,000 points
    assert len(choose_runs(runs, find_finalists(given), LOSS)) == curves.MOST_OTHERS + 4


def test_runs_without_a_batch_size_are_counted_or_drawn_over_iterations() -> None:
    given = search()
    mixed = replace(given, runs=(*given.runs[:2], replace(given.runs[2], params={})))
    assert "Runs without hparams.batch_size, left out: 1." in english(drawn(mixed, kept(mixed))[TITLE].note or "")
    none = replace(given, runs=tuple(replace(of, params={}) for of in given.runs))
    chart = drawn(none, kept(none))[TITLE]
    assert english(chart.head[-1]) == "iterations"
    assert chart.rows[0][-1] == "4"


def test_a_far_peak_does_not_press_the_others_to_the_floor() -> None:
    given = search()
    shelf = kept(given, 100)
    shelf.histories["id-2", LOSS] = [(1, 2.0), (2, 1e6)]
    chart = drawn(given, shelf)[TITLE]
    assert "Peaks beyond the axis are cut off." in english(chart.note or "")
    assert "1e+06" not in chart.svg
    shelf.histories["id-2", LOSS] = [(1, 2.0), (2, 100.0)]
    assert "Peaks" not in english(drawn(given, shelf)[TITLE].note or ""), "a logarithmic axis holds them"


def test_what_nobody_logged_is_left_out_and_deleted_runs_are_not_asked_for() -> None:
    given = search()
    assert list(drawn(given, kept(given))) == [TITLE]
    assert drawn(given, Shelf()) == drawn(study([]), Shelf()) == {}
    gone, shelf = replace(given, runs=tuple(replace(of, run_id=None) for of in given.runs)), kept(given)
    assert drawn(gone, shelf) == {}
    assert read_known_series(gone, find_finalists(gone), shelf) == {}
    assert shelf.asked == set()


def test_series_hold_every_run_or_those_in_focus_of_a_large_study() -> None:
    given = search(30)
    shelf = Shelf({("id-1", NORM): [(1, 2.0)]})
    known = read_known_series(given, find_finalists(given), shelf)
    assert (len(known), known["trial-0001"][NORM]) == (30, [(1, 2.0)])
    large = replace(given, runs=tuple(replace(of, metrics={"iteration": 10_000.0}) for of in given.runs))
    names = set(read_known_series(large, find_finalists(large), shelf))
    assert {"trial-0000", "trial-0001"} <= names
    assert len(names) <= 5


def test_pictures_are_those_of_the_best_and_the_worst_that_are_there(tmp_path: Path) -> None:
    first, last = run(result(0, 0.5), metrics={SCORE: 0.91}), run(result(1, 0.9))
    file = tmp_path / "plot.png"
    file.write_bytes(b"picture")
    there = [("id-0", "plots/alignment.png"), ("id-0", "plots/gate.png"), ("id-1", "plots/mel.png")]
    found = list_pictures(find_finalists(study([], first, last)), Shelf(files=dict.fromkeys(there, file)))
    titles = ["alignment, best: trial-0000", "gate, best: trial-0000", "mel, worst: trial-0001"]
    assert [english(picture.title) for picture in found] == titles
    assert found[0].uri == "data:image/png;base64,cGljdHVyZQ=="
    assert "validation.alignment_score: 0.91." in english(found[0].alt)
    assert f"validation.gate_mean: {MISSING}" in english(found[1].alt)
