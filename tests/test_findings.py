"""What a study is, how far it has come, what is missing; and that every sentence is there in both languages."""

import ast
import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from smart_tuner import documents
from smart_tuner.report.catalogue import LANGUAGES
from smart_tuner.report.evidence import Evidence, Run
from smart_tuner.report.judging import findings
from smart_tuner.report.judging.findings import kind, notices, reproduction, seeds, standing, status
from smart_tuner.space.space import Objective
from tests.evidenced import COMMAND, baseline, confirmed, english, result, run, stopped, study, words

OPEN = Run(name="trial-0009", number=9, state="running", run_id="id-9")
REPORT = Path(findings.__file__).parent.parent
FILES = ("answering", "energy", "findings", "gain", "guide", "leaderboard", "phrases", "steps", "stopped")


def said(evidence: Evidence) -> list[str]:
    return [english(one) for one in notices(evidence)]


# how far it has come


@pytest.mark.parametrize(
    ("evidence", "stands", "text"),
    [
        (study(confirmed()), "finished", "Finished: trials 2, reruns 5."),
        (study(confirmed(), parent_status="", winner=1), "finished", "Finished: trials 2, reruns 5."),
        (study([], parent_status="", parent_id=None), "empty", "Nothing has finished yet: trials 0."),
        (study([], parent_status="KILLED"), "empty", "Nothing has finished yet: trials 0."),
        (study([], OPEN, running=1, parent_status="RUNNING"), "running", "Running: trials 0, open 1."),
        (study([baseline(1)], OPEN, running=1, parent_status="RUNNING"), "running", "Running: trials 1, open 1."),
        (
            study([baseline(1)], OPEN, running=1, parent_status="KILLED"),
            "interrupted",
            "Interrupted: trials 1, open 1.",
        ),
        (study([baseline(1)], parent_status="KILLED"), "interrupted", "Interrupted: trials 1."),
        (study([baseline(1)], parent_status="FAILED"), "failed", "Ended by a failure: trials 1."),
        (study([baseline(1)], OPEN, running=1, parent_status=""), "open", "Not finished: trials 1, open 1."),
        (study([baseline(1)], OPEN, running=1), "open", "Not finished: trials 1, open 1."),
    ],
)
def test_the_stores_tell_how_far_a_study_has_come(evidence: Evidence, stands: str, text: str) -> None:
    assert (standing(evidence), english(status(evidence))) == (stands, text)


def test_without_its_run_a_study_may_or_may_not_be_complete() -> None:
    evidence = study([baseline(1)], parent_status="", parent_id=None)
    assert standing(evidence) == "unknown"
    assert english(status(evidence)).startswith("No trial is open; whether more were planned is not known")


def test_failed_trials_are_counted_apart() -> None:
    failed = run(result(3, None, state="failed", reason="CUDA out of memory."))
    assert english(status(study([baseline(1), stopped(1)], failed))) == "Finished: trials 2, failed 1."


def test_chosen_runs_are_counted() -> None:
    runs = [Run(name="a", state="complete"), Run(name="b", state="running")]
    evidence = study([], *runs, mode="runs", command="", running=1, parent_id=None, parent_status="")
    assert english(status(evidence)) == "Chosen: trials 2, open 1."
    assert [one[:40] for one in said(evidence)] == [
        "These runs were chosen by a filter, with",
        "Not finished, so their numbers may chang",
    ]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("tune", "Search for hyperparameters; objective: validation.loss, lower is better"),
        ("train", "Training with given settings; objective: validation.loss, lower is better"),
        ("runs", "Runs chosen in MLflow; compared by validation.loss, lower is better"),
    ],
)
def test_the_kind_says_what_was_optimised(mode: Any, text: str) -> None:
    assert english(kind(study([], mode=mode))) == text


# what is missing


def test_a_whole_study_has_no_notice() -> None:
    assert said(study(confirmed(), winner=1)) == []


def test_runs_that_are_gone_are_named() -> None:
    gone = [run(stopped(number), run_id=None, link="") for number in range(1, 11)]
    (told,) = said(study([baseline(1)], *gone, gone=tuple(one.name for one in gone)))
    assert told.startswith("MLflow has no run of trial-0001, trial-0002,")
    assert "trial-0008, and 2 more (deleted" in told
    assert "trial-0009" not in told


def test_a_study_without_any_run_in_mlflow_says_so_once() -> None:
    gone = run(baseline(1), run_id=None, link="")
    evidence = study([], gone, gone=("trial-0000",), parent_id=None, parent_status="")
    assert [one[:36] for one in said(evidence)] == ["MLflow has no run of this study. The"]
    assert said(study([baseline(1)], parent_id=None)) == ["MLflow has no run of the study itself."]


