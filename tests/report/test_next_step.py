"""What a study leads to: the sentence and the commands of the answer say the same."""

from pathlib import Path

import pytest

from smart_tuner.analysis.results import Result
from smart_tuner.report.evidence import Run
from smart_tuner.report.next_step import find_last_synthesis
from tests.support.evidenced import (
    COMMAND,
    FOUND,
    LOSS,
    SCORE,
    Shelf,
    answered,
    baseline,
    confirmed,
    reruns,
    result,
    stopped,
    study,
    train_study,
    typed,
    verdict,
)

LED = result(1, 0.3, values=FOUND)
SICK = reruns("best", 0.3, state="stopped", kind="health", rule="loss_jump")
CONFIRM = "Rerun the best and the baseline with more seeds, after raising confirm in the space file"


@pytest.mark.parametrize(
    ("status", "running", "text"),
    [
        ("RUNNING", 1, "Let it go on, and write this report again"),
        ("KILLED", 1, "The same command goes on where it was interrupted."),
        ("FAILED", 0, "Remove the cause of the failure;"),
        ("", 1, "The same command goes on where it stands."),
    ],
)
def test_an_unfinished_study_goes_on_first(status: str, running: int, text: str) -> None:
    assert answered(study(confirmed(), parent_status=status, running=running))["Next"].startswith(text)


def test_a_best_that_is_sick_is_not_to_be_trained_further() -> None:
    sick = {f"trial-000{number}": (verdict(SCORE, 0.1, "sick"),) for number in range(2)}
    assert answered(study(confirmed(), winner=1), sick)["Next"].startswith("trial-0001 leads, but is sick by the guide")
    assert answered(train_study([4.1]), sick)["Next"].startswith("trial-0000 leads, but is sick by the guide")
    assert answered(study(confirmed(best=(0.6, 0.62))), sick)["Next"].startswith("Keep the baseline")


@pytest.mark.parametrize(
    ("results", "text"),
    [
        # in the mean 0.01 worse, by an interval that holds 0; 0.1 worse, by one that does not
        (confirmed(best=(0.51, 0.53, 0.55)), "Keep the baseline: the lead of trial-0001 did not repeat in its reruns."),
        (confirmed(best=(0.60, 0.62, 0.64)), "Keep the baseline: in its reruns trial-0001 is worse, by more than the "),
        (confirmed(best=(0.49, 0.51, 0.53)), "Use the values of trial-0001 if you like, they do not differ from the "),
        (confirmed(best=(0.4,)), "Rerun trial-0001 and the baseline with more seeds: a higher confirm"),
        ([baseline(0.6, feasible=False), LED, *reruns("best", 0.4, 0.5)], "Train the values of trial-0001 at full "),
        ([baseline(0.6, feasible=False), LED, *SICK], "Treat trial-0001 as a candidate only: its values do not always"),
        ([baseline(0.52), LED], "Let trial-0001 be rerun before you believe its lead"),
        (
            [baseline(0.3), result(1, 0.4)],
            "Keep the settings as they are (trial-0000): the search found nothing better.",
        ),
        ([stopped(0), stopped(1)], "See below why trials were stopped or fell outside the constraints"),
    ],
)
def test_each_way_that_a_search_can_end_has_its_next_step(results: list[Result], text: str) -> None:
    assert answered(study(results))["Next"].startswith(text)


def test_a_baseline_that_is_sick_more_often_is_not_recommended() -> None:
    best = [*reruns("best", 0.4, 0.42), result(55, 0.9, values=FOUND, confirms="best", state="stopped")]
    base = reruns("baseline", 0.5, 0.5, 0.5, state="stopped")
    chosen = [baseline(0.5), LED]
    evidence = study([*chosen, *best, *base], winner=0)
    assert answered(evidence)["Next"] == (
        "Neither trial-0001 nor the baseline trains healthy with every seed: see below what stopped them, and remove "
        "that cause before searching on."
    )
    spoken = "Let trial-0000 say words of your own"
    assert list(typed(evidence)) == [spoken, "Continue the search, up to 12 trials in all"]
    healthy = study([*chosen, *best, *reruns("baseline", 0.5, 0.52, 0.54)], winner=0)
    assert answered(healthy)["Next"].startswith("Keep the baseline: trial-0001 does not train healthy")
    assert next(iter(typed(healthy))) == "Train trial-0000 at full length"


