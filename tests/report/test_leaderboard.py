"""The leaderboard: its order, what each line is, and why it is no candidate."""

import math
from typing import get_args

from smart_tuner.progress import Origin
from smart_tuner.report.evidence import Evidence, Run, RunState
from smart_tuner.report.finalists import find_finalists
from smart_tuner.report.leaderboard import WORDS, list_columns, list_rows
from smart_tuner.report.view import TrialRow
from smart_tuner.space.objective import Objective
from tests.support.evidenced import (
    FOUND,
    LOSS,
    OWN,
    SCORE,
    baseline,
    confirmed,
    english,
    result,
    run,
    stopped,
    study,
    verdict,
)

OTHERS = [
    result(2, 0.35, feasible=False, metrics={LOSS: 0.35, SCORE: 0.42}),
    stopped(3),
    result(5, 0.2, state="audited", rule="asha", kind="pruner"),
    result(6, math.nan),
]


def table(evidence: Evidence) -> dict[str, TrialRow]:
    return {row.name: row for row in list_rows(evidence, find_finalists(evidence), {})}


def test_candidates_come_first_and_the_best_on_top() -> None:
    assert list(table(study([*confirmed(), *OTHERS]))) == [
        "trial-0001",  # 0.30
        "trial-0000",  # 0.52
        "trial-0006",  # no finite objective
        "trial-0050",  # reruns: 0.40, 0.42, 0.44, 0.50, 0.54
        "trial-0051",
        "trial-0052",
        "trial-0060",
        "trial-0061",
        "trial-0002",  # outside the constraints
        "trial-0005",  # audited
        "trial-0003",  # stopped
    ]


def test_what_is_maximised_is_ordered_the_other_way() -> None:
    assert next(iter(table(study(confirmed(), objectives=(Objective(direction="maximize"),))))) == "trial-0000"


def test_what_cannot_be_placed_comes_last() -> None:
    open_one = Run(name="trial-0008", number=8, state="running", run_id="id-8", metrics={LOSS: 0.1})
    by_hand = Run(name="mine", state="complete", run_id="id-x", metrics={LOSS: 0.05})
    lost = Run(name="trial-0009", number=9, state="complete", run_id="id-9")
    failed = run(result(7, 0.1, state="failed", reason="The disk is full.\nIt is."))
    evidence = study([baseline(0.5)], failed, open_one, lost, by_hand)
    found = table(evidence)
    assert list(found) == ["trial-0000", "trial-0008", "trial-0007", "mine", "trial-0009"]
    assert {name: english(row.why) for name, row in found.items()} == {
        "trial-0000": "",
        "trial-0008": "not finished",
        "trial-0007": "failed: The disk is full.",
        "mine": "logged by hand, not a trial",
        "trial-0009": "the study's storage does not know it",
    }
    assert found["mine"].metrics[LOSS] == 0.05
    assert english(found["mine"].origin) == "logged by hand"


def test_runs_without_a_study_are_ordered_by_their_lowest_loss() -> None:
    metrics = {"none": {}, "last": {LOSS: 0.3}, "lowest": {"best.validation.loss": 0.2, LOSS: 0.9}}
    failed = Run(name="failed", state="failed", metrics={LOSS: 0.25})
    ended = [Run(name=name, state="complete", metrics=known) for name, known in metrics.items()]
    found = table(study([], *ended, failed, mode="runs", command=""))
    assert list(found) == ["lowest", "last", "none", "failed"]
    assert [row.metrics[LOSS] for row in found.values()] == [0.2, 0.3, None, 0.25]
    assert found["lowest"].why == ""
    assert [english(mark) for mark in found["lowest"].marks] == ["best"]


def test_why_a_trial_is_no_candidate() -> None:
    results = [baseline(0.5), *OTHERS[:3]]
    found = table(study(results, constraints=("validation.alignment_score >= 0.5", "duration <= 3")))
    assert {name: english(row.why) for name, row in found.items()} == {
        "trial-0000": "",
        "trial-0002": "outside the constraints: validation.alignment_score 0.4200 (>= 0.5)",
        "trial-0003": "pruner: asha at 25 % of the budget",
        "trial-0005": "doomed by pruner: asha, ran on for the audit",
    }
    assert english(table(study(results))["trial-0002"].why) == "outside the constraints"
    in_time = table(study([stopped(4, "gate_flat", "health", planned=0)]))
    assert english(in_time["trial-0004"].why) == "health: gate_flat", "a share of a budget of time is not known"


