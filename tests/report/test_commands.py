"""What to type next is the study's own command line with few words changed."""

import dataclasses
import shlex

import pytest

from smart_tuner.report.commands import Commands, format_setting, parse_options, reword
from tests.support.evidenced import study

COMMAND = (
    "python3 smart_tuner_main.py --mode tune --data 'my corpus' --space demo.yaml --trials 12 --workers=2 --study s"
)


def commands(command: str = COMMAND, **changed: object) -> Commands:
    return Commands(dataclasses.replace(study([]), command=command, **changed))


def test_a_study_goes_on_with_more_trials() -> None:
    words = shlex.split(commands(name="s").further(20))
    assert words == [
        *("python3", "smart_tuner_main.py", "--mode", "tune", "--data"),
        "my corpus",
        *("--space", "demo.yaml", "--workers=2", "--trials", "20", "--study", "s"),
    ]


def test_a_winner_is_trained_without_what_the_search_was_told() -> None:
    wanted = "python3 smart_tuner_main.py --data 'my corpus' --mode train --trials 1 --from-study s"
    assert commands(name="s").train() == wanted


def test_a_train_study_is_trained_on_as_it_is() -> None:
    begun = "python3 smart_tuner_main.py --mode train --data d --set a.b=1 --trials 1 --study s"
    wanted = "python3 smart_tuner_main.py --mode train --data d --set a.b=1 --trials 3 --study s"
    assert commands(begun, mode="train", name="s").train(trials=3) == wanted


def test_another_study_has_another_name_space_and_setting() -> None:
    assert commands().another("s2", space="w.yaml").endswith("--trials 12 --workers=2 --study s2 --space w.yaml")
    assert commands().with_settings("s2", ["a.b=1"]).endswith("--study s2 --set a.b=1")


def test_the_corpus_is_checked_without_what_belongs_to_a_study() -> None:
    assert commands().check() == "python3 smart_tuner_main.py --data 'my corpus' --mode check"


def test_a_study_that_does_not_know_how_it_was_started_gives_no_command() -> None:
    unknown = commands("", name="s")
    begun = [unknown.further(3), unknown.train(), unknown.another("x"), unknown.with_settings("x", ["a=1"])]
    assert {*begun, unknown.check(), unknown.report(), unknown.hear("It's me.")} == {""}


def test_words_that_only_look_like_an_option_stay() -> None:
    assert reword("main.py --trial 3 --trials=4 x--trials", trials="5") == "main.py --trial 3 x--trials --trials 5"


def test_the_report_is_written_again_from_the_same_stores() -> None:
    begun = "py /at/smart_tuner_main.py --mode tune --storage sqlite:///s.db --space x.yaml --output=out --study s"
    wanted = "py /at/smart_tuner_main.py --mode report --study s --storage sqlite:///s.db --output out"
    assert commands(begun, name="s").report() == wanted


def test_the_winner_of_a_study_is_heard_from_the_same_store() -> None:
    begun = "py /at/smart_tuner_main.py --mode tune --storage sqlite:///s.db --checkpoint w.pt --output=out --study s"
    wanted = "py /at/smart_tuner_main.py --mode synth --study s --storage sqlite:///s.db --text 'It'\"'\"'s me.'"
    assert commands(begun, name="s").hear("It's me.") == wanted
    assert "--checkpoint" not in commands(begun).check()


def test_options_are_read_as_a_shell_reads_them() -> None:
    line = "py main.py --mode tune --trials=12 --data 'my --trials 99 corpus' --dry-run --set a=1 --set b=2 --seed -1"
    known = {"mode": "tune", "trials": "12", "data": "my --trials 99 corpus"}
    assert parse_options(line) == known | {"dry-run": "", "set": "b=2", "seed": "-1"}
    assert parse_options("") == parse_options("main.py --data 'no end") == {}


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (3e-4, "0.0003"), (16, "16"), ("cosine", "cosine")])
def test_a_value_is_written_as_a_person_would(value: object, expected: str) -> None:
    assert format_setting(value) == expected
