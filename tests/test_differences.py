"""Two studies side by side: what is compared, and that settings and spaces are compared key by key."""

from smart_tuner.report.catalogue import MISSING, Catalogue, said
from smart_tuner.report.view import Line
from smart_tuner.report.writing.differences import aspects, differences, flat, searched
from tests import views

ENGLISH = Catalogue("en")
RATE = "parameters:\n  hparams.learning_rate: {{type: float, low: {}, high: 0.002, log: true, choices: []}}\n"


def test_the_table_says_what_differs() -> None:
    second = views.view(title="second", rows=views.rows(5), reproduction=views.view().reproduction[:1])
    found = differences([views.view(), second], ENGLISH)
    assert [name for name, _, _ in found] == [
        *("Objective", "Runs", "Best", "Gain", "Status", "Corpus", "Budget", "Settings", "Search space")
    ]
    assert ("Runs", ["12", "5"], True) in found
    assert ("Objective", ["validation.loss"] * 2, False) in found
    assert ("Budget", ["300000utt", MISSING], True) in found
    assert ("Settings", ["keys: 2", "keys: 2"], False) in found
    assert differences([views.view()], ENGLISH) == []
    assert aspects(views.empty(), ENGLISH)["Objective"] == MISSING


def test_settings_are_compared_by_key() -> None:
    second = views.view(settings="hparams: {learning_rate: 0.0004, batch_size: 32, deep: {known: true}}")
    found = differences([views.view(), second], ENGLISH)
    assert [one for one in found if one[0].startswith(("Settings", "hparams"))] == [
        ("Settings", ["keys: 2", "keys: 3"], True),
        ("hparams.batch_size", ["16", "32"], True),
        ("hparams.deep.known", [MISSING, "true"], True),
    ]


def test_spaces_are_compared_by_parameter() -> None:
    spaces = [
        RATE.format(low) + f"pruner: {{name: {pruner}}}\n" for low, pruner in (("0.0", "asha"), ("1.0e-4", "none"))
    ]
    found = differences([views.view(space=space) for space in spaces], ENGLISH)
    assert found[-3:] == [
        ("Search space", ["keys: 2", "keys: 2"], True),
        (
            "hparams.learning_rate (search space)",
            ["type float, low 0.0, high 0.002, log true", "type float, low 0.0001, high 0.002, log true"],
            True,
        ),
        ("pruner.name (search space)", ["asha", "none"], True),
    ]


def test_a_parameter_with_choices_has_no_ends_and_numbers_keep_their_digits() -> None:
    choices = {"type": "categorical", "low": 0.0, "high": 0.0, "log": False, "choices": [8, 16], "when": {}}
    found = searched({"parameters": {"hparams.batch_size": choices}, "constraints": [], "audit": 0.123456789})
    assert found == {
        "hparams.batch_size": "type categorical, choices 8, 16",
        "constraints": MISSING,
        "audit": "0.123456789",
    }


def test_settings_that_are_unknown_are_not_compared_key_by_key() -> None:
    found = differences([views.view(), views.view(settings="", space="")], ENGLISH)
    assert found[-2:] == [("Settings", ["keys: 2", MISSING], True), ("Search space", ["keys: 1", MISSING], True)]
    assert not [name for name, _, _ in differences([views.empty(), views.empty()], ENGLISH) if name == "Settings"]
    assert flat("no mapping") == searched(["neither"]) == searched({"parameters": 3}) == {}


def test_what_differs_in_any_two_studies_is_left_out() -> None:
    lines = [
        Line(label=said(f"findings.label_{key}"), text="x") for key in ("began", "ended", "seeds", "folder", "git")
    ]
    found = differences([views.view(reproduction=tuple(lines)), views.view(title="second")], ENGLISH)
    assert {"Began", "Last trial ended", "Seeds", "Files"}.isdisjoint(name for name, _, _ in found)
    assert "Git commit" in [name for name, _, _ in found]