def test_marks_say_what_a_trial_is() -> None:
    found = table(study(confirmed(), winner=1))
    marks = {name: [english(mark) for mark in row.marks] for name, row in found.items() if row.marks}
    assert marks == {
        "trial-0001": ["best", "winner"],
        "trial-0000": ["baseline"],
        **{f"trial-005{place}": ["rerun of the best"] for place in range(3)},
        **{f"trial-006{place}": ["rerun of the baseline"] for place in range(2)},
    }
    assert [row.name for row in found.values() if row.is_best] == ["trial-0001"]
    assert [row.name for row in found.values() if row.is_baseline] == ["trial-0000"]


def test_with_several_objectives_the_front_is_marked_and_no_best() -> None:
    objectives = (Objective(), Objective(metric=SCORE, direction="maximize"))
    points = [(0.5, 0.9), (0.3, 0.6), (0.4, 0.5)]  # the last is beaten by the one before
    results = [result(number, loss, metrics={LOSS: loss, SCORE: score}) for number, (loss, score) in enumerate(points)]
    found = table(study(results, objectives=objectives))
    assert {name: [english(mark) for mark in row.marks] for name, row in found.items()} == {
        "trial-0001": ["in the front"],
        "trial-0002": [],
        "trial-0000": ["in the front"],
    }
    assert not any(row.is_best for row in found.values())
    assert found["trial-0000"].metrics == {LOSS: 0.5, SCORE: 0.9}


def test_changes_are_against_the_baseline() -> None:
    other = result(2, 0.4, values={**OWN, "hparams.batch_size": 8})
    found = table(study([baseline(0.5), result(1, 0.3, values=FOUND), other]))
    assert {name: row.changed for name, row in found.items()} == {
        "trial-0000": "",
        "trial-0001": "hparams.learning_rate=0.0005",
        "trial-0002": "hparams.batch_size=8",
    }
    assert table(study([result(1, 0.3, values=FOUND)]))["trial-0001"].changed == "hparams.learning_rate=0.0005"


def test_a_column_stands_for_what_any_run_has_measured() -> None:
    metrics = {LOSS: 0.4, "validation.gate_mean": 0.5, "validation.attention_entropy": 0.1}
    heard = Run(name="mine", metrics={"validation.freerun.cer": 0.07})
    evidence = study([baseline(0.5), result(1, 0.4, metrics=metrics)], heard)
    assert list_columns(evidence) == (LOSS, "validation.gate_mean", "validation.freerun.cer")
    assert list(table(evidence)["trial-0000"].metrics.values()) == [0.5, None, None]


def test_an_objective_is_that_of_the_best_validation_and_never_nan() -> None:
    of = result(1, 0.4, metrics={LOSS: 0.4})
    evidence = study([baseline(math.nan)], run(of, metrics={LOSS: 0.9, "best.validation.loss": 0.1}))
    found = table(evidence)
    assert (found["trial-0001"].metrics[LOSS], found["trial-0000"].metrics[LOSS]) == (0.4, None)


def test_a_row_carries_link_time_and_verdicts() -> None:
    judged, evidence = verdict(SCORE, 0.9, "good"), study([baseline(0.5, seconds=90.0), result(1, 0.6, seconds=0.0)])
    row, other = list_rows(evidence, find_finalists(evidence), {"trial-0000": (judged,)})
    assert (row.link, row.verdicts, row.minutes, other.minutes) == ("http://mlflow/0", (judged,), 1.5, None)
    assert (english(row.state), english(row.origin)) == ("complete", "baseline")


def test_every_state_and_origin_has_a_word_and_only_what_runs_or_goes_on_is_open() -> None:
    assert {*get_args(RunState), *get_args(Origin)} == set(WORDS)
    runs = [Run(name=state, state=state) for state in get_args(RunState)]
    assert {row.name for row in table(study([], *runs)).values() if row.is_open} == {"running", "interrupted"}
