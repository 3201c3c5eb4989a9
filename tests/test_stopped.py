"""Why trials were stopped, and whether that was right: numbers by hand, and the same as audit.py says."""

import base64
import re
from pathlib import Path

import pytest

from smart_tuner.health.repairs import REPAIRS
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import Run
from smart_tuner.report.judging.stopped import RULES, audit_lines, stops
from smart_tuner.study import summary
from smart_tuner.study.audit import audit
from smart_tuner.study.results import Result
from tests.evidenced import Shelf, baseline, confirmed, english, reruns, result, run, stopped, study, words

STUDY = [
    baseline(0.5),
    stopped(1),
    stopped(2, "attention_late", "health"),
    stopped(3),
    result(4, 0.7, state="audited", rule="asha", kind="pruner", judged_at=500),
]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "stop.png"
    path.write_bytes(b"\x89PNG made by hand")
    return path


def test_rules_come_by_how_many_trials_they_stopped(picture: Path) -> None:
    found = stops(study(STUDY), Shelf(files={("id-3", "plots/stop.png"): picture}))
    assert [(one.kind, one.rule, one.names) for one in found] == [
        ("pruner", "asha", ("trial-0001", "trial-0003")),
        ("health", "attention_late", ("trial-0002",)),
    ]
    assert english(found[1].meaning) == "By the deadline the attention had not formed."


def test_the_example_is_one_whose_deciding_plot_is_there(picture: Path) -> None:
    first, second = stops(study(STUDY), Shelf(files={("id-3", "plots/stop.png"): picture}))
    assert english(first.example.label) == "Example: trial-0003"
    assert (first.example.text, first.example.link) == ("Stopped by asha.", "http://mlflow/3")
    assert first.picture is not None
    assert base64.b64decode(first.picture.uri.removeprefix("data:image/png;base64,")) == picture.read_bytes()
    assert english(first.picture.title) == "trial-0003, stopped by asha"
    assert (second.picture, english(second.example.label)) == (None, "Example: trial-0002")


def test_a_stop_of_a_run_that_is_gone_is_still_told() -> None:
    gone = run(stopped(1), run_id=None, link="")
    (found,) = stops(study([baseline(0.5)], gone, gone=("trial-0001",)), Shelf())
    assert (found.names, found.picture, found.example.text) == (("trial-0001",), None, "Stopped by asha.")


def test_at_most_eight_rules_have_a_picture(picture: Path) -> None:
    results = [stopped(number, rule, "health") for number, rule in enumerate(RULES[:10])]
    shelf = Shelf(files={(f"id-{number}", "plots/stop.png"): picture for number in range(10)})
    assert [one.picture is not None for one in stops(study(results), shelf)] == [True] * 8 + [False] * 2


def test_runs_without_a_study_tell_their_stops_by_their_tags() -> None:
    tags = {"stop.rule": "a_later_rule", "stop.kind": "health", "stop.reason": "Stopped at iteration 9: odd."}
    others = [Run(name="other", state="complete", tags=tags), Run(name="third", state="stopped")]
    evidence = study([], Run(name="mine", state="stopped", tags=tags), *others, mode="runs")
    (found,) = stops(evidence, Shelf())
    assert (found.names, found.example.text) == (("mine",), "Stopped at iteration 9: odd.")
    assert english(found.meaning).startswith("The rule is not known to this version")
    assert audit_lines(evidence) == ()


def test_every_rule_that_stops_has_its_sentence() -> None:
    assert set(RULES) >= set(REPAIRS)
    assert set(RULES) - set(REPAIRS) == {"asha", "hyperband", "median", "percentile", "patient"}


def test_what_stopping_saved_and_whether_it_was_right() -> None:
    # each of the 3 stopped saw 250 of 1,000 utterances in 150 s: 450 s more; 1,350 s = 22.5 min
    # spent: 2 * 600 + 3 * 150 = 1,650 s, so 1,350 / 3,000 = 45 %; the doomed one ran on for 600 s * (1 - 500 / 1,000)
    assert words(audit_lines(study(STUDY))) == {
        "Stopped": "3 of 5 trials (pruner: asha 2, health: attention_late 1); about 22 min of training saved, "
        "45 % of the search.",
        "Audit": "Doomed trials that ran on: 1, for 5 min; 0 of them would have beaten the best; so up to 95 % of the "
        "stops may be wrong (95 % limit).",
        "Comparisons": "Too few trials compared and trained to the end to say which share a pruner should keep.",
    }


def test_a_doomed_trial_that_would_have_been_best_is_named() -> None:
    wrong = result(4, 0.3, state="audited", rule="asha", kind="pruner", judged_at=500)
    told = words(audit_lines(study([*STUDY[:4], wrong])))["Audit"]
    assert "1 of them would have beaten the best (trial-0004); so up to 100 %" in told


def test_stopped_reruns_are_counted_apart() -> None:
    again = reruns("best", 0.3, state="stopped", kind="health", rule="loss_jump")
    evidence = study([*confirmed(best=()), *again])
    assert words(audit_lines(evidence)) == {
        "Stopped": "None of 2 trials. Reruns stopped, which are not counted in this: 1."
    }
    assert [one.names for one in stops(evidence, Shelf())] == [("trial-0050",)]


def rungs(number: int, *values: float) -> Result:
    return result(number, values[-1], rungs=dict(zip((100, 300), values, strict=False)))


@pytest.mark.parametrize(
    "results",
    [
        STUDY,
        [stopped(number) for number in range(3)],
        [stopped(0, planned=0), stopped(1)],
        [stopped(0, planned=0), stopped(1, utterances=0)],
        [stopped(0), *(rungs(number, 0.9 - number / 10, number / 10) for number in range(1, 6))],
    ],
)
def test_the_numbers_are_those_of_the_summary(results: list[Result]) -> None:
    found = audit(results)
    told = words(audit_lines(study(results)))
    pairs = {
        "Stopped": summary.stopped_sentence(found),
        "Audit": summary.audit_sentence(found),
        "Comparisons": summary.rungs_sentence(found),
    }
    for label, text in told.items():
        assert re.findall(r"[\d.,]*\d", text) == re.findall(r"[\d.,]*\d", pairs[label]), label


def test_the_lines_are_said_in_russian_too() -> None:
    told = words(audit_lines(study(STUDY)), "ru")
    assert told["Остановлено"].startswith("3 из 5 испытаний (pruner: asha 2, health: attention_late 1); сбережено")
    assert all(Catalogue("ru")(one.meaning) for one in stops(study(STUDY), Shelf()))