# the commands


@pytest.mark.parametrize(
    ("results", "labels"),
    [
        (confirmed(), ["Train trial-0001"]),
        (confirmed(best=(0.6, 0.62)), ["Train trial-0001"]),
        (confirmed(best=(0.4,)), [CONFIRM[:16]]),
        (confirmed(best=(0.49, 0.51, 0.53)), ["Train trial-0001", CONFIRM[:16]]),
        ([baseline(0.5), LED], [CONFIRM[:16]]),
        ([*confirmed(best=()), *SICK], ["Train trial-0001"]),
    ],
)
def test_the_commands_do_what_the_next_step_says(results: list[Result], labels: list[str]) -> None:
    found = typed(study(results, winner=1))
    assert [label[:16] for label in found] == [*labels, "Let trial-0001 s", "Continue the sea"]
    if CONFIRM in found:
        assert "--trials 2 --study night" in found[CONFIRM]


def test_what_is_sick_by_the_guide_is_not_trained_at_full_length() -> None:
    sick = {"trial-0001": (verdict(SCORE, 0.1, "sick"),)}
    assert list(typed(study(confirmed(), winner=1), verdicts=sick)) == ["Continue the search, up to 12 trials in all"]
    kept = {"trial-0000": sick["trial-0001"]}
    lost = study(confirmed(best=(0.6, 0.62)), winner=0)
    assert not [label for label in typed(lost, verdicts=kept) if label.startswith("Train")]
    assert list(typed(train_study([4.1]), verdicts=kept)) == []


def test_a_finished_search_is_trained_heard_and_searched_on(tmp_path: Path) -> None:
    wav = tmp_path / "a b.wav"
    paths = ("audio/000150-free-running-u1.wav", "audio/000150-target-u1.wav")
    found = typed(study(confirmed(), winner=1), Shelf(files={("id-1", path): wav for path in paths}))
    wanted = ("--mode train --trials 1 --from-study night", f"-m webbrowser file://{tmp_path}/a%20b.wav")
    wanted += ("--mode synth --study night", "--trials 12 --study night")
    assert all(part in command for part, command in zip(wanted, found.values(), strict=True))


def test_a_recording_is_played_from_the_studys_folder_if_it_is_there(tmp_path: Path) -> None:
    audio = tmp_path / "trial-0001" / "audio"
    audio.mkdir(parents=True)
    for name in ("000050-free-running-u.wav", "1000000-free-running-u.wav", "000300-target-u.wav", "notes.wav"):
        (audio / name).touch()
    found = typed(study(confirmed(), folder=str(tmp_path)))
    assert found["Hear trial-0001"].endswith(f"{audio}/1000000-free-running-u.wav")
    assert find_last_synthesis(["audio/x-free-running-u.wav", "audio/000001-target-u.wav"]) is None


def test_an_unfinished_study_goes_on_with_its_own_command() -> None:
    found = typed(study([baseline(0.5)], parent_status="KILLED", running=1))
    assert found["Continue the study"] == COMMAND
    assert found["Write this report again"].endswith("--mode report --study night")
    assert not [label for label in found if label.startswith(("Train", "Continue the search"))]


def test_a_long_search_is_doubled_and_one_without_a_winner_has_nothing_to_train() -> None:
    long = study([baseline(0.5), *(stopped(number) for number in range(1, 30))])
    assert list(typed(long))[-1].endswith("60 trials in all")
    assert typed(study([stopped(0)])) == {}


def test_a_train_study_goes_on_with_more_seeds() -> None:
    found = typed(train_study([4.1]))
    assert list(found) == ["Train with more seeds, up to 3 trials in all", "Let trial-0000 say words of your own"]
    assert next(iter(found.values())).endswith("--mode train --trials 3 --study voice")
    assert next(iter(typed(train_study([4.1, 4.2, 4.3])))) == "Train with more seeds, up to 4 trials in all"


def test_without_a_known_command_nothing_is_typed() -> None:
    assert typed(study(confirmed(), winner=1, command="")) == {}
    assert typed(study([], Run(name="mine", metrics={LOSS: 1.0}), mode="runs", command="")) == {}
