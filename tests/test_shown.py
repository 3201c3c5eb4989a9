"""Trials in sentences lead to their rows; a threshold is said once for all runs."""

from smart_tuner.report.catalogue import Catalogue
from smart_tuner.report.writing.shown import Shown, thresholds
from tests import views


def test_a_threshold_is_said_once_and_its_own_numbers_beside_the_verdict() -> None:
    assert thresholds(["below 5", "below 5"]) == (["below 5"], {"below 5": ""})
    head, own = thresholds(["within 5 % of 3.7327", "early", "within 5 % of 1e-05"])
    assert head == ["a: within 5 % of …", "b: early"]
    assert own == {"within 5 % of 3.7327": "a … 3.7327", "within 5 % of 1e-05": "a … 1e-05", "early": "b"}
    many = ["one", "two", "three", "four", "five", "six"]
    assert thresholds(many) == ([], {rule: rule for rule in many})


def test_a_trial_in_a_sentence_leads_to_its_row() -> None:
    shown = Shown(views.view(), Catalogue("en"), 0)
    assert shown.pieces("trial-0001 beats trial-0099.") == [
        ("trial-0001", "run-0-1"),
        (" beats ", ""),
        ("trial-0099", ""),
        (".", ""),
    ]
