"""Who is who in a study."""

from typing import Any

from smart_tuner.report.evidence import Run
from smart_tuner.report.finalists import Finalists, find_finalists
from smart_tuner.space.objective import Objective
from tests.support.evidenced import LOSS, OWN, baseline, result, stopped, study


def names(found: Finalists) -> list[str | None]:
    chosen = (found.best, found.baseline, found.winner, found.median, found.worst)
    return [None if run is None else run.name for run in chosen]


def test_best_baseline_winner_middle_and_worst() -> None:
    results = [baseline(0.5), result(1, 0.3), result(2, 0.4), result(3, 0.6), stopped(4)]  # the stopped one: 0.9
    found = find_finalists(study(results, winner=2))
    assert names(found) == ["trial-0001", "trial-0000", "trial-0002", "trial-0000", "trial-0004"]
    assert [run.number for run in found.heard] == [1, 2, 0, 3]


def test_what_is_maximised_is_best_where_it_is_highest() -> None:
    objectives = (Objective(metric="validation.alignment_score", direction="maximize"),)
    found = find_finalists(study([baseline(0.5), result(1, 0.3), result(2, 0.4)], objectives=objectives))
    assert names(found)[::4] == ["trial-0000", "trial-0001"]


def test_infeasible_audited_and_rerun_trials_are_never_best() -> None:
    results = [
        baseline(0.5),
        result(1, 0.1, feasible=False),
        result(2, 0.2, state="audited", rule="asha", kind="pruner"),
        result(3, 0.3, confirms="best"),
    ]
    found = find_finalists(study(results))
    assert names(found)[:2] == ["trial-0000", "trial-0000"]
    assert [run.number for run in found.heard] == [0]


def test_at_most_five_are_heard() -> None:
    found = find_finalists(study([baseline(0.9), *(result(number, number / 10) for number in range(1, 9))]))
    assert [run.number for run in found.heard] == [1, 0, 2, 3, 4]


def test_a_study_without_a_candidate_has_a_worst_trial_alone_or_nobody() -> None:
    found = find_finalists(study([stopped(1), stopped(2, values=OWN)]))
    assert (names(found), found.heard) == ([None, None, None, None, "trial-0002"], ())
    assert names(find_finalists(study([]))) == [None] * 5


def test_runs_logged_by_hand_compete_by_their_validation_loss() -> None:
    known: dict[str, tuple[Any, dict[str, float]]] = {
        "a": ("complete", {LOSS: 0.5}),
        "b": ("complete", {LOSS: 0.9, "best.validation.loss": 0.2}),
        "c": ("complete", {}),
        "d": ("running", {LOSS: 0.1}),
        "e": ("failed", {LOSS: 0.05}),
    }
    runs = [Run(name=name, run_id=name, state=state, metrics=metrics) for name, (state, metrics) in known.items()]
    by_hand = study([], *runs, mode="runs")
    found = find_finalists(by_hand)
    assert names(found) == ["b", None, None, "a", "a"]
    assert [run.name for run in found.heard] == ["b", "a"]