def test_runs_by_hand_failed_and_unknown_ones_are_told() -> None:
    failed = run(result(3, None, state="failed", reason="The mel of a.wav cannot be read.\nTraceback"))
    tagged = Run(name="trial-0005", number=5, state="failed", run_id="id-5", tags={"error": "Lost."})
    lost = Run(name="trial-0006", number=6, state="complete", run_id="id-6")
    evidence = study([baseline(1)], failed, tagged, lost, OPEN, Run(name="mine", run_id="x"), running=1)
    assert said(evidence) == [
        "Failed, and not counted: trial-0003 (The mel of a.wav cannot be read.), trial-0005 (Lost.).",
        "Logged beside the trials by hand, and shown without being compared: mine.",
        "In MLflow, but unknown to the study's storage, and not compared: trial-0006.",
    ]


def test_a_trial_that_saw_more_than_its_budget_is_told() -> None:
    results = [baseline(1), result(1, 2, utterances=1200), result(2, 2, utterances=1200, planned=0)]
    assert said(study(results)) == [
        "Saw more utterances than their budget holds, so they do not compare with the others: "
        "trial-0001 (1,200 of 1,000)."
    ]


def test_a_running_study_may_change_and_an_old_one_has_no_commands() -> None:
    first, second = said(study([baseline(1)], parent_status="RUNNING", command=""))
    assert first.startswith("By MLflow the study is running, so what is said here may change.")
    assert second.startswith("How the study was started was not recorded")


def test_a_winner_that_the_last_trials_have_overtaken_is_told() -> None:
    later = result(9, 0.2, values={"hparams.learning_rate": 7e-4})
    (told,) = said(study([*confirmed(), later], winner=1))
    assert "--from-study still gives trial-0001" in told
    assert told.endswith("it will give trial-0009.")


# what it takes to repeat it


def test_reproduction_tells_what_is_known() -> None:
    tags = {"version.torch": "2.13.0", "version.python": "3.11.7", "device": "cpu", "precision": "float32"}
    clean, dirty = ({"mlflow.source.git.commit": commit} for commit in ("abc", "abc+"))
    first, second = (
        run(baseline(1), tags=tags | clean),
        run(result(1, 2), tags=tags | dirty | {"version.torch": "2.14"}),
    )
    evidence = study(
        [],
        first,
        second,
        corpus="f6ced485",
        budget="2400utt",
        constraints=("validation.alignment_score >= 0.5",),
        began=datetime(2026, 11, 22, 23, 59, tzinfo=UTC),
    )
    assert words(reproduction(evidence)) == {
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
        "Began": "2026-11-22 23:59 +0000",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert set(words(reproduction(study([], command="")))) == {"Objective"}


def test_neighbouring_seeds_are_a_range() -> None:
    trials = [run(result(number, 1.0, seed=seed)) for number, seed in enumerate((5, 3, 4, 9, 1000, 1001, 5))]
    assert seeds(study([], *trials, Run(name="mine", tags={"seed": "7"}))) == "3–5, 7, 9, 1000–1001"


def test_several_objectives_are_all_told() -> None:
    both = (Objective(), Objective(metric="duration", direction="minimize"))
    told = words(reproduction(study([], objectives=both)))["Objective"]
    assert told == "validation.loss, lower is better, duration, lower is better"


# the sentences


def catalogue() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = documents.value((REPORT / "strings" / "findings.yaml").read_text("utf-8"))
    return found


def used() -> tuple[set[str], set[str]]:
    """Keys in the code, and beginnings of keys whose end the code chooses."""
    whole, beginnings = set[str](), {"findings.label_"}
    for name in FILES:
        for node in ast.walk(ast.parse(next(REPORT.rglob(f"{name}.py")).read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                beginnings.add(str(node.values[0].value))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole |= set(re.findall(r"^(?:findings|guide)\.\w+$", node.value))
    return whole, {one for one in beginnings if re.match(r"(?:findings|guide)\.\w", one)} | {
        "findings.minimize",
        "findings.maximize",
    }


def test_every_sentence_that_is_said_is_there_and_none_is_left_over() -> None:
    whole, beginnings = used()
    keys = set(catalogue())
    assert {one for one in whole if one not in beginnings} <= keys
    assert not {one for one in keys - whole if not any(one.startswith(start) for start in beginnings)}
    assert all(any(one.startswith(start) for one in keys) for start in beginnings)


def test_both_languages_name_the_same_facts() -> None:
    for key, texts in catalogue().items():
        assert set(texts) == set(LANGUAGES), key
        english_facts, russian_facts = (
            sorted((name, form) for _, name, form, _ in Formatter().parse(texts[language]) if name)
            for language in ("en", "ru")
        )
        assert english_facts == russian_facts, key
        assert all(texts.values()), key
