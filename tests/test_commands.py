"""What to type next is the study's own command line with few words changed."""

import dataclasses
import shlex

from smart_tuner.report.commands import Commands
from smart_tuner.request import reworded, without_password
from tests.evidenced import study

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
    assert "--space wide.yaml" in commands().another("s2", space="wide.yaml")
    assert "demo.yaml" not in commands().another("s2", space="wide.yaml")
    assert commands().with_settings("s2", "a.b=1").endswith("--study s2 --set a.b=1")


def test_the_corpus_is_checked_without_what_belongs_to_a_study() -> None:
    assert commands().check() == "python3 smart_tuner_main.py --data 'my corpus' --mode check"


def test_a_study_that_does_not_know_how_it_was_started_gives_no_command() -> None:
    found = commands("")
    assert [found.further(3), found.train(), found.another("x"), found.with_settings("x", "a=1"), found.check()] == [
        ""
    ] * 5


def test_passwords_are_not_kept() -> None:
    begun = "main.py --storage postgresql://me:s3cret@host/db --tracking-uri http://host:5000 --data /a:b@c"
    kept = "main.py --storage postgresql://me:***@host/db --tracking-uri http://host:5000 --data /a:b@c"
    assert without_password(begun) == kept


def test_words_that_only_look_like_an_option_stay() -> None:
    assert reworded("main.py --trial 3 --trials=4 x--trials", trials="5") == "main.py --trial 3 x--trials --trials 5"


def test_the_report_is_written_again_from_the_same_stores() -> None:
    begun = "py /at/smart_tuner_main.py --mode tune --storage sqlite:///s.db --space x.yaml --output=out --study s"
    wanted = "py /at/smart_tuner_main.py --mode report --study s --storage sqlite:///s.db --output out"
    assert commands(begun, name="s").report() == wanted
    assert commands("", name="s").report() == ""


def test_the_winner_of_a_study_is_heard_from_the_same_store() -> None:
    begun = "py /at/smart_tuner_main.py --mode tune --storage sqlite:///s.db --checkpoint w.pt --output=out --study s"
    wanted = "py /at/smart_tuner_main.py --mode synth --study s --storage sqlite:///s.db --text 'It'\"'\"'s me.'"
    assert commands(begun, name="s").hear("It's me.") == wanted
    assert commands("", name="s").hear("It's me.") == ""
    assert "--checkpoint" not in commands(begun).check()
