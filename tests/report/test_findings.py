"""What a study is, how far it has come, what is missing, and how it was made."""

from datetime import UTC, datetime
from typing import Any

import pytest

from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.findings import (
    describe_kind,
    describe_seeds,
    describe_status,
    find_study_state,
    list_notices,
    list_reproduction,
)
from smart_tuner.space.objective import Objective
from tests.support.evidenced import COMMAND, baseline, confirmed, english, result, run, stopped, study, words

BROKEN = run(result(3, None, state="failed", reason="The mel of a.wav cannot be read.\nTraceback"))
OPEN = Run(name="trial-0009", number=9, state="running", run_id="id-9")


def said(evidence: Evidence) -> list[str]:
    return [english(notice) for notice in list_notices(evidence)]


# how far it has come


@pytest.mark.parametrize(
    ("evidence", "stands", "text"),
    [
        (study(confirmed()), "finished", "Finished: trials 2, reruns 5."),
        (study(confirmed(), parent_status="", winner=1), "finished", "Finished: trials 2, reruns 5."),
        (study([], parent_status="", parent_id=None), "empty", "Nothing has finished yet: trials 0."),
        (study([], parent_status="KILLED"), "empty", "Nothing has finished yet: trials 0."),
        (study([], OPEN, running=1, parent_status="RUNNING"), "running", "Running: trials 0, open 1."),
        (
            study([baseline(1)], OPEN, running=1, parent_status="KILLED"),
            "interrupted",
            "Interrupted: trials 1, open 1.",
        ),
        (study([baseline(1)], parent_status="FAILED"), "failed", "Ended by a failure: trials 1."),
        (study([baseline(1)], OPEN, running=1, parent_status=""), "open", "Not finished: trials 1, open 1."),
        (study([baseline(1)], OPEN, running=1), "open", "Not finished: trials 1, open 1."),
        (study([baseline(1), stopped(1)], BROKEN), "finished", "Finished: trials 2, failed 1."),
        (
            study([baseline(1)], parent_status="", parent_id=None),
            "unknown",
            "No trial is open; whether more were planned is not known: trials 1.",
        ),
    ],
)
def test_the_stores_tell_how_far_a_study_has_come(evidence: Evidence, stands: str, text: str) -> None:
    assert (find_study_state(evidence), english(describe_status(evidence))) == (stands, text)


def test_chosen_runs_are_counted() -> None:
    runs = [Run(name="a", state="complete"), Run(name="b", state="running")]
    evidence = study([], *runs, mode="runs", command="", running=1, parent_id=None, parent_status="")
    assert english(describe_status(evidence)) == "Chosen: trials 2, open 1."
    assert [notice[:40] for notice in said(evidence)] == [
        "These runs were chosen by a filter, with",
        "Not finished, so their numbers may chang",
    ]


def test_the_kind_says_what_was_optimised() -> None:
    both = (Objective(), Objective(metric="duration", direction="maximize"))
    goals = "validation.loss, lower is better, duration, higher is better"
    for mode, text in {
        "tune": "Search for hyperparameters; objective:",
        "runs": "Runs chosen in MLflow; compared by",
    }.items():
        evidence: Any = study([], mode=mode, objectives=both)
        assert english(describe_kind(evidence)) == f"{text} {goals}"
        assert words(list_reproduction(evidence))["Objective"] == goals


# what is missing


def test_runs_that_are_gone_are_named() -> None:
    gone = [run(stopped(number), run_id=None, link="") for number in range(1, 11)]
    (told,) = said(study([baseline(1)], *gone, gone=tuple(lost.name for lost in gone)))
    assert told.startswith("MLflow has no run of trial-0001, trial-0002,")
    assert "trial-0008, and 2 more (deleted" in told
    assert "trial-0009" not in told


def test_a_study_without_any_run_in_mlflow_says_so_once() -> None:
    gone = run(baseline(1), run_id=None, link="")
    evidence = study([], gone, gone=("trial-0000",), parent_id=None, parent_status="")
    assert [notice[:36] for notice in said(evidence)] == ["MLflow has no run of this study. The"]
    assert said(study([baseline(1)], parent_id=None)) == ["MLflow has no run of the study itself."]


def test_runs_by_hand_failed_and_unknown_ones_are_told() -> None:
    tagged = Run(name="trial-0005", number=5, state="failed", run_id="id-5", tags={"error": "Lost."})
    lost = Run(name="trial-0006", number=6, state="complete", run_id="id-6")
    evidence = study([baseline(1)], BROKEN, tagged, lost, OPEN, Run(name="mine", run_id="x"), running=1)
    assert said(evidence) == [
        "Failed, and not counted: trial-0003 (The mel of a.wav cannot be read.), trial-0005 (Lost.).",
        "Logged beside the trials by hand, and shown without being compared: mine.",
        "In MLflow, but unknown to the study's storage, and not compared: trial-0006.",
    ]


def test_a_running_study_may_change_and_an_old_one_has_no_commands() -> None:
    first, second = said(study([baseline(1)], parent_status="RUNNING", command=""))
    assert first.startswith("By MLflow the study is running, so what is said here may change.")
    assert second.startswith("How the study was started was not recorded")


def test_a_winner_that_the_last_trials_have_overtaken_is_told() -> None:
    later = result(9, 0.2, values={"hparams.learning_rate": 7e-4})
    assert said(study(confirmed(), winner=1)) == []
    (told,) = said(study([*confirmed(), later], winner=1))
    assert "--from-study still gives trial-0001" in told
    assert told.endswith("it will give trial-0009.")


# what it takes to repeat it


def test_reproduction_tells_what_is_known() -> None:
    tags = {"version.torch": "2.13.0", "version.python": "3.11.7", "device": "cpu", "precision": "float32"}
    clean, dirty = ({"mlflow.source.git.commit": commit} for commit in ("abc", "abc+"))
    first, second = (
        run(baseline(1), tags=tags | clean | {"recogniser.no_judge": "its error is 62%"}),
        run(result(1, 2), tags=tags | dirty | {"version.torch": "2.14"}),
    )
    evidence = study(
        [],
        *(first, second),
        corpus="f6ced485",
        budget="2400utt",
        constraints=("validation.alignment_score >= 0.5",),
        began=datetime(2026, 11, 22, 23, 59, tzinfo=UTC),
    )
    assert words(list_reproduction(evidence)) == {
        "Command": COMMAND,
        "Corpus digest": "f6ced485",
        "Budget of a trial": "2400utt",
        "Objective": "validation.loss, lower is better",
        "Constraints": "validation.alignment_score >= 0.5",
        "Seeds": "100–101",
        "Versions": "python 3.11.7, torch 2.13.0 / 2.14",
        "Git commit": "abc, abc with files changed",
        "Device": "cpu",
        "Precision": "float32",
        "Recogniser is no judge": "its error is 62%",
        "Began": "2026-11-22 23:59 +0000",
    }


def test_neighbouring_seeds_are_a_range() -> None:
    trials = [run(result(number, 1.0, seed=seed)) for number, seed in enumerate((5, 3, 4, 9, 1000, 1001, 5))]
    assert describe_seeds(study([], *trials, Run(name="mine", tags={"seed": "7"}))) == "3–5, 7, 9, 1000–1001"
    assert set(words(list_reproduction(study([], command="")))) == {"Objective"}, "what is not known is left out"
