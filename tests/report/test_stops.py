"""Why trials were stopped."""

import base64
from pathlib import Path

import pytest

from smart_tuner.health.rules import RULES
from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.evidence import Run
from smart_tuner.report.stops import explain_rule, list_stops
from smart_tuner.space.methods import PRUNERS
from tests.support.evidenced import Shelf, baseline, english, reruns, run, stopped, study

STUDY = [baseline(0.5), stopped(1), stopped(2, "attention_late", "health"), stopped(3)]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "stop.png"
    path.write_bytes(b"\x89PNG made by hand")
    return path


def test_rules_come_by_how_many_trials_they_stopped(picture: Path) -> None:
    found = list_stops(study([*STUDY, *reruns("best", 0.3, state="stopped", kind="pruner", rule="asha")]), Shelf())
    assert [(stop.kind, stop.rule, stop.names) for stop in found] == [
        ("pruner", "asha", ("trial-0001", "trial-0003", "trial-0050")),
        ("health", "attention_late", ("trial-0002",)),
    ]
    assert english(found[1].meaning) == "By the deadline the attention had not formed."


def test_the_example_is_one_whose_deciding_plot_is_there(picture: Path) -> None:
    first, second = list_stops(study(STUDY), Shelf(files={("id-3", "plots/stop.png"): picture}))
    assert english(first.example.label) == "Example: trial-0003"
    assert (first.example.text, first.example.link) == ("Stopped by asha.", "http://mlflow/3")
    assert first.picture is not None
    assert base64.b64decode(first.picture.uri.removeprefix("data:image/png;base64,")) == picture.read_bytes()
    assert (second.picture, english(second.example.label)) == (None, "Example: trial-0002")


def test_a_stop_of_a_run_that_is_gone_is_still_told() -> None:
    gone = run(stopped(1), run_id=None, link="")
    (found,) = list_stops(study([baseline(0.5)], gone, gone=("trial-0001",)), Shelf())
    assert (found.names, found.picture, found.example.text) == (("trial-0001",), None, "Stopped by asha.")


def test_at_most_eight_rules_have_a_picture(picture: Path) -> None:
    results = [stopped(number, rule, "health") for number, rule in enumerate(list(RULES)[:10])]
    shelf = Shelf(files={(f"id-{number}", "plots/stop.png"): picture for number in range(10)})
    assert [stop.picture is not None for stop in list_stops(study(results), shelf)] == [True] * 8 + [False] * 2


def test_runs_without_a_study_tell_their_stops_by_their_tags() -> None:
    tags = {"stop.rule": "a_later_rule", "stop.kind": "health", "stop.reason": "Stopped at iteration 9: odd."}
    others = [Run(name="other", state="complete", tags=tags), Run(name="third", state="stopped")]
    evidence = study([], Run(name="mine", state="stopped", tags=tags), *others, mode="runs")
    (found,) = list_stops(evidence, Shelf())
    assert (found.names, found.example.text) == (("mine",), "Stopped at iteration 9: odd.")
    assert english(found.meaning).startswith("This rule is not known here")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_rule_that_stops_explains_itself(language: str) -> None:
    say = Catalogue("ru" if language == "ru" else "en")
    stopping = [rule.name for rule in RULES.values() if rule.repairs] + [name for name in PRUNERS if name != "none"]
    meanings = {say(explain_rule(rule)) for rule in stopping}
    assert len(meanings) == len(stopping)
    assert say(explain_rule("unheard_of")) not in meanings
